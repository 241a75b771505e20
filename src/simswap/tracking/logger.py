"""A run's loggers: metrics.csv, and W&B where it is wanted; without a login or a server W&B goes on offline."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.loggers.logger import Logger

from simswap.launching import ranks
from simswap.tracking.metrics_csv import MetricsCsvLogger
from simswap.tracking.metrics_rows import STEP_METRIC
from simswap.tracking.wandb_environment import say, settled_mode
from simswap.tracking.wandb_history import HistoryLogger, offline_fragments, steps_of
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
) -> list[Logger]:
    """The loggers of one run: metrics.csv, then W&B.

    Args:
        run: the run folder; W&B's files go to ``<run>/wandb/``.
        name: of the run in W&B; the folder's name by default.
        group: the sweep's or experiment's name.
        job_type: what the run does.
        config: the resolved config, plain containers.
        project: W&B's project; None: WANDB_PROJECT, else simswap.
        entity: whose project; None: WANDB_ENTITY, else the login's own.
        mode: ``auto``: WANDB_MODE or WANDB_DISABLED where set, else as ``online``; ``online``: log to the server, and
            offline where there is no login or the server does not answer; ``offline``; ``disabled``: metrics.csv alone.
        init_timeout: seconds that the server has for its first answer (giving up takes as long again).
        finish_timeout: seconds that the upload may still take at the end of the run; the files stay on the disk.

    A run that goes on keeps its name, group, project, tags and notes. Of a new one W&B's variables decide them before
    what is given here (docs/settings.md); project and entity are the other way round.

    Nothing is ever asked for, and the environment stays as it was, so that a sweep's next job starts afresh. On other
    ranks than 0 there is metrics.csv's logger alone, which writes nothing there.

    Raises:
        InputError: an unknown mode.
    """
    loggers: list[Logger] = [MetricsCsvLogger(run)]
    mode = settled_mode(mode)
    if mode == "disabled" or not ranks.is_first():
        return loggers
    try:
        import wandb  # noqa: F401
    except ImportError:
        say("W&B is not installed: metrics go to metrics.csv alone (pip install wandb)")
        return loggers
    run.mkdir(parents=True, exist_ok=True)
    before = known_as(run)
    called = to_be_known_as(run, name, group, job_type, project, entity)
    try:
        experiment = begin(
            run,
            called,
            mode,
            goes_on=before is not None,
            config=dict(config or {}),
            init_timeout=init_timeout,
            finish_timeout=finish_timeout,
        )
    except Exception as error:  # whatever W&B stumbles over on this machine: training does not need it
        say(f"W&B is left out ({reason_of(error)}): metrics go to metrics.csv alone")
        return loggers
    called = as_it_began(called, experiment)
    remember(run, called)
    experiment.define_metric(STEP_METRIC)
    experiment.define_metric("*", step_metric=STEP_METRIC, step_sync=True)
    for metric, best in best_goals(run).items():
        experiment.define_metric(metric, step_metric=STEP_METRIC, summary=f"{best},last")
    earlier = [file for file in offline_fragments(run, experiment.id) if folder_of(experiment) not in file.parents]
    known = set().union(*map(steps_of, earlier)) if experiment.offline else set(range(experiment.starting_step))
    loggers.append(HistoryLogger(run, known, experiment=experiment, project=called.project, save_dir=run))
    return loggers


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


def finish(loggers: Sequence[Logger], failed: bool = False) -> None:
    """End the run in W&B, also after an error, so that the next job of a sweep begins its own."""
    for logger in loggers:
        if isinstance(logger, HistoryLogger):
            if logger.known:  # W&B itself has seen the last start alone
                logger.experiment.log({}, commit=True)  # or the last row would put its own values over these
                logger.experiment.summary.update(training_summary(logger.run))
            end(logger.experiment, failed)
