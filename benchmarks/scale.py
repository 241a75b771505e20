"""Scale on paper: iteration time, memory, gradient traffic and input bandwidth of the 224 and 512 nets on N GPUs.

    python benchmarks/scale.py [--peak 989 --share 0.35 --memory-rate 2.3 …]

Nothing is computed: the networks of ``generator=paper`` (224) and of the public 512 weights run one iteration, both
phases with the gradient penalty's second derivative, on torch's fake tensors. That counts, exactly, the floating-point
operations of convolutions and products (a multiplication and an addition each one), the bytes that all other
operations read and write, the operations started, and the bytes that autograd keeps for the backward passes. What a GPU
makes of them is assumed; every assumption is an option, and is printed.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from simswap.losses.objective import Objective
from simswap.losses.terms import DiscriminatorInputs, GeneratorInputs
from simswap.models.discriminator import Discriminators
from simswap.models.embedder import Embedder
from simswap.models.frozen import frozen
from simswap.models.generator import Generator
from simswap.models.iresnet import IResNet
from simswap.models.recognition import Recognizer
from simswap.models.statistics import eval_mode_batch_norm
from simswap.training.module import outputs

# crop size: (generator's width, stages, template); the recognizer is a ResNet-50 of insightface's form
NETS = {224: (64, 3, "simswap"), 512: (32, 4, "ffhq")}
RESNET50 = (3, 4, 14, 3)
WEIGHTS = {
    "identity": 10.0,
    "reconstruction": 10.0,
    "adversarial": 1.0,
    "gradient_penalty": 1e-5,
    "feature_matching": 10.0,
}
SETTINGS = {
    "feature_matching": {"first_layer": 2, "last_layer": 4, "layer_reduction": "sum"},
    "gradient_penalty": {"patch_reduction": "mean"},
}
GPUS = (1, 8, 64)


class Tally(TorchDispatchMode):
    """Sums of what passes by, by section: ``operations`` (FLOP), ``traffic`` (bytes of all else), ``kernels``."""

    def __init__(self) -> None:
        super().__init__()
        self.section = ""
        self.operations: Counter[str] = Counter()
        self.traffic: Counter[str] = Counter()
        self.kernels = 0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        outer, self.section = self.section, name
        yield
        self.section = outer

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func.is_view or func.namespace != "aten":
            return result
        formula = flop_registry.get(func._overloadpacket)
        self.kernels += 1
        if formula is not None:
            self.operations[self.section] += formula(*args, **kwargs, out_val=result)
        else:
            tensors = [x for x in torch.utils._pytree.tree_leaves((args, kwargs, result)) if isinstance(x, Tensor)]
            self.traffic[self.section] += sum(x.numel() * x.element_size() for x in tensors)
        return result


class Kept:
    """Bytes that autograd keeps between forward and backward: each memory once, the networks' own left out."""

    def __init__(self, networks: list[torch.nn.Module]) -> None:
        self._own = {p.untyped_storage()._cdata for n in networks for p in (*n.parameters(), *n.buffers())}
        self._held: dict[int, Any] = {}
        self.bytes = 0

    def __call__(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._own and storage._cdata not in self._held:
            self._held[storage._cdata] = storage  # held, so that no other memory gets its number
            self.bytes += storage.nbytes()
        return tensor

    @contextmanager
    def watch(self) -> Iterator[None]:
        with torch.autograd.graph.saved_tensors_hooks(self, lambda tensor: tensor):
            yield


@dataclass
class Iteration:
    """Of one iteration with that batch: FLOP and bytes by section, operations started, bytes kept, parameters."""

    batch: int
    operations: Counter[str]
    traffic: Counter[str]
    kernels: int
    kept: int
    generator: int
    discriminators: int
    recognizer: int


def count(size: int, batch: int) -> Iteration:
    """One iteration of ``training/module.py`` with whole batches, on fake fp32 tensors."""
    width, stages, template = NETS[size]
    tally = Tally()
    with FakeTensorMode(allow_non_fake_inputs=True):
        generator, discriminators = Generator(width, stages), Discriminators(size, width=64)
        embedder = Embedder(Recognizer(IResNet(RESNET50), "r50", "", 112, 512, "symmetric"), template, size)
        objective = Objective(WEIGHTS, **SETTINGS)
        networks = [generator, discriminators, embedder]
        with_result, phase_d, phase_g = (Kept(networks) for _ in range(3))
        target, source = torch.rand(2, batch, 3, size, size)
        view, same = torch.zeros(batch, dtype=torch.int64), torch.ones(batch, dtype=torch.bool)
        with tally:
            with tally.part("recognizer, sources"):
                identity = embedder.identity(source, view)
            with tally.part("G forward"), with_result.watch():
                result = generator(target, identity)
            with phase_d.watch():
                with tally.part("D forward"):
                    real, fake = discriminators(target), discriminators(result.detach())
                with tally.part("D penalty"), eval_mode_batch_norm(discriminators):
                    inputs = DiscriminatorInputs(
                        target=target,
                        result=result.detach(),
                        same_identity=same,
                        real_pyramid=discriminators.pyramid(target),
                        fake_pyramid=discriminators.pyramid(result.detach()),
                        patch_functions=discriminators.patch_functions(),
                        mix=torch.rand(batch),
                        **outputs(real, fake),
                    )
                    loss, _ = objective.discriminator(inputs)
            with tally.part("D backward"):
                loss.backward()
            with tally.part("D optimizer"):
                torch.optim.Adam(discriminators.parameters()).step()
            with phase_g.watch(), frozen(discriminators):
                with tally.part("recognizer, results"):
                    result_identity = embedder(result, view)
                with tally.part("G's D forward"):
                    with torch.no_grad():
                        real = discriminators(target)
                    fake = discriminators(result)
                    inputs = GeneratorInputs(
                        target=target,
                        result=result,
                        same_identity=same,
                        source_identity=identity,
                        result_identity=result_identity,
                        generate=generator,
                        embed=lambda images: embedder(images, view),
                        to_unit=lambda images: images,
                        **outputs(real, fake),
                    )
                    loss, _ = objective.generator(inputs)
            with tally.part("G backward"):
                loss.backward()
            with tally.part("G optimizer"):
                torch.optim.Adam(generator.parameters()).step()
    kept = with_result.bytes + max(phase_d.bytes, phase_g.bytes)
    sizes = [sum(p.numel() for p in network.parameters()) for network in networks]
    return Iteration(batch, tally.operations, tally.traffic, tally.kernels, kept, *sizes)


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
        # Activations in bfloat16 are half as large as the fp32 ones that were counted.
        moved = at(one.traffic.total(), two.traffic.total()) / 2
        self.compute = flop / (assumed.peak * 1e12 * assumed.share) + moved / (assumed.memory_rate * 1e12)
        self.launch = at(one.kernels, two.kernels) * assumed.launch * 1e-6
        trained = one.generator + one.discriminators
        self.gradients = 4 * trained * 2 * (gpus - 1) / gpus  # a ring's bytes, sent by each GPU
        link = assumed.link if gpus <= 8 else assumed.network
        self.reduce = self.gradients / (link * 1e9)
        # Gradients travel while the backward passes go on, about half of the work.
        self.exposed = max(0.0, self.reduce - 0.5 * self.compute)
        self.seconds = max(self.compute, self.launch) + self.exposed
        self.images = batch * gpus / self.seconds
        weights = trained * 16 + one.generator * 4 + one.recognizer * 2  # with Adam's two; the average; the recognizer
        self.memory = weights + at(one.kept, two.kept) / 2
        self.pictures = 2 * self.images  # a target and a source each
        self.disk = self.pictures * assumed.kilobytes[size] * 1024
        self.workers = self.pictures / gpus / (assumed.decode * (224 / size) ** 2)


def report(size: int, assumed: Assumed, batches: tuple[int, ...]) -> None:
    one, two = count(size, 1), count(size, 2)
    print(
        f"\n{size} px: generator {one.generator / 1e6:.2f} M, discriminators {one.discriminators / 1e6:.2f} M, "
        f"recognizer {one.recognizer / 1e6:.1f} M parameters"
    )
    each = {name: two.operations[name] - one.operations[name] for name in two.operations}
    total = sum(each.values())
    moved, kept = two.traffic.total() - one.traffic.total(), two.kept - one.kept
    print(
        f"  counted a pair: {total / 1e9:.0f} GFLOP, {moved / 1e9:.1f} GB moved and {kept / 1e9:.2f} GB kept (fp32); "
        f"{one.kernels} operations an iteration"
    )
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
    print("assumed: " + ", ".join(f"{name} {value}" for name, value in options.items()))
    report(224, assumed, (2, 16))
    report(512, assumed, (1, 8))


if __name__ == "__main__":
    main()
