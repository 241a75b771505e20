"""Seconds that training loses for each checkpoint: written by the training's thread, and by a thread of its own.

    python benchmarks/saving.py [--turns 5] [--folder FOLDER] [--device cuda]

The state is that of the paper's networks at 224 px: weights, running statistics, EMA and Adam's moments. By turns,
``torch.save`` writes it and flushes it to the disk while the training waits, and `CheckpointWriter` copies it and
returns; ``written after`` is when its file is on the disk. The training's thread then goes on in the same process, so
``slower`` is how much longer matrix products of one thread take while the file is written.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from simswap.files import atomic_write
from simswap.models.discriminator import Discriminators
from simswap.models.generator import Generator
from simswap.training.checkpoint_files import CheckpointWriter

SIDE = 512


def state(generator: torch.nn.Module, discriminators: torch.nn.Module, device: str) -> dict[str, Any]:
    """What a checkpoint of these networks holds: weights, EMA and the state of two optimizers."""
    networks = {"generator": generator, "ema": generator, "discriminators": discriminators}
    weights = {
        f"{of}.{name}": value.clone() for of, net in networks.items() for name, value in net.state_dict().items()
    }
    moments = [
        {
            k: {"step": torch.tensor(1.0), "m": torch.zeros_like(p), "v": torch.zeros_like(p)}
            for k, p in enumerate(given)
        }
        for given in (list(generator.parameters()), list(discriminators.parameters()))
    ]
    content = {"state_dict": weights, "optimizer_states": moments}
    return torch.utils._pytree.tree_map(lambda tensor: tensor.detach().to(device), content)


def by_turns(content: dict[str, Any], folder: Path, turns: int) -> dict[str, list[float]]:
    """Seconds of each turn; the first turn, in which memory is taken, is left out."""
    found: dict[str, list[float]] = {"waits, before": [], "waits, now": [], "written after": [], "slower": []}
    with CheckpointWriter(folder) as writer:
        for turn in range(turns + 1):
            start = time.perf_counter()
            with atomic_write(folder / "checkpoints" / "before.ckpt", durable=True) as part:
                torch.save(content, part)
            before = time.perf_counter() - start
            alone = products(0.5)
            start = time.perf_counter()
            writer.write("now.ckpt", content)
            now = time.perf_counter() - start
            beside = products(0.0, writer)
            writer.wait()
            written = time.perf_counter() - start
            if turn:
                for name, value in zip(found, (before, now, written, beside / alone), strict=True):
                    found[name].append(value)
    return found


def products(seconds: float, writer: CheckpointWriter | None = None) -> float:
    """Mean seconds of a product, for so long or as long as the writer writes."""
    factors, start, count = torch.randn(2, SIDE, SIDE), time.perf_counter(), 0
    while time.perf_counter() - start < seconds or (writer is not None and writer.is_writing()) or not count:
        torch.mm(*factors)
        count += 1
    return (time.perf_counter() - start) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to measure")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with torch.no_grad():
        content = state(Generator(64, 3, 9, 512, 512, "unit", "batch"), Discriminators(224), given.device)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        found = by_turns(content, Path(folder), given.turns)
        size = (Path(folder) / "checkpoints" / "now.ckpt").stat().st_size / 1e6
    print(f"a checkpoint of {size:.0f} MB on {given.device}, medians of {given.turns} turns (lowest to highest):")
    for name, values in found.items():
        scale, unit = (1, "x") if name == "slower" else (1000, "ms")
        digits = 2 if name == "slower" else 0
        low, high = (f"{scale * x:.{digits}f}" for x in (min(values), max(values)))
        print(f"{name:>14} {scale * statistics.median(values):6.{digits}f} {unit} ({low} to {high})")


if __name__ == "__main__":
    main()
