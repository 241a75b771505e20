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
from dataclasses import dataclass

from counted_iteration import Iteration, count, module_of

NETS = {224: (), 512: ("generator.width=32", "generator.stages=4")}
"""Crop size → overrides of the experiment: the widths of the published 512 px network."""
GPUS = (1, 8, 64)


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


def print_counted(size: int, one: Iteration, two: Iteration) -> None:
    """What was counted: parameters, and what a second pair adds to an iteration."""
    nets = {"generator": one.generator, "discriminators": one.discriminators, "recognizer": one.recognizer}
    print(f"\n{size} px: " + ", ".join(f"{net} {value / 1e6:.2f} M" for net, value in nets.items()) + " parameters")
    each = {name: two.operations[name] - one.operations[name] for name in two.operations}
    total = sum(each.values())
    moved, kept = two.traffic.total() - one.traffic.total(), two.kept - one.kept
    print(f"  counted a pair: {total / 1e9:.0f} GFLOP, {moved / 1e9:.1f} GB moved and {kept / 1e9:.2f} GB kept; "
          f"{one.kernels} operations an iteration")  # fmt: skip
    print("  operations started: " + ", ".join(f"{name} {value}" for name, value in one.started.items()))
    shares = ", ".join(f"{name} {value / total:.0%}" for name, value in each.items() if value / total >= 0.005)
    print(f"  of the operations: {shares}")


def report(size: int, assumed: Assumed, batches: tuple[int, ...]) -> None:
    one, two = (count(module_of(size, *NETS[size]), size, pairs) for pairs in (1, 2))
    print_counted(size, one, two)
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
