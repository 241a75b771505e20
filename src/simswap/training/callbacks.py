"""What happens beside the iterations: sample grids, the newest checkpoint, an orderly stop."""

import signal
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L

from simswap.pictures import write_png
from simswap.sampling import unseen_grid
from simswap.tracking.logger import log_picture
from simswap.training.module import SimSwapModule


class SampleGrid(L.Callback):
    """Every so many iterations: the same unseen targets (left) and sources (top), swapped, as a picture.

    Written to ``<run>/samples/<iteration>.png`` and to the loggers. faces: rows and columns of the grid.
    """

    def __init__(self, run: Path, every: int, faces: int, seed: int) -> None:
        self.folder, self.every, self.faces, self.seed = run / "samples", every, faces, seed

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if trainer.global_step % self.every == 0:
            self._write(trainer, pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.global_step % self.every:
            self._write(trainer, pl_module)

    def _write(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if not trainer.is_global_zero or not isinstance(module, SimSwapModule):
            return
        path = self.folder / f"{trainer.global_step:07d}.png"
        write_png(path, unseen_grid(trainer.datamodule, "val", self.faces, self.seed, module.swap, module.device))
        for logger in trainer.loggers:
            log_picture(logger, "samples", path, trainer.global_step)


class NewestCheckpoint(L.Callback):
    """Keeps ``<run>/checkpoints/last.ckpt``: every so many iterations, and where training stops in order."""

    def __init__(self, run: Path, every: int) -> None:
        self.path, self.every = run / "checkpoints" / "last.ckpt", every
        self._saved_at = -1

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if trainer.global_step % self.every == 0:
            self._save(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._saved_at != trainer.global_step:
            self._save(trainer)

    def _save(self, trainer: L.Trainer) -> None:
        trainer.save_checkpoint(self.path)  # Lightning writes aside and renames
        self._saved_at = trainer.global_step


class OrderlyStop(L.Callback):
    """Ctrl-C ends training after the iteration at hand, with the newest checkpoint saved; a second one at once."""

    def __init__(self) -> None:
        self.interrupted = False
        self._trainer: L.Trainer | None = None
        self._earlier: Any = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._trainer = trainer
        try:
            self._earlier = signal.signal(signal.SIGINT, self._on_interrupt)
        except ValueError:  # only the main thread can take signals; a launcher's other threads go without
            self._earlier = None

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if self._earlier is not None:
            signal.signal(signal.SIGINT, self._earlier)

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.interrupted or self._trainer is None:
            raise KeyboardInterrupt
        self.interrupted = True
        self._trainer.should_stop = True
        print("\nstopping after this iteration; the newest checkpoint is saved (Ctrl-C again stops at once)", flush=True)
