"""What happens beside the iterations: sample grids, the newest checkpoint, an orderly stop."""

import logging
import os
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
from tqdm import tqdm

from simswap.pictures import provenance, write_png
from simswap.sampling import unseen_grid
from simswap.tracking.logger import log_picture
from simswap.training.module import SimSwapModule

log = logging.getLogger(__name__)


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
        data = trainer.datamodule  # type: ignore[attr-defined]
        grid = unseen_grid(data, "val", self.faces, self.seed, module.swap, module.device)
        write_png(path, grid, provenance(f"iteration {trainer.global_step}"))
        for logger in trainer.loggers:
            log_picture(logger, "samples", path, trainer.global_step)


class NewestCheckpoint(L.Callback):
    """Keeps ``<run>/checkpoints/last.ckpt``: every so many iterations, and where training stops in order."""

    def __init__(self, run: Path, every: int) -> None:
        self.path, self.every = run / "checkpoints" / "last.ckpt", every
        self._saved_at = -1

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        # Among iterations that leave steps out, the one from before them stays: it is the last good one.
        if trainer.global_step % self.every == 0 and not pl_module.skips.in_a_row:  # type: ignore[union-attr]
            self._save(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._saved_at != trainer.global_step:
            self._save(trainer)

    def _save(self, trainer: L.Trainer) -> None:
        trainer.save_checkpoint(self.path)  # Lightning writes aside and renames
        self._saved_at = trainer.global_step


class Progress(L.Callback):
    """A bar over iterations with the terms that tell most; where there is no terminal, a line every so many."""

    def __init__(self, every: int) -> None:
        self.every = every
        self._bar: tqdm | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        total = trainer.max_steps if trainer.max_steps > 0 else None
        if trainer.is_global_zero:
            self._bar = tqdm(total=total, initial=trainer.global_step, desc="training", unit="it", disable=None)
        self._start = (time.monotonic(), trainer.global_step)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if self._bar is None:
            return
        if not self._bar.disable:
            self._bar.update(trainer.global_step - self._bar.n)
        if trainer.global_step % self.every == 0:
            figures = {
                name.split("/")[1]: f"{float(trainer.callback_metrics[name]):.3f}"
                for name in ("train/identity", "train/reconstruction", "train/discriminator", "val/id_retrieval")
                if name in trainer.callback_metrics
            }
            self._bar.set_postfix(figures)
            if self._bar.disable:
                seconds, iterations = time.monotonic() - self._start[0], trainer.global_step - self._start[1]
                words = ", ".join(f"{name} {value}" for name, value in figures.items())
                log.info("iteration %d, %.2f s each: %s", trainer.global_step, seconds / iterations, words)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._bar is not None:
            self._bar.close()


class OrderlyStop(L.Callback):
    """Ctrl-C ends training after the iteration at hand, with the newest checkpoint saved; a second one at once."""

    def __init__(self) -> None:
        self.interrupted = False
        self._trainer: L.Trainer | None = None
        self._earlier: Any = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._trainer, self._process = trainer, os.getpid()
        try:
            self._earlier = signal.signal(signal.SIGINT, self._on_interrupt)
        except ValueError:  # only the main thread can take signals; a launcher's other threads go without
            self._earlier = None

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if self._earlier is not None:
            signal.signal(signal.SIGINT, self._earlier)

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a loader's worker, forked with this handler: the trainer ends it
        if self.interrupted or self._trainer is None:
            raise KeyboardInterrupt
        self.interrupted = True
        self._trainer.should_stop = True
        print("\nstopping after this iteration, the newest checkpoint is saved (Ctrl-C again: at once)", flush=True)
