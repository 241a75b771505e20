"""What gradient checkpointing saves: memory held between forward and backward pass of the generator, and its time.

    python benchmarks/checkpointing.py [--threads 1]

The paper's generator at 224 and at 512 px (``width=32 stages=4``), one picture, fp32, random weights: bytes of the
activations that the graph holds (weights left out), and seconds of a forward and a backward pass.
"""

import argparse
import time
from typing import Any

import torch

from simswap.models.generator import Generator

NETS: dict[int, dict[str, Any]] = {224: {"width": 64, "stages": 3}, 512: {"width": 32, "stages": 4}}


def held_and_time(size: int, checkpointing: bool) -> tuple[int, float]:
    """Bytes that the graph holds after the forward pass, and seconds of both passes."""
    network = Generator(**NETS[size], checkpointing=checkpointing).train()
    target, identity = torch.rand(1, 3, size, size), torch.nn.functional.normalize(torch.randn(1, 512))
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    storages: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    start = time.perf_counter()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = network(target, identity)
    held = sum(size for place, size in storages.items() if place not in weights)
    result.mean().backward()
    return held, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=None, help="of torch; all cores by default")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; one picture, fp32")
    for size in NETS:
        torch.manual_seed(0)
        (plain, plain_time), (frugal, frugal_time) = held_and_time(size, False), held_and_time(size, True)
        print(
            f"{size} px: {plain / 2**20:.0f} MiB held, with checkpointing {frugal / 2**20:.0f} MiB "
            f"({frugal / plain:.0%}); time {frugal_time / plain_time:.2f} of {plain_time:.1f} s"
        )


if __name__ == "__main__":
    main()
