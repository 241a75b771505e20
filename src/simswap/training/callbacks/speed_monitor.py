"""Speed of a run: throughput, memory, waiting for data, remaining time."""

import datetime
import resource
import sys
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Timer

from simswap.tracking.logger import log_watch
from simswap.tracking.metrics_csv import MetricsCsvLogger


class SpeedMonitor(L.Callback):
    """Logs ``watch/…`` to W&B and ``<run>/watch.csv``, over the iterations since the last logged one.

    ``watch/images_per_second``, over all ranks, without validation; ``watch/seconds_per_iteration``;
    ``watch/data_wait_share``, of that time on rank 0; ``watch/memory_mb``, the peak of rank 0's process;
    ``watch/gpu_memory_mb``, the peak of its GPU; ``watch/remaining_seconds``, to ``trainer.max_steps`` or
    ``trainer.max_time``, whichever comes first.
    """

    def __init__(self, run: Path, batch_size: int) -> None:
        self.batch_size = batch_size
        #: the last figures, by name
        self.figures: dict[str, float] = {}
        self._file = MetricsCsvLogger(run, "watch.csv")
        self._validation_began = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._begin(trainer)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop the clock during validation."""
        self._validation_began = time.monotonic()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Continue the clock."""
        self._start += time.monotonic() - self._validation_began

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Log if it is due."""
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if not trainer.is_global_zero or trainer.global_step % max(1, every) or trainer.global_step == self._iteration:
            return
        seconds = max(1e-9, time.monotonic() - self._start)
        each = seconds / (trainer.global_step - self._iteration)
        self.figures = {
            "watch/images_per_second": self.batch_size / each,
            "watch/seconds_per_iteration": each,
            "watch/data_wait_share": (_waited(trainer) - self._waited) / seconds,
            "watch/memory_mb": peak_memory_mb(),
        }
        if pl_module.device.type == "cuda":
            self.figures["watch/gpu_memory_mb"] = torch.cuda.max_memory_allocated(pl_module.device) / 2**20
        remaining = remaining_seconds(trainer, each)
        if remaining is not None:
            self.figures["watch/remaining_seconds"] = remaining
        step = trainer.global_step - 1  # same iteration number as in metrics.csv
        self._file.log_metrics(self.figures, step)
        log_watch(trainer.loggers, self.figures, step)
        self._begin(trainer)

    def _begin(self, trainer: L.Trainer) -> None:
        self._start, self._iteration, self._waited = time.monotonic(), trainer.global_step, _waited(trainer)

    def in_words(self) -> list[str]:
        """A short text for the progress bar and the log; empty before the first logged iteration."""
        if not self.figures:
            return []
        words = [
            f"{self.figures['watch/images_per_second']:.1f} images/s",
            f"{self.figures['watch/data_wait_share']:.0%} of it waiting for data",
            f"{self.figures['watch/memory_mb'] / 1024:.1f} GiB",
        ]
        if "watch/remaining_seconds" in self.figures:
            words.append(f"{datetime.timedelta(seconds=round(self.figures['watch/remaining_seconds']))} left")
        return words


def remaining_seconds(trainer: L.Trainer, each: float) -> float | None:
    """Seconds to the last iteration, at ``each`` seconds per iteration, or to the end of the trainer's time.

    None if there is neither.
    """
    ends = [(trainer.max_steps - trainer.global_step) * each] if trainer.max_steps > 0 else []
    left = [c.time_remaining() for c in trainer.callbacks if isinstance(c, Timer)]  # type: ignore[attr-defined]
    ends += [seconds for seconds in left if seconds is not None]
    return max(0.0, min(ends)) if ends else None


def peak_memory_mb() -> float:
    """Peak resident memory of this process, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _waited(trainer: L.Trainer) -> float:
    return float(getattr(trainer.train_dataloader, "waited", 0.0))
