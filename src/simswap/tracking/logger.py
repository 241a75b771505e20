"""A run's loggers: metrics.csv, and W&B where it is wanted; without a login or a server W&B goes on offline."""

import os
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from simswap.errors import InputError
from simswap.tracking.metrics_csv import MetricsCsvLogger
from simswap.tracking.metrics_rows import STEP_METRIC
from simswap.tracking.wandb_history import HistoryLogger, keep_id, kept_id, offline_fragments, steps_of

MODES = ("auto", "online", "offline", "disabled")
LONGEST_NAME = 128
"""W&B refuses longer names of runs and groups."""

SUMMARIES = {
    "val/id_retrieval": "max,last",
    "val/id_similarity": "max,last",
    "val/pose_error_deg": "min,last",
    "val/self_reconstruction": "min,last",
}
"""What the runs' table shows of a validation figure: its best value and its last."""


def build_loggers(
    run: Path,
    *,
    name: str | None = None,
    group: str | None = None,
    job_type: str = "train",
    config: Mapping[str, Any] | None = None,
    project: str = "simswap",
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
        project: W&B's project.
        mode: ``auto``: WANDB_MODE where it is set, else as ``online``; ``online``: log to the server, and offline
            where there is no login or the server does not answer; ``offline``; ``disabled``: metrics.csv alone.
        init_timeout: seconds that the server has for its first answer (giving up takes as long again).
        finish_timeout: seconds that the upload may still take at the end of the run; the files stay on the disk.

    Nothing is ever asked for, and the environment stays as it was, so that a sweep's next job starts afresh. On other
    ranks than 0 there is metrics.csv's logger alone, which writes nothing there.

    Raises:
        InputError: an unknown mode.
    """
    if mode not in MODES:
        raise InputError(f"logger.mode is {mode!r}: choose one of {', '.join(MODES)}")
    loggers: list[Logger] = [MetricsCsvLogger(run)]
    if mode == "auto":
        mode = os.environ.get("WANDB_MODE", "online")
        mode = {"dryrun": "offline", "run": "online"}.get(mode, mode)  # W&B's former names
        if mode not in MODES[1:]:
            raise InputError(f"WANDB_MODE is {mode!r}: choose one of {', '.join(MODES[1:])}, or unset it")
    if mode == "disabled" or getattr(rank_zero_only, "rank", 0) != 0:
        return loggers
    try:
        import wandb
    except ImportError:
        _say("W&B is not installed: metrics go to metrics.csv alone (pip install wandb)")
        return loggers
    run.mkdir(parents=True, exist_ok=True)
    before = kept_id(run)
    if before and offline_fragments(run, before):
        mode = "offline"  # the server knows nothing of the run yet: its history stays in one place
    arguments = {
        "id": before or os.environ.get("WANDB_RUN_ID") or uuid.uuid4().hex[:8],
        "resume": "allow" if before else None,
        "dir": str(run),
        "project": project,
        "name": (name or run.name)[:LONGEST_NAME],
        "group": group[:LONGEST_NAME] if group else None,
        "job_type": job_type,
        "config": dict(config or {}),
        "settings": wandb.Settings(
            init_timeout=init_timeout,
            finish_timeout=finish_timeout,
            finish_timeout_raises=True,
            silent=True,  # what there is to say, is said here in one line
            console="off",
            reinit="finish_previous",  # or a sweep's second job would log into the first one's run
        ),
    }
    experiment = _start(arguments, mode)
    experiment.define_metric(STEP_METRIC)
    experiment.define_metric("*", step_metric=STEP_METRIC, step_sync=True)
    for metric, summary in SUMMARIES.items():
        experiment.define_metric(metric, step_metric=STEP_METRIC, summary=summary)
    keep_id(run, experiment.id)
    earlier = [file for file in offline_fragments(run, experiment.id) if _folder(experiment) not in file.parents]
    known = set().union(*map(steps_of, earlier)) if experiment.offline else set(range(experiment.starting_step))
    loggers.append(HistoryLogger(run, known, experiment=experiment, project=project, save_dir=run))
    return loggers


def _start(arguments: dict[str, Any], mode: str) -> Any:
    """A W&B run, online if that is wanted and possible, else offline."""
    import wandb

    if mode == "online":
        try:
            with _no_terminal():
                experiment = wandb.init(mode="online", **arguments)
        except (wandb.Error, ValueError, TimeoutError, ConnectionError) as error:
            # W&B puts "<no message>" where the server refused the login.
            reason = str(error).replace("<no message>", "the server refused the login").strip() or repr(error)
            reason = reason.splitlines()[0].rstrip(".: ")
            # Under an id of its own: W&B's service still holds the other one, and would refuse it.
            alone = arguments | {"id": uuid.uuid4().hex[:8], "resume": None}
            experiment = wandb.init(mode="offline", **alone)
            _say(f"W&B goes on offline ({reason}); to upload: wandb sync {_folder(experiment)}")
            return experiment
        _say(f"W&B: {experiment.url}")
        return experiment
    return wandb.init(mode="offline", **arguments)


@contextmanager
def _no_terminal() -> Iterator[None]:
    """Hide the terminal's input: without a login W&B would ask for a key on it and wait for the answer."""
    terminal = sys.stdin
    with open(os.devnull, encoding="utf-8") as nothing:
        sys.stdin = nothing
        try:
            yield
        finally:
            sys.stdin = terminal


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
        if isinstance(logger, WandbLogger):
            experiment = logger.experiment
            try:
                experiment.finish(exit_code=1 if failed else 0)
            except TimeoutError:
                _say(f"W&B did not take the rest of the run in time; to upload: wandb sync {_folder(experiment)}")


def _folder(experiment: Any) -> Path:
    return Path(experiment.dir).parent  # .dir is the run's folder of uploaded files, below it


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
