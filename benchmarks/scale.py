"""Scale on paper: iteration time, memory, gradient traffic and input bandwidth of the 224 and 512 nets on N GPUs.

    python benchmarks/scale.py [--peak 989 --share 0.35 --memory-rate 2.3 …]

Nothing is computed: `SimSwapModule` makes an iteration of ``experiment=vggface2_224`` in bf16-mixed, in a Lightning
trainer, with a ResNet-50 as the recognizer, on torch's fake tensors, and with the decisions and operations of a GPU:
fused Adam, skipped steps decided on the device. That counts, exactly, the floating-point operations of
convolutions and products (a multiplication and an addition each one), the bytes that all other operations read and
write, the operations started, the bytes that autograd keeps for the backward passes, and those of the gradients that
each phase exchanges. What a GPU makes of them is assumed; every assumption is an option, and is printed.
"""

import argparse
import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from iteration import random_resnet50, timed_module
from timing import FORWARD, REST, TimedModule, bare_trainer
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils import _foreach_utils
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from simswap.models.recognition import Recognizer

NETS = {224: (), 512: ("generator.width=32", "generator.stages=4")}
"""Crop size → overrides of the experiment: the widths of the published 512 px network."""
GPUS = (1, 8, 64)
NOT_STARTED = {
    "alias", "detach", "empty", "empty_like", "empty_strided", "is_same_size", "lift_fresh", "new_empty",
    "new_empty_strided", "_unsafe_view", "set_data", "sym_size",
}  # fmt: skip
"""Operations that start nothing on a GPU, besides views."""


class Tally(TorchDispatchMode):
    """Sums of what passes by, by part: ``operations`` (FLOP), ``traffic`` (bytes of all else), ``kernels``."""

    def __init__(self, module: TimedModule) -> None:
        super().__init__()
        self._module = module
        self.operations: Counter[str] = Counter()
        self.traffic: Counter[str] = Counter()
        self.kernels: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func.is_view or func.namespace != "aten" or func._overloadpacket.__name__ in NOT_STARTED:
            return result
        part = part_of(self._module)
        formula = flop_registry.get(func._overloadpacket)
        self.kernels[part] += 1
        if formula is not None:
            self.operations[part] += formula(*args, **kwargs, out_val=result)
        else:
            tensors = [x for x in torch.utils._pytree.tree_leaves((args, kwargs, result)) if isinstance(x, Tensor)]
            self.traffic[part] += sum(x.numel() * x.element_size() for x in tensors)
        return result


def part_of(module: TimedModule) -> str:
    """The innermost part of the iteration that runs now."""
    return module._open[-1] if module._open else REST


class Kept:
    """Bytes that autograd keeps between forward and backward: each memory once, the networks' own left out.

    bytes: by ``both`` (the generator's graph, which lives through both phases), ``D`` and ``G``.
    """

    def __init__(self, module: TimedModule) -> None:
        self._module = module
        networks = [module, module.embedder]
        self._own = {p.untyped_storage()._cdata for n in networks for p in (*n.parameters(), *n.buffers())}
        self._held: dict[int, Any] = {}
        self.bytes: Counter[str] = Counter()
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor)

    def _keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._own and storage._cdata not in self._held:
            self._held[storage._cdata] = storage  # held, so that no other memory gets its number
            self.bytes["both" if part_of(self._module) == FORWARD else self._module.phase] += storage.nbytes()
        return tensor

    def __enter__(self) -> "Kept":
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._hooks.__exit__(*error)

    @property
    def most(self) -> int:
        """Bytes in the larger phase."""
        return self.bytes["both"] + max(self.bytes["D"], self.bytes["G"])


class Watched(L.Callback):
    """Enters the observers for the second iteration: the first one makes the optimizers' moments."""

    def __init__(self, *observers: Any) -> None:
        self.observers = observers

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 1:
            for observer in self.observers:
                observer.__enter__()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 1:
            for observer in reversed(self.observers):
                observer.__exit__(None, None, None)


@dataclass
class Iteration:
    """Of one iteration with that batch: FLOP, bytes and operations by part, bytes kept and exchanged, parameters."""

    batch: int
    operations: Counter[str]
    traffic: Counter[str]
    started: Counter[str]
    kept: int
    gradients: int
    generator: int
    discriminators: int
    recognizer: int

    @property
    def kernels(self) -> int:
        return self.started.total()


@contextmanager
def fake_tensors() -> Iterator[FakeTensorMode]:
    """Operations give tensors without values, many of which go into one operation, as on a GPU."""
    kinds = _foreach_utils._foreach_supported_types
    kinds.append(FakeTensor)
    try:
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            yield mode
    finally:
        kinds.remove(FakeTensor)


def module_of(
    size: int, *overrides: str, experiment: str = "vggface2_224", face: Recognizer | None = None
) -> TimedModule:
    """The experiment's module, with a ResNet-50 as the recognizer unless another is given."""
    return timed_module(experiment, size, face or random_resnet50(), "channels_last=false", *overrides)[0]


def count(module: TimedModule, size: int, batch: int) -> Iteration:
    """One iteration of the module in bf16-mixed."""
    module.decide_on_device = True
    module.watch()
    tally, kept = Tally(module), Kept(module)
    trainer = bare_trainer(Watched(tally, kept), precision="bf16-mixed", max_steps=2, log_every_n_steps=10**6)
    with fake_tensors():
        trainer.fit(module, Batches(size, batch))  # type: ignore[arg-type]
    exchanged = [p for phase in module.phases.values() for p in phase.network.parameters()]
    return Iteration(
        batch,
        tally.operations,
        tally.traffic,
        tally.kernels,
        kept.most,
        sum(p.numel() * p.element_size() for p in exchanged),
        *(sum(p.numel() for p in n.parameters()) for n in (module.generator, module.discriminators, module.embedder)),
    )


class Batches:
    """SwapBatches without end, of fake tensors where those are made."""

    def __init__(self, size: int, pairs: int) -> None:
        self.size, self.pairs = size, pairs

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        numbers = ("target_index", "source_index", "target_view", "source_view")
        shape = (self.pairs, 3, self.size, self.size)
        while True:
            yield {
                **{name: torch.zeros(shape, dtype=torch.uint8) for name in ("target", "source")},
                **{name: torch.zeros(self.pairs, dtype=torch.int64) for name in numbers},
                "same_identity": torch.ones(self.pairs, dtype=torch.bool),
                "mix": torch.rand(self.pairs, dtype=torch.float64),
            }


@dataclass
class Assumed:
    """A GPU and its links: names, units and values as `main` has them."""

    peak: float
    share: float
    memory_rate: float
    launch: float
    link: float
    network: float
    gpu_memory: float
    decode: float
    kilobytes: dict[int, float]


class Estimate:
    """Of an iteration with ``batch`` pairs on each of ``gpus``: seconds, bytes, rates.

    Fixed work (optimizers, launches) and work a picture are told apart by two counts, of one pair and of two.
    """

    def __init__(self, one: Iteration, two: Iteration, batch: int, gpus: int, size: int, assumed: Assumed) -> None:
        def at(first: float, second: float) -> float:
            return first + (second - first) * (batch - 1)

        flop = at(one.operations.total(), two.operations.total())
        moved = at(one.traffic.total(), two.traffic.total())
        self.compute = flop / (assumed.peak * 1e12 * assumed.share) + moved / (assumed.memory_rate * 1e12)
        self.launch = at(one.kernels, two.kernels) * assumed.launch * 1e-6
        trained = one.generator + one.discriminators
        self.gradients = one.gradients * 2 * (gpus - 1) / gpus  # a ring's bytes, sent by each GPU
        link = assumed.link if gpus <= 8 else assumed.network
        self.reduce = self.gradients / (link * 1e9)
        # Gradients travel while the backward passes go on, about half of the work.
        self.exposed = max(0.0, self.reduce - 0.5 * self.compute)
        self.seconds = max(self.compute, self.launch) + self.exposed
        self.images = batch * gpus / self.seconds
        weights = trained * 16 + one.generator * 4 + one.recognizer * 2  # with Adam's two; the average; the recognizer
        self.memory = weights + at(one.kept, two.kept)
        self.pictures = 2 * self.images  # a target and a source each
        self.disk = self.pictures * assumed.kilobytes[size] * 1024
        self.workers = self.pictures / gpus / (assumed.decode * (224 / size) ** 2)


def report(size: int, assumed: Assumed, batches: tuple[int, ...]) -> None:
    one, two = (count(module_of(size, *NETS[size]), size, pairs) for pairs in (1, 2))
    print(
        f"\n{size} px: generator {one.generator / 1e6:.2f} M, discriminators {one.discriminators / 1e6:.2f} M, "
        f"recognizer {one.recognizer / 1e6:.1f} M parameters"
    )
    each = {name: two.operations[name] - one.operations[name] for name in two.operations}
    total = sum(each.values())
    moved, kept = two.traffic.total() - one.traffic.total(), two.kept - one.kept
    print(
        f"  counted a pair: {total / 1e9:.0f} GFLOP, {moved / 1e9:.1f} GB moved and {kept / 1e9:.2f} GB kept; "
        f"{one.kernels} operations an iteration"
    )
    print("  operations started: " + ", ".join(f"{name} {value}" for name, value in one.started.items()))
    shares = ", ".join(f"{name} {value / total:.0%}" for name, value in each.items() if value / total >= 0.005)
    print(f"  of the operations: {shares}")
    print(
        "\n| GPUs | pairs a GPU | iteration ms | launches ms | gradients MB a GPU | all-reduce ms (not hidden) | "
        "memory GB | pairs/s | of linear | input MB/s | workers a GPU |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for batch in batches:
        alone = Estimate(one, two, batch, 1, size, assumed).images
        for gpus in GPUS:
            e = Estimate(one, two, batch, gpus, size, assumed)
            print(
                f"| {gpus} | {batch} | {e.seconds * 1e3:.0f} | {e.launch * 1e3:.0f} | {e.gradients / 1e6:.0f} | "
                f"{e.reduce * 1e3:.1f} ({e.exposed * 1e3:.1f}) | {e.memory / 1e9:.0f} | {e.images:.0f} | "
                f"{e.images / (gpus * alone):.0%} | {e.disk / 1e6:.0f} | {e.workers:.1f} |"
            )
    largest = 1
    while Estimate(one, two, largest + 1, 1, size, assumed).memory < assumed.gpu_memory * 1e9:
        largest += 1
    print(f"\n  pairs that fit {assumed.gpu_memory:g} GB: {largest}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peak", type=float, default=989.0, help="TFLOP/s of dense bf16 products (H100's data sheet)")
    parser.add_argument("--share", type=float, default=0.35, help="of the peak that these convolutions reach")
    parser.add_argument("--memory-rate", type=float, default=2.3, help="TB/s of other operations (70 %% of 3.35)")
    parser.add_argument("--launch", type=float, default=6.0, help="microseconds of the host for each operation")
    parser.add_argument("--link", type=float, default=300.0, help="GB/s a GPU of an all-reduce in a node (NVLink)")
    parser.add_argument("--network", type=float, default=35.0, help="GB/s a GPU between nodes (400 Gb/s each, 70 %%)")
    parser.add_argument("--gpu-memory", type=float, default=72.0, help="GB of 80 that the batch may take")
    parser.add_argument("--decode", type=float, default=1000.0, help="pictures/s of 224 px a worker, measured")
    parser.add_argument("--kilobytes", type=float, nargs=2, default=(20.0, 95.0), help="of a JPEG of 224, of 512 px")
    options = vars(parser.parse_args())
    options["kilobytes"] = dict(zip(NETS, options["kilobytes"], strict=True))
    assumed = Assumed(**options)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    print("assumed: " + ", ".join(f"{name} {value}" for name, value in options.items()))
    report(224, assumed, (2, 16))
    report(512, assumed, (1, 8))


if __name__ == "__main__":
    main()
