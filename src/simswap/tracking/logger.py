"""The loggers of a run: metrics.csv, W&B (offline without a login or a server), and others from YAML."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.loggers.logger import Logger

from simswap.errors import InputError
from simswap.launching import ranks
from simswap.settings.targets import import_target
from simswap.settings.wandb_environment import say, settled_mode
from simswap.tracking.metrics_csv import MetricsCsvLogger
from simswap.tracking.metrics_rows import STEP_METRIC
from simswap.tracking.wandb_artifacts import DataFacts, Uploads, log_checkpoints, log_used, prune, staged_in
from simswap.tracking.wandb_code import log_code
from simswap.tracking.wandb_history import offline_fragments, steps_of
from simswap.tracking.wandb_logger import HistoryLogger
from simswap.tracking.wandb_run import (
    as_it_began,
    begin,
    end,
    folder_of,
    known_as,
    reason_of,
    remember,
    to_be_known_as,
)
from simswap.tracking.wandb_summary import best_goals, training_summary


def build_loggers(
    run: Path,
    *,
    name: str | None = None,
    group: str | None = None,
    job_type: str = "train",
    config: Mapping[str, Any] | None = None,
    project: str | None = None,
    entity: str | None = None,
    mode: str = "auto",
    init_timeout: float = 10.0,
    finish_timeout: float = 60.0,
    checkpoints: str = "slim",
    keep: int = 3,
    lineage: bool = True,
    code: bool = True,
    watch: int | None = None,
    more: dict | None = None,
) -> list[Logger]:
    """Build the loggers of one run: metrics.csv, then W&B, then those in ``more``.

    A resumed run keeps its identity in W&B. For a new one W&B's environment variables take precedence over the
    arguments, except over ``project`` and ``entity`` (docs/settings.md). W&B never asks for anything, and the
    environment stays as it was. Ranks other than 0 have no W&B run; their metrics.csv logger writes nothing.

    Args:
        run: The run folder. W&B's files go to ``<run>/wandb/``.
        name: The run's name in W&B; the folder's name by default.
        group: Name of the sweep or of the experiment.
        job_type: What the run does.
        config: The resolved configuration, as plain containers.
        project: W&B's project; None takes WANDB_PROJECT, else simswap.
        entity: The project's owner; None takes WANDB_ENTITY, else the login's own.
        mode: ``auto`` (WANDB_MODE or WANDB_DISABLED, else ``online``), ``online`` (falls back to offline without a
            login or an answer of the server), ``offline`` or ``disabled`` (no W&B).
        init_timeout: Seconds to wait for the server's first answer; giving up takes as long again.
        finish_timeout: Seconds that the upload may take at the end of the run; the files stay on the disk.
        checkpoints: ``slim``, ``full`` or ``none``: which form of the best and the last checkpoint to log at the end.
        keep: The largest number of their versions.
        lineage: Log the data by its hash, and hashes of what the run used.
        code: Record commit, uncommitted changes and package versions.
        watch: Iterations between two histograms of the gradients; None for none.
        more: Further loggers by names of the user's choice, each with its ``_target_`` and settings.

    Raises:
        InputError: The mode or the form is unknown, or a further logger does not take its settings.
    """
    uploads = Uploads(checkpoints, keep, lineage, code, watch)
    uploads.check()
    loggers: list[Logger] = [MetricsCsvLogger(run)]
    mode, names = settled_mode(mode), {"name": name, "group": group, "job_type": job_type}
    limits = {"init_timeout": init_timeout, "finish_timeout": finish_timeout}
    if mode != "disabled" and ranks.is_first():
        names |= {"project": project, "entity": entity}
        wandb_logger = _wandb_logger(run, names, mode, uploads, config=dict(config or {}), **limits)
        loggers += [wandb_logger] if wandb_logger is not None else []
    return loggers + [_further(name, entry, run) for name, entry in (more or {}).items() if entry is not None]


def _wandb_logger(
    run: Path, to_be_named: dict[str, Any], mode: str, uploads: Uploads, **settings: Any
) -> HistoryLogger | None:
    """W&B's logger of the run; None, with one line on standard error, where W&B does not work on this machine."""
    try:
        import wandb  # noqa: F401
    except ImportError:
        say("W&B is not installed: metrics go to metrics.csv alone (pip install wandb)")
        return None
    run.mkdir(parents=True, exist_ok=True)
    before = known_as(run)
    called = to_be_known_as(run, *(to_be_named[key] for key in ("name", "group", "job_type", "project", "entity")))
    try:
        experiment = begin(run, called, mode, goes_on=before is not None, code=uploads.code, **settings)
    except Exception as error:  # W&B may fail in any way, and training does not need it
        say(f"W&B is left out ({reason_of(error)}): metrics go to metrics.csv alone")
        return None
    called = as_it_began(called, experiment)
    remember(run, called)
    _define_metrics(experiment, run)
    if uploads.code:
        log_code(experiment)
    earlier = [file for file in offline_fragments(run, experiment.id) if folder_of(experiment) not in file.parents]
    known = set().union(*map(steps_of, earlier)) if experiment.offline else set(range(experiment.starting_step))
    return HistoryLogger(run, known, uploads, experiment=experiment, project=called.project, save_dir=run)


def _define_metrics(experiment: Any, run: Path) -> None:
    """W&B draws every metric over the iteration, and keeps the best value of each figure of validation."""
    experiment.define_metric(STEP_METRIC)
    experiment.define_metric("*", step_metric=STEP_METRIC, step_sync=True)
    for metric, best in best_goals(run).items():
        experiment.define_metric(metric, step_metric=STEP_METRIC, summary=f"{best},last")


def _further(name: str, entry: dict[str, Any], run: Path) -> Logger:
    """One entry of ``logger.more``."""
    kind = import_target(entry["_target_"])
    settings = {key: value for key, value in entry.items() if key != "_target_"}
    if "save_dir" in inspect.signature(kind).parameters:
        settings.setdefault("save_dir", str(run))
    try:
        return kind(**settings)
    except Exception as error:  # each library has its own kinds
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"logger.more.{name}: {entry['_target_']} cannot be used ({reason})") from error


def log_picture(logger: Logger, key: str, path: Path, step: int) -> None:
    """Send a picture file to W&B; other loggers have none to show and are left alone. ``step``: the iteration."""
    if isinstance(logger, WandbLogger):
        logger.log_image(key, [str(path)], step=step)


def log_watch(loggers: Sequence[Logger], figures: Mapping[str, float], step: int) -> None:
    """Send to W&B what is seen of the run's speed; metrics.csv goes without, so that two runs' are comparable."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_metrics(figures, step)


def alert(loggers: Sequence[Logger], title: str, text: str) -> None:
    """Tell W&B's users something of the run, and put it into the run's summary, as ``alert``.

    An offline run keeps both in its files, to be uploaded.
    """
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.alert(title=title, text=text, level="WARN")
            logger.experiment.summary["alert"] = f"{title}: {text}"


def log_use(loggers: Sequence[Logger], data: DataFacts, networks: Mapping[str, Any]) -> None:
    """Record in W&B what the run uses: its data by hash, and names and hashes of its networks."""
    for logger in loggers:
        if isinstance(logger, HistoryLogger) and logger.uploads.lineage:
            with _sending("what the run used", logger):
                log_used(logger.experiment, data, networks)


def log_histograms(logger: Logger, histograms: Mapping[str, tuple[Any, Any]], step: int) -> None:
    """Send histograms to W&B: counts [n] and edges [n + 1] by name."""
    if isinstance(logger, HistoryLogger):
        import wandb

        made = {name: wandb.Histogram(np_histogram=histogram) for name, histogram in histograms.items()}
        logger.log_metrics(made, step)


def finish(loggers: Sequence[Logger], failed: bool = False) -> None:
    """End the run in W&B, also after an error, so that the next job of a sweep begins its own.

    Its checkpoints become artifacts first. W&B's older versions of them beyond `Uploads.keep` are deleted.
    """
    for logger in loggers:
        if isinstance(logger, HistoryLogger):
            if logger.known:  # W&B itself has seen the last start alone
                logger.experiment.log({}, commit=True)  # or the last row would put its own values over these
                logger.experiment.summary.update(training_summary(logger.run))
            sends, keep = logger.uploads.checkpoints, logger.uploads.keep
            with _sending("the run's checkpoints", logger):
                log_checkpoints(logger.experiment, logger.run, sends, keep)
            end(logger.experiment, failed)
            if sends != "none" and not logger.experiment.offline:
                _prune(logger.experiment, keep)


@contextmanager
def _sending(what: str, logger: HistoryLogger) -> Iterator[None]:
    """Artifacts are extras: a failure of W&B is one line on standard error."""
    with staged_in(logger.run):
        try:
            yield
        except Exception as error:  # W&B may fail in any way, and training does not need it
            say(f"W&B: {what} are no artifact ({reason_of(error)})")


def _prune(experiment: Any, keep: int) -> None:
    import wandb

    try:
        prune(wandb.Api(), f"{experiment.entity}/{experiment.project}", experiment.id, keep)
    except Exception as error:  # as above
        say(f"W&B: older checkpoints are not pruned ({reason_of(error)})")
