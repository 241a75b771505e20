"""What shows the progress of a run: sample grids and a progress bar."""

import logging
from pathlib import Path
from typing import Any

import lightning as L
from tqdm import tqdm

from simswap.measuring.sampling import unseen_grid
from simswap.pictures import provenance, write_png
from simswap.tracking.logger import log_picture
from simswap.training.callbacks.speed_monitor import SpeedMonitor
from simswap.training.callbacks.stopping import GracefulStop
from simswap.training.module import SimSwapModule

log = logging.getLogger(__name__)


class SampleGrid(L.Callback):
    """Every so many iterations: the same unseen targets (left) and sources (top), swapped, as an image.

    It goes to ``<run>/samples/<iteration>.png`` and to the loggers, also at the end, unless a signal asked for it: that
    run will resume.

    Args:
        run: the run's folder.
        every: iterations between grids; None or 0 for no grids.
        faces: rows and columns of the grid.
        seed: of the choice of faces.
        stop: knows whether a signal ended the run.
    """

    def __init__(self, run: Path, every: int | None, faces: int, seed: int, stop: GracefulStop) -> None:
        self.folder, self.every, self.faces, self.seed, self.stop = run / "samples", every, faces, seed, stop

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Draw the grid if it is due."""
        if self.every and trainer.global_step % self.every == 0:
            self._write(trainer, pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw the last grid."""
        if self.every and trainer.global_step % self.every and not self.stop.signal:
            self._write(trainer, pl_module)

    def _write(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if not trainer.is_global_zero or not isinstance(module, SimSwapModule):
            return
        path = self.folder / f"{trainer.global_step:07d}.png"
        data = trainer.datamodule  # type: ignore[attr-defined]
        grid = unseen_grid(data, "val", self.faces, self.seed, module.swap, module.device)
        write_png(path, grid, provenance(f"iteration {trainer.global_step}"))
        for logger in trainer.loggers:
            log_picture(logger, "samples", path, trainer.global_step - 1)  # the step of this iteration


class Progress(L.Callback):
    """A bar over the iterations with the most informative terms; without a terminal, a log line every so many."""

    def __init__(self, every: int, watch: SpeedMonitor) -> None:
        self.every, self.watch = every, watch
        self._bar: tqdm | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Show the bar."""
        total = trainer.max_steps if trainer.max_steps > 0 else None
        if trainer.is_global_zero:
            self._bar = tqdm(total=total, initial=trainer.global_step, desc="training", unit="it", disable=None)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Update the bar, or log a line."""
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
            words = [*(f"{name} {value}" for name, value in figures.items()), *self.watch.in_words()]
            self._bar.set_postfix_str(", ".join(words))
            if self._bar.disable:
                log.info("iteration %d: %s", trainer.global_step, ", ".join(words))

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
