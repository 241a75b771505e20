"""Stop-watches for real training iterations: each part's own time, and operations beside the machine's products."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from simswap.training.module import SimSwapModule

WARM_UP = 3
RECOGNIZER, FORWARD, REST = "recognizer on sources", "G: forward", "average, Lightning, rest"
PARTS = (RECOGNIZER, FORWARD, "D: forward", "D: gradient penalty", "D: backward", "G: recognizer on results",
         "G: forward of D", "G: backward", "optimizers")  # fmt: skip


class TimedModule(SimSwapModule):
    """The training module with a stop-watch around its parts.

    seconds: each part's own CPU time. marks: None, or the name of each piece of work and the mark at its end, which
    ``mark`` makes; the first one begins them.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.seconds: dict[str, float] = {}
        self.phase = ""
        self.marks: list[tuple[str, Any]] | None = None
        self.mark: Callable[[], Any] = time.process_time
        self._open: list[str] = []
        self._since = 0.0
        self._watched = False

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        self._turn()
        self._open.append(name)
        yield
        self._turn()
        self._open.pop()

    def _turn(self) -> None:
        """What passed since the last turn belongs to the part that is innermost now."""
        now = time.process_time()
        if self.marks is not None:
            self.marks.append((self._open[-1] if self._open else REST, self.mark()))
        if self._open:
            self.seconds[self._open[-1]] = self.seconds.get(self._open[-1], 0.0) + now - self._since
        self._since = now

    def watch(self) -> None:
        """Time the networks and the penalty too, wherever they are called, in the next training."""
        self._watched = True

    def on_fit_start(self) -> None:
        super().on_fit_start()  # makes the embedder of training
        if not self._watched:
            return
        self._watched = False
        for owner, method, name in (
            (self.training_embedder, "identity", RECOGNIZER),
            (self.training_embedder, "forward", None),
            (self.generator, "forward", FORWARD),
            (self.objective, "discriminator", "D: gradient penalty"),
        ):
            setattr(owner, method, self._timed_call(getattr(owner, method), name))

    def _timed_call(self, call: Any, name: str | None) -> Any:
        def timed(*arguments: Any) -> Any:
            within = self._open[-1] if self._open else ""
            with self.timed(name or (RECOGNIZER if within == RECOGNIZER else "G: recognizer on results")):
                return call(*arguments)

        return timed

    def on_train_start(self) -> None:
        super().on_train_start()
        for optimizer in self.optimizers():  # type: ignore[union-attr]
            optimizer.optimizer.register_step_pre_hook(self._step_begins)
            optimizer.optimizer.register_step_post_hook(self._step_ends)

    def _step_begins(self, *_: Any) -> None:
        self._turn()
        self._open.append("optimizers")

    def _step_ends(self, *_: Any) -> None:
        self._turn()
        self._open.pop()

    def manual_backward(self, loss: Tensor, *arguments: Any, **settings: Any) -> None:
        with self.timed(f"{self.phase}: backward"):
            super().manual_backward(loss, *arguments, **settings)

    def discriminator_phase(self, *arguments: Any) -> Any:
        self.phase = "D"
        with self.timed("D: forward"):
            return super().discriminator_phase(*arguments)

    def generator_phase(self, *arguments: Any) -> Any:
        self.phase = "G"
        with self.timed("G: forward of D"):
            return super().generator_phase(*arguments)


class Operations(TorchDispatchMode):
    """Counts floating-point operations by torch's own formulas.

    `FlopCounterMode` itself cannot be used: its module hooks refuse the gradient penalty's inner gradient.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **kwargs, out_val=result)
        return result


def bare_trainer(*callbacks: L.Callback, **settings: Any) -> L.Trainer:
    """A trainer on one CPU without end, validation, logs and files; ``settings`` are Lightning's, and go before."""
    bare: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "max_steps": -1,
        "limit_val_batches": 0,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
    }
    return L.Trainer(callbacks=list(callbacks), **(bare | settings))


class StopWatch(L.Callback):
    """Iterations after the warm-up, by turns with matrix products, so that other work on the machine slows both.

    seconds: of iterations. After the run: ``each`` iteration's time by the clock and ``busy``, its CPU time; ``waited``
    for its batch, by the clock; ``rates`` of the products after it, by CPU time; and the ``operations`` of one.
    """

    SIDE, BURST = 1024, 6

    def __init__(self, seconds: float, warm_up: int = WARM_UP) -> None:
        self.limit, self.warm_up = seconds, warm_up
        self.each: list[float] = []
        self.busy: list[float] = []
        self.waited: list[float] = []
        self.rates: list[float] = []
        self.operations = 0
        self._counter = Operations()
        self._factors = torch.randn(2, self.SIDE, self.SIDE)
        self._ended = 0.0

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 0:
            self._counter.__enter__()
        self._start, self._begun = time.perf_counter(), time.process_time()
        if batch_idx >= self.warm_up:
            self.waited.append(self._start - self._ended)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        took, busy = time.perf_counter() - self._start, time.process_time() - self._begun
        if batch_idx == 0:
            self._counter.__exit__(None, None, None)
            self.operations = self._counter.total
        if batch_idx < self.warm_up:
            pl_module.seconds.clear()
            self._multiply()
        else:
            self.each.append(took)
            self.busy.append(busy)
            self.rates.append(self._multiply())
            trainer.should_stop = sum(self.each) > self.limit
        self._ended = time.perf_counter()

    def _multiply(self) -> float:
        """Floating-point operations a CPU second of a burst of products."""
        start = time.process_time()
        for _ in range(self.BURST):
            torch.mm(*self._factors)
        return self.BURST * 2 * self.SIDE**3 / (time.process_time() - start)
