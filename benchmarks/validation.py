"""Speed of a validation: pairs a second that are swapped, embedded, looked up and posed, and where the time goes.

    python benchmarks/validation.py [--pairs 128] [--batch-size 32] [--threads 1]

Rendered crops of 64 px, the demo's generator, the built-in judge and pose estimator, through `measuring.Evaluator` as
in training. Each pair is two swaps (the second one of the target with itself); the gallery is embedded once a run. CPU
seconds of all threads, so that other work on the machine takes nothing away.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from iteration import timed_module

from simswap.data.aligning import CropSettings
from simswap.data.datamodule import SwapDataModule
from simswap.data.landmarks import LandmarkTable
from simswap.data.preparing import prepare_folder
from simswap.measuring.evaluator import Evaluator
from simswap.measuring.gallery import choose_pairs
from simswap.measuring.instruments import Instruments
from simswap.measuring.swappers import PreparedFaces, Swapper
from simswap.models.builtin import judge, pose_estimator, recognizer
from simswap.models.embedder import Embedder
from simswap.rendered.dataset import write_dataset

SIZE, PERSONS, IMAGES = 64, 16, 4


class Clock:
    """CPU seconds in some calls, added up."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, call: Any) -> Any:
        def timed(*arguments: Any) -> Any:
            start = time.process_time()
            result = call(*arguments)
            self.seconds += time.process_time() - start
            return result

        return timed


def prepared(root: Path) -> SwapDataModule:
    raw, out = root / "raw", root / "crops"
    write_dataset(str(raw), PERSONS, IMAGES, 96, 9)
    prepare_folder(
        raw,
        out,
        CropSettings("arcface", SIZE, "png", 95, 0),
        {"template": "arcface", "size": SIZE},
        LandmarkTable([raw / "loose_landmark.csv"]),
        None,
        0,
        progress=False,
    )
    return SwapDataModule(out, batch_size=1, fractions={"train": 0.0, "val": 1.0})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=None, help="of torch; all cores by default")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    module, _ = timed_module("demo", SIZE, recognizer())
    judging, pose, swaps = Clock(), Clock(), Clock()
    with tempfile.TemporaryDirectory() as folder:
        data = prepared(Path(folder))
        pairs = choose_pairs(data, "val", PERSONS, IMAGES, options.pairs, 0)
        start = time.process_time()
        instruments = Instruments(Embedder(judge(), "arcface", SIZE), pose_estimator())
        ruler = Evaluator(PreparedFaces(data), pairs, instruments, options.batch_size, torch.device("cpu"))
        gallery = time.process_time() - start
        instruments.judge.forward = judging.around(instruments.judge.forward)  # type: ignore[method-assign]
        instruments.pose.forward = pose.around(instruments.pose.forward)  # type: ignore[method-assign]
        start = time.process_time()
        measured = ruler.measure(Swapper("trained", "trained", swaps.around(module.swap)))
        measured.means(distributed=False)
        total = time.process_time() - start
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; {SIZE} px, batches of {options.batch_size}")
    print(f"  gallery of {len(pairs.gallery)}: {len(pairs.gallery) / gallery:.0f} images a CPU second, once a run")
    print(f"  {options.pairs} pairs: {options.pairs / total:.1f} pairs a CPU second, {total:.1f} s in all")
    rest = total - swaps.seconds - judging.seconds - pose.seconds
    for name, seconds in (
        ("swaps", swaps.seconds),
        ("judge", judging.seconds),
        ("pose", pose.seconds),
        ("reading, look-up, rest", rest),
    ):
        print(f"    {name:<24} {seconds:6.2f} s  {seconds / total:5.0%}")


if __name__ == "__main__":
    main()
