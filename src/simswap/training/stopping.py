"""An orderly stop: on Ctrl-C, or when Slurm or a shell asks for it."""

import os
import signal
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import lightning as L
import torch

ASK_TO_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Ctrl-C; kill, and Slurm before it kills; Slurm ahead of the time limit (--signal); submitit's before pre-emption."""


class StopNow(BaseException):
    """Ends training at once. Of its own kind: a KeyboardInterrupt makes Lightning leave the process."""


class OrderlyStop(L.Callback):
    """``with OrderlyStop(run)``: a signal ends training after the iteration at hand, on all ranks at the same one.

    The newest checkpoint is saved then, and nothing else that an uninterrupted run would not have. A second Ctrl-C
    ends it at once. What else waited for the signal (submitit, which puts the job into the queue again) gets it at
    the end of the block.
    """

    def __init__(self, run: Path) -> None:
        #: the signal that stopped training, on any rank; 0: none
        self.signal = 0
        self.how_to_go_on = f"go on with simswap-train resume={run}"
        self._asked = 0  # what reached this rank; written by the handler at any moment
        self._training = False
        self._earlier: dict[int, Any] = {}

    def __enter__(self) -> "OrderlyStop":
        self._process = os.getpid()
        self._take_signals()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
        waiting = self._earlier.get(self._asked)
        if callable(waiting) and self._asked != signal.SIGINT:
            waiting(self._asked, None)
        if kind is StopNow:
            raise KeyboardInterrupt(self.how_to_go_on) from None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._training = True
        self._take_signals()  # again: Lightning has put its own handler in front

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        asked = torch.tensor(self._asked, device=pl_module.device)
        self.signal = int(trainer.strategy.reduce(asked, reduce_op="max"))
        if self.signal:
            # Not should_stop, which would log and validate where an uninterrupted run does not.
            trainer.fit_loop.epoch_loop.max_steps = trainer.global_step

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._training = False

    def _take_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread can take signals; a launcher's other threads go without
        for number in ASK_TO_STOP:
            earlier = signal.signal(number, self._on_signal)
            self._earlier.setdefault(number, earlier)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a loader's worker, forked with this handler: the trainer ends it
        at_once = not self._training or (self._asked and number == signal.SIGINT)
        self._asked = number
        if at_once:
            raise StopNow
        how = " (Ctrl-C again: at once)" if number == signal.SIGINT else f" ({signal.Signals(number).name})"
        print(f"\nstopping after this iteration, the newest checkpoint is saved{how}", flush=True)
