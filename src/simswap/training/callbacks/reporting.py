"""Keeps a run's ``status.json`` up to date from start to end, however the run ends."""

import os
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import lightning as L

from simswap.errors import Diverged, InputError
from simswap.launching import stops
from simswap.tracking.status import DIVERGED, FAILED, FINISHED, INTERRUPTED, RUNNING, read_status, write_status
from simswap.training.callbacks.stopping import StopNow


class StatusReport(L.Callback):
    """``with StatusReport(run) as report``: running inside the block, and at its end the reason of the end.

    As a callback of the trainer it also writes the progress with every checkpoint.
    """

    def __init__(self, run: Path) -> None:
        self.run, self.iteration = run, 0
        self._last_words = ExitStack()

    def __enter__(self) -> "StatusReport":
        earlier = read_status(self.run)  # of a resumed run
        self.iteration = earlier.iteration if earlier else 0
        write_status(self.run, RUNNING, self.iteration)
        self._last_words.enter_context(stops.last_words(self._stopped))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._last_words.close()
        last = read_status(self.run)
        if last is not None and last.pid != os.getpid() and last.state != RUNNING:
            return  # this process only watched the run's processes, which have reported their end
        if error is None:
            write_status(self.run, FINISHED, self.iteration)
            return
        cut_off = stops.asked() and isinstance(error, RuntimeError)  # by a rank that has stopped
        if cut_off or isinstance(error, KeyboardInterrupt | StopNow):
            state = INTERRUPTED
        else:
            state = DIVERGED if isinstance(error, Diverged) else FAILED
        with suppress(InputError):  # the disk is full, which the error that ended the run reports
            why = f"resume with simswap-train resume={self.run}" if cut_off else str(error) or type(error).__name__
            write_status(self.run, state, self.iteration, why)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the progress."""
        self._write(trainer)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Note the iteration."""
        self.iteration = trainer.global_step

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Write the progress."""
        self._write(trainer)

    def _stopped(self, how: str | None) -> None:
        last = read_status(self.run)
        iteration = max(self.iteration, last.iteration if last else 0)
        write_status(self.run, INTERRUPTED, iteration, how or "stopped while it waited")

    def _write(self, trainer: L.Trainer) -> None:
        self.iteration = trainer.global_step
        write_status(self.run, RUNNING, self.iteration)
