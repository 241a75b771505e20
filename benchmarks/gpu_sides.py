"""The two sides of the GPU report: the public trainer's iteration and `SimSwapModule` in a Lightning trainer.

Both iterate in bursts on a device. A burst starts iteration after iteration without a wait in between, as a training
does; marks in the device's own stream of work give each iteration's time.
"""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import lightning as L
import torch
from against_published import Public
from gpu_measures import Clock, allocated, moved, pinned
from iteration import RandomBatches
from timing import TimedModule, bare_trainer
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from simswap.precision import products_of_training

Batch = dict[str, Tensor]


class MadeUpBatches(IterableDataset):
    """Made-up batches without end, in pinned memory; ``pairs`` may change at any time."""

    def __init__(self, size: int, device: torch.device) -> None:
        self.size, self.device, self.pairs = size, device, 1
        self._made: dict[int, tuple[Batch, Batch]] = {}

    def __iter__(self) -> Iterator[Batch]:
        number = 0
        while True:
            yield self.batch(number)
            number += 1

    def batch(self, number: int) -> Batch:
        """One of two batches: of the same person in both pictures, and of two persons."""
        if self.pairs not in self._made:
            endless = iter(RandomBatches(self.pairs, self.size))
            # with the penalty's mixing weights, as the loader gives them
            made = [next(endless) | {"mix": torch.rand(self.pairs, dtype=torch.float64)} for _ in range(2)]
            one, other = (pinned(batch, self.device) for batch in made)
            self._made[self.pairs] = one, other
        return self._made[self.pairs][number % 2]


class Side:
    """One of the sides. ``resident``: bytes of its networks, moments and averages, after a warm-up."""

    def __init__(self, size: int, device: torch.device, tf32: bool) -> None:
        self.device, self.tf32, self.clock = device, tf32, Clock(device)
        self.batches = MadeUpBatches(size, device)
        self.resident = 0

    def burst(self, count: int, pairs: int, observer: AbstractContextManager | None = None) -> list[float]:
        """So many iterations; milliseconds of each. ``observer`` is entered around each of them."""
        self.batches.pairs = pairs
        with products_of_training(self.tf32):
            return self.clock.milliseconds(self._iterate(count, observer))

    def warm_up(self, count: int, pairs: int, before: int | None = None) -> None:
        """Iterations that are not measured; ``before`` is what the device held before this side was made."""
        self.burst(count, pairs)
        if before is not None:
            self.resident = allocated(self.device) - before

    def _iterate(self, count: int, observer: AbstractContextManager | None) -> list[Any]:
        raise NotImplementedError

    def end(self) -> None:
        """Let go of what is held."""


class Published(Side):
    """The public trainer's iteration in fp32 (TF32 or not), or in bfloat16 by autocast."""

    def __init__(self, module: TimedModule, size: int, device: torch.device, precision: str, tf32: bool) -> None:
        super().__init__(size, device, tf32)
        module.to(device)
        module.embedder.to(device)
        self._public = Public(module, batches=2)
        self._bf16 = precision == "bf16-mixed"

    def _iterate(self, count: int, observer: AbstractContextManager | None) -> list[Any]:
        marks = [self.clock.mark()]
        for number in range(count):
            with observer or nullcontext():
                two = [moved(self.batches.batch(2 * number + k), self.device) for k in range(2)]
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
                    self._public(two)
            marks.append(self.clock.mark())
        return marks


class Turns(L.Callback):
    """Lets a trainer in a thread of its own make so many iterations, and marks the end of each."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.go, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.ended = False
        self.observer: AbstractContextManager | None = None
        self.marks: list[Any] = []

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> int | None:
        """Wait for the turn; -1 ends the trainer."""
        self.go.acquire()
        if self.ended:
            trainer.should_stop = True
            return -1
        if not self.marks:
            self.marks.append(self.clock.mark())
        if self.observer is not None:
            self.observer.__enter__()
        return None

    def on_train_batch_end(self, *_: Any) -> None:
        """Hand the turn back."""
        if self.observer is not None:
            self.observer.__exit__(None, None, None)
        self.marks.append(self.clock.mark())
        self.done.release()


class Ours(Side):
    """`SimSwapModule` in a Lightning trainer with this precision."""

    def __init__(
        self, module: TimedModule, size: int, device: torch.device, precision: Any, tf32: bool, **trainer: Any
    ) -> None:
        super().__init__(size, device, tf32)
        self.module, self.turns = module, Turns(self.clock)
        self._fault: BaseException | None = None
        accelerator = "gpu" if device.type == "cuda" else "cpu"
        settings: dict[str, Any] = {"accelerator": accelerator, "precision": precision} | trainer
        made = bare_trainer(self.turns, **settings)
        threads = torch.get_num_threads()

        def fit() -> None:
            torch.set_num_threads(threads)  # OpenMP keeps the number for each thread
            try:
                made.fit(module, DataLoader(self.batches, batch_size=None))
            except BaseException as error:  # for the thread that waits for this one
                self._fault = error
                self.turns.done.release()

        self._thread = threading.Thread(target=fit, daemon=True)
        self._thread.start()

    def _iterate(self, count: int, observer: AbstractContextManager | None) -> list[Any]:
        self.turns.marks, self.turns.observer = [], observer
        self.turns.go.release(count)
        for _ in range(count):
            self.turns.done.acquire()
            if self._fault is not None:
                raise self._fault
        return self.turns.marks

    def end(self) -> None:
        """End the trainer."""
        self.turns.ended = True
        self.turns.go.release()
        self._thread.join()
