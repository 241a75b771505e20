"""Peak memory of a training iteration: counted without computing it, and measured where there is a GPU.

    python benchmarks/memory.py [--sizes 224 512] [--pairs 4 8 16 32] [--precision bf16-mixed] [--check]

`SimSwapModule` trains the networks of ``generator=paper`` (224 px) and of the public 512 px weights with a ResNet-50 as
the recognizer, by a Lightning trainer, on torch's fake tensors: they have shapes and storages, but no values. The count
adds up the storages that are alive, so it is what the tensors take at most, after an iteration that made Adam's
moments: weights, moments, EMA, gradients, activations. Work space inside of an operation (cuDNN's) and what an
allocator keeps are not counted. Convolutions are torch's, as on a GPU, not the CPU's by Winograd's method.

``--check`` runs one small size with values too, and compares the count with what the CPU's allocator was asked for.
With a GPU, the same iterations are measured by ``torch.cuda.max_memory_allocated``, up to the first that does not fit.
"""

import argparse
import itertools
import logging
import warnings
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import lightning as L
import torch
from counted_iteration import Batches, fake_tensors
from iteration import random_resnet50, timed_module
from scale import NETS
from timing import TimedModule, bare_trainer
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

SIZES, PAIRS = (224, 512), (4, 8, 16, 32)
MIB = 2**20
CHECKED: tuple[Any, ...] = (96, 4, "32-true", False, "generator.width=16", "discriminator.width=16")
"""A small size that is counted and measured: px, pairs, precision, checkpointing, overrides."""


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all storages that operations inside of the block made or used and that are alive.

    Attributes:
        now: at this moment.
        peak: at most, since the last `reset`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._alive: dict[int, Any] = {}

    def reset(self) -> None:
        self.peak = self.now

    def add(self, tensor: Tensor) -> None:
        """Count a tensor's storage, until it is freed."""
        storage = tensor.untyped_storage()
        key, size = id(storage), storage.nbytes()
        if key in self._alive:
            return

        def freed(_: Any) -> None:
            del self._alive[key]
            self.now -= size

        self._alive[key] = weakref.ref(storage, freed)
        self.now += size
        self.peak = max(self.peak, self.now)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.layout == torch.strided:
                self.add(tensor)
        return result


class Iterations(L.Callback):
    """Ends a trainer after so many iterations; ``last`` is called when the last one starts."""

    def __init__(self, count: int, last: Any = None) -> None:
        self.count, self.last = count, last

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == self.count - 1 and self.last is not None:
            self.last()

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.global_step >= self.count


def counted_peak(size: int, pairs: int, precision: str, checkpointing: bool, *overrides: str) -> int:
    """Bytes that the tensors of an iteration take at most, counted with fake tensors.

    Args:
        size: of the crops, px; a key of `NETS`, or of another size with ``overrides``.
        pairs: in the batch.
        precision: of the trainer.
        checkpointing: ``generator.checkpointing``.
        overrides: further ones of the configuration.
    """
    module = module_of(size, checkpointing, *overrides)
    with fake_tensors() as fake:
        without_values(fake, module, module.embedder)
        return live_peak(module, size, pairs, precision)


def live_peak(module: TimedModule, size: int, pairs: int, precision: str) -> int:
    """The bytes that are alive at most in the second iteration, with values or without."""
    with LiveBytes() as live, torchs_convolutions():
        module.decide_on_device = True  # as on a GPU
        for tensor in itertools.chain(module.parameters(), module.buffers(), module.embedder.parameters()):
            live.add(tensor)
        with mock.patch.object(torch.nn.Module, "_apply", lambda network, *_, **__: network):  # fake ones cannot move
            fit(module, size, pairs, precision, Iterations(2, live.reset), "cpu")
        return live.peak


def without_values(fake: FakeTensorMode, *networks: torch.nn.Module) -> None:
    """Replace parameters and buffers by fake ones."""
    for part in {id(part): part for network in networks for part in network.modules()}.values():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = torch.nn.Parameter(
                    fake.from_tensor(parameter.detach()), parameter.requires_grad
                )
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = fake.from_tensor(buffer)


def module_of(size: int, checkpointing: bool, *overrides: str) -> TimedModule:
    """The training module of a size."""
    given = [*NETS.get(size, ()), f"generator.checkpointing={str(checkpointing).lower()}", *overrides]
    return timed_module("vggface2_224", size, random_resnet50(), *given)[0]


def fit(module: TimedModule, size: int, pairs: int, precision: str, callback: L.Callback, accelerator: str) -> None:
    """Train on made-up batches until the callback ends it."""
    settings = {"accelerator": accelerator, "precision": precision, "log_every_n_steps": 10**9}
    bare_trainer(callback, **settings).fit(module, Batches(size, pairs))  # type: ignore[arg-type]


@contextmanager
def torchs_convolutions() -> Iterator[None]:
    """Convolutions without the CPU's own method, which keeps other tensors."""

    def never(x: Tensor, channels: int) -> bool:  # a Mock would keep the tensors that it is called with
        return False

    with mock.patch("simswap.models.winograd.winograd_pays", never):
        yield


def allocated_peak(size: int, pairs: int, precision: str, checkpointing: bool, *overrides: str) -> int:
    """Bytes that the CPU's allocator had handed out at most in a real iteration, with what was there before it."""
    module = module_of(size, checkpointing, *overrides)
    fit(module, size, pairs, precision, Iterations(1), "cpu")
    frozen = module.embedder.parameters()
    held = {
        t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()
        for t in (*module.parameters(), *module.buffers(), *frozen)
    }
    profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True)
    with torchs_convolutions(), ExitStack() as stack:
        fit(module, size, pairs, precision, Iterations(2, lambda: stack.enter_context(profiler)), "cpu")
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    moments = 2 * sum(p.untyped_storage().nbytes() for p in module.parameters() if p.requires_grad)
    changes = itertools.accumulate(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns()))
    return sum(held.values()) + moments + max(changes)


def measured_peak(size: int, pairs: int, precision: str, checkpointing: bool) -> int | None:
    """`torch.cuda.max_memory_allocated` of the second iteration on a GPU; None if it does not fit."""
    torch.cuda.empty_cache()
    try:
        module = module_of(size, checkpointing)
        fit(module, size, pairs, precision, Iterations(2, torch.cuda.reset_peak_memory_stats), "gpu")
        return torch.cuda.max_memory_allocated()
    except torch.cuda.OutOfMemoryError:
        return None


def memory_rows(
    sizes: tuple[int, ...] = SIZES, pairs: tuple[int, ...] = PAIRS, precision: str = "bf16-mixed"
) -> Iterator[str]:
    """The lines of a Markdown table, one per size and batch: counted, and measured where there is a GPU."""
    gpu = torch.cuda.is_available()
    columns = [f"{how}{with_it}" for with_it in ("", ", checkpointing") for how in ("counted", *(["measured"] * gpu))]
    yield f"| crop, {precision} | pairs | " + " | ".join(columns) + " |"
    yield "|---" * (2 + len(columns)) + "|"
    for size, count in itertools.product(sizes, pairs):
        cells = []
        for checkpointing in (False, True):
            cells.append(counted_peak(size, count, precision, checkpointing))
            if gpu:
                cells.append(measured_peak(size, count, precision, checkpointing))
        shown = ("does not fit" if cell is None else f"{cell / 1e9:.1f} GB" for cell in cells)
        yield f"| {size} px | {count} | " + " | ".join(shown) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, choices=list(NETS), default=SIZES)
    parser.add_argument("--pairs", nargs="+", type=int, default=PAIRS)
    parser.add_argument("--precision", default="bf16-mixed", choices=["32-true", "bf16-mixed"])
    parser.add_argument("--check", action="store_true", help="only compare a count with a real iteration at 64 px")
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    if options.check:
        counted, asked = counted_peak(*CHECKED), allocated_peak(*CHECKED)
        print(f"{CHECKED}: counted {counted / MIB:.1f} MiB, measured {asked / MIB:.1f} MiB ({counted / asked:.1%})")
        return
    for row in memory_rows(tuple(options.sizes), tuple(options.pairs), options.precision):
        print(row, flush=True)


if __name__ == "__main__":
    main()
