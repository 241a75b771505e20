"""The checkpoints of a run, each complete or absent: the newest, the one before it, and the best."""

import logging
import os
from pathlib import Path
from typing import Any

import lightning as L

from simswap.compat.lightning import checkpoint_content, forget_unfinished_validation, settle_loops
from simswap.launching.stops import saving
from simswap.training.callbacks.stopping import StopInValidation, StopNow
from simswap.training.checkpoint_files import BEFORE, BEST, NEWEST, NEXT, CheckpointWriter

log = logging.getLogger(__name__)


class NewestCheckpoint(L.Callback):
    """Keeps ``last.ckpt`` and the one before it: every so many iterations, and when training ends in order.

    It is saved when the next iteration starts: by then everything of the earlier iterations (rows of metrics.csv,
    validation, the best checkpoint, the grid) is on the disk, so that a killed and resumed run misses nothing.

    Args:
        run: the run's folder.
        every: iterations between checkpoints.
        writer: writes the files; None for one of its own.
    """

    def __init__(self, run: Path, every: int, writer: CheckpointWriter | None = None) -> None:
        self.folder, self.every = run / "checkpoints", every
        self.writer = writer or CheckpointWriter(run)
        self._saved_at = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remember the iteration of the checkpoint from which the run resumes."""
        self._saved_at = trainer.global_step  # the run resumed from a saved iteration

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        # During iterations with skipped steps the earlier checkpoint stays: it is the last good one.
        """Save if it is due; raise the error of an earlier checkpoint as soon as it is known."""
        self.writer.check()
        due = trainer.global_step % self.every == 0 and not pl_module.skips.in_a_row  # type: ignore[union-attr]
        if due and trainer.global_step != self._saved_at:
            self._save(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save the last iteration, and wait until it is on the disk."""
        if trainer.global_step != self._saved_at:
            self._save(trainer)
        self.writer.wait()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Save after a stop during validation; wait for what is being written."""
        if isinstance(exception, StopInValidation) and trainer.global_step != self._saved_at:
            forget_unfinished_validation(trainer)
            self._save(trainer)
        try:
            self.writer.wait()
        except Exception as error:
            if isinstance(exception, StopNow):
                raise
            log.error("%s", error)  # what ended the run is reported as its error

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Set the loops' counters to the end of the iteration."""
        settle_loops(checkpoint, trainer.global_step)

    def _save(self, trainer: L.Trainer) -> None:
        save(trainer, self.writer, NEXT, self._rename)
        self._saved_at = trainer.global_step

    def _rename(self) -> None:
        if (self.folder / NEWEST).is_file():
            os.replace(self.folder / NEWEST, self.folder / BEFORE)
        os.replace(self.folder / NEXT, self.folder / NEWEST)


class BestCheckpoint(L.Callback):
    """Keeps ``best.ckpt``: the validation with the highest ``monitor``, the first of equal ones.

    Args:
        writer: writes the file.
        monitor: name of a figure of the validation.
    """

    def __init__(self, writer: CheckpointWriter, monitor: str) -> None:
        self.writer, self.monitor = writer, monitor
        self._best: dict[str, float] = {}

    def state_dict(self) -> dict[str, Any]:
        """The best value so far."""
        return dict(self._best)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best value."""
        self._best = dict(state_dict)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save if the value is the best so far."""
        value = float(trainer.callback_metrics.get(self.monitor, float("nan")))
        if value > self._best.get("value", float("-inf")):  # false for NaN
            self._best = {"value": value, "iteration": trainer.global_step}
            save(trainer, self.writer, BEST)


def save(trainer: L.Trainer, writer: CheckpointWriter, name: str, then: Any = None) -> None:
    """Let the first rank write a checkpoint of the run; called on all ranks. See `CheckpointWriter.write`."""
    with saving():
        content = checkpoint_content(trainer)
        if trainer.is_global_zero:
            writer.write(name, content, then)


def wait_for_checkpoints(trainer: L.Trainer) -> None:
    """Wait until the run's newest checkpoint is on the disk."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, NewestCheckpoint):
            callback.writer.wait()
