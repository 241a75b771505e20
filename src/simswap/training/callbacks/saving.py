"""The checkpoints of a run, each complete or absent: the newest, the one before it, and the best."""

import os
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO

from simswap.compat.lightning import forget_unfinished_validation, settle_loops
from simswap.errors import InputError
from simswap.files import atomic_write
from simswap.launching.stops import saving
from simswap.training.callbacks.stopping import StopInValidation

NEXT, NEWEST, BEFORE, BEST = "next.ckpt", "last.ckpt", "previous.ckpt", "best.ckpt"
NEWEST_FIRST = (NEXT, NEWEST, BEFORE)
"""Where to look for a checkpoint to resume from; ``next.ckpt`` is there for the moment in which it takes its place."""


class WholeFiles(TorchCheckpointIO):
    """Lightning's access to checkpoint files, atomic: written under another name, flushed to disk, then renamed.

    Lightning's own writes to the system's temporary folder, which on another disk means a copy instead of a rename, and
    never flushes.

    Raises:
        InputError: a file cannot be written, as on a full disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write the file atomically."""
        with atomic_write(Path(path), durable=True) as part:
            try:
                torch.save(checkpoint, part)
            except RuntimeError as error:
                if "inline_container" not in str(error):  # torch's file writer, which gives no reason
                    raise
                raise OSError("the disk is full, or a limit is reached") from error


class NewestCheckpoint(L.Callback):
    """Keeps ``last.ckpt`` and the one before it: every so many iterations, and when training ends in order.

    It is saved when the next iteration starts: by then everything of the earlier iterations (rows of metrics.csv,
    validation, the best checkpoint, the grid) is on the disk, so that a killed and resumed run misses nothing.
    """

    def __init__(self, run: Path, every: int) -> None:
        self.run, self.folder, self.every = run, run / "checkpoints", every
        self._saved_at = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remember the iteration of the checkpoint from which the run resumes."""
        self._saved_at = trainer.global_step  # the run resumed from a saved iteration

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        # During iterations with skipped steps the earlier checkpoint stays: it is the last good one.
        """Save if it is due."""
        due = trainer.global_step % self.every == 0 and not pl_module.skips.in_a_row  # type: ignore[union-attr]
        if due and trainer.global_step != self._saved_at:
            self._save(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save the last iteration."""
        if trainer.global_step != self._saved_at:
            self._save(trainer)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Save after a stop during validation."""
        if isinstance(exception, StopInValidation) and trainer.global_step != self._saved_at:
            forget_unfinished_validation(trainer)
            self._save(trainer)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Set the loops' counters to the end of the iteration."""
        settle_loops(checkpoint, trainer.global_step)

    def _save(self, trainer: L.Trainer) -> None:
        save(trainer, self.run, NEXT)
        if trainer.is_global_zero:
            if (self.folder / NEWEST).is_file():
                os.replace(self.folder / NEWEST, self.folder / BEFORE)
            os.replace(self.folder / NEXT, self.folder / NEWEST)
        self._saved_at = trainer.global_step


class BestCheckpoint(L.Callback):
    """Keeps ``best.ckpt``: the validation with the highest ``monitor``, the first of equal ones."""

    def __init__(self, run: Path, monitor: str) -> None:
        self.run, self.monitor = run, monitor
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
            save(trainer, self.run, BEST)


def save(trainer: L.Trainer, run: Path, name: str) -> None:
    """Write a checkpoint of the run; if that fails, the error says which one is complete. Called on all ranks."""
    try:
        with saving():
            trainer.save_checkpoint(run / "checkpoints" / name)
    except InputError as error:
        kept = run / "checkpoints" / NEWEST
        how = f"{kept} is complete: resume from it with simswap-train resume={run}"
        raise InputError(f"{error}; {how if kept.is_file() else 'there is no checkpoint yet'}") from error
