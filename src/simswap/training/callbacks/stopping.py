"""A graceful stop: on Ctrl-C, or when Slurm or a shell asks for it."""

import os
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import lightning as L
import torch

from simswap.compat.lightning import end_after_this_iteration, validate
from simswap.launching import stops


class StopNow(BaseException):
    """Ends training at once. A class of its own, since a KeyboardInterrupt makes Lightning end the process."""


class StopInValidation(StopNow):
    """Ends a validation between two of its batches; the run is saved, and repeats the validation when it resumes."""


AGREED_EVERY = 10
"""Iterations on several GPUs between two agreements of the ranks on a stop; each waits until the device is done."""


def agreed_every(trainer: L.Trainer, module: L.LightningModule) -> int:
    """After how many iterations the ranks agree whether one of them was asked to stop."""
    return AGREED_EVERY if trainer.world_size > 1 and module.device.type != "cpu" else 1


class GracefulStop(L.Callback):
    """``with GracefulStop(run)``: a signal ends training after the current iteration, on all ranks at the same one.

    Then only the newest checkpoint is saved; a validation that is due, or has started, runs when the run resumes. A
    second signal ends it at once, as does a first one before training has started. `simswap.launching.stops` ends a
    process that only waits. Other handlers of the signal (submitit's, which requeues the job) get it at the end of the
    block.
    """

    def __init__(self, run: Path) -> None:
        #: the signal that stopped training, on any rank; 0: none
        self.signal = 0
        self.how_to_resume = f"resume with simswap-train resume={run}"
        self._asked, self._asked_at = 0, 0.0  # received by this rank; the handler may write it at any moment
        self._training = self._validation_due = False
        self._every = 1
        self._earlier: dict[int, Any] = {}
        self._watch = ExitStack()

    def __enter__(self) -> "GracefulStop":
        self._process = os.getpid()
        self._watch.enter_context(stops.watched())
        self._watch.enter_context(stops.last_words(lambda _: self.how_to_resume))
        self._take_signals()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        stops.enter(stops.LEAVING)
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
        self._watch.close()
        waiting = self._earlier.get(self._asked)
        if callable(waiting) and waiting is not stops.stop_now and self._asked != signal.SIGINT:
            waiting(self._asked, None)
        if kind is not None and issubclass(kind, StopNow):
            raise KeyboardInterrupt(self.how_to_resume) from None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Install the signal handlers."""
        self._take_signals()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Install the handlers again, stop after an earlier signal, and run a validation that is due."""
        self._take_signals()  # again: Lightning has installed its own handler
        if self._asked or trainer.received_sigterm:
            raise StopNow(self.how_to_resume)
        self._training, self._every = True, agreed_every(trainer, pl_module)
        stops.enter(stops.TRAINING)
        if self._validation_due:
            self._validation_due = False
            validate(trainer)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Stop, on all ranks, if one has received a signal."""
        if trainer.global_step % self._every == 0:
            self.signal = self._agreed(trainer, pl_module)
        if self.signal:
            end_after_this_iteration(trainer)
            every = trainer.val_check_batch
            due = isinstance(every, int) and trainer.global_step % every == 0
            self._validation_due = trainer.enable_validation and due
            trainer.limit_val_batches = 0

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        # Equally often on every rank: one of them may have one more batch.
        """End the validation if a rank has received a signal."""
        validation: Any = pl_module.validation
        if batch_idx < validation.common_batches:
            self.signal = self._agreed(trainer, pl_module)
            if self.signal:
                self._validation_due = True
                raise StopInValidation(self.how_to_resume)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leave later signals to the end of the run."""
        self._training = False
        stops.enter(stops.LEAVING)

    def state_dict(self) -> dict[str, Any]:
        """Whether a validation is due."""
        return {"validation_due": self._validation_due}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a validation that is due."""
        self._validation_due = state_dict["validation_due"]

    def _agreed(self, trainer: L.Trainer, pl_module: L.LightningModule) -> int:
        if trainer.world_size == 1:
            return self._asked
        asked = torch.tensor(self._asked, device=pl_module.device)
        return int(trainer.strategy.reduce(asked, reduce_op="max"))

    def _take_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread can handle signals
        for number in stops.taken():
            earlier = signal.signal(number, self._on_signal)
            self._earlier.setdefault(number, earlier)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a loader's worker, forked with this handler: the trainer ends it
        stops.heard()
        again = self._asked and time.monotonic() - self._asked_at > stops.AGAIN_SECONDS
        if not self._asked:
            self._asked, self._asked_at = number, time.monotonic()
        if again or not self._training:
            raise StopNow(self.how_to_resume)
        how = " (Ctrl-C again: at once)" if number == signal.SIGINT else f" ({signal.Signals(number).name})"
        when = "after this iteration" if self._every == 1 else f"within {self._every} iterations"
        print(f"\nstopping {when}, the newest checkpoint is saved{how}", flush=True)
        stops.end_wait()
