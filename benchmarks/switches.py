"""What each switch for speed makes of a training iteration, as a ratio to the plain one of the same run.

    python benchmarks/switches.py [--seconds 5] [--rounds 3] [--threads 2] [--experiment demo]

Plain: fp32, memory by channels, nothing compiled. All variants run by turns, round after round, so that other work on
the machine slows all of them; the ratio is the median over rounds, with the lowest and the highest beside it. Below 1
is faster. Compiling is left out of the time (the warm-up does it), and told for itself.
"""

import argparse
import logging
import statistics
import time
import warnings
from typing import Any

import lightning as L
import torch
from iteration import EXPERIMENTS, RandomBatches, timed_module
from timing import WARM_UP, TimedModule, bare_trainer
from torch.utils.data import DataLoader

from simswap.models.builtin import recognizer
from simswap.training.speed import COMPILERS, cpp_compiler

# name: (overrides of the configuration, precision)
VARIANTS = {
    "plain": (("channels_last=false", "compile=false"), "32-true"),
    "channels_last": (("channels_last=true", "compile=false"), "32-true"),
    "bf16-mixed": (("channels_last=false", "compile=false"), "bf16-mixed"),
    "compile": (("channels_last=false", "compile=true"), "32-true"),
    "channels_last + compile": (("channels_last=true", "compile=true"), "32-true"),
}


class Iterations(L.Callback):
    """Times iterations after the warm-up for so many seconds; `warm_up` is the time of the first ones."""

    def __init__(self, seconds: float) -> None:
        self.limit, self.warm_up = seconds, 0.0
        self.each: list[float] = []

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self._start = time.perf_counter()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        took = time.perf_counter() - self._start
        if batch_idx < WARM_UP:
            self.warm_up += took
            return
        self.each.append(took)
        trainer.should_stop = sum(self.each) > self.limit


def run(module: TimedModule, batch_size: int, size: int, precision: Any, seconds: float) -> Iterations:
    """Iterations of that module for so many seconds."""
    watch = Iterations(seconds)
    trainer = bare_trainer(watch, precision=precision)
    trainer.fit(module, DataLoader(RandomBatches(batch_size, size), batch_size=None))
    return watch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each variant in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None, help="of torch; all cores by default")
    parser.add_argument("--experiment", choices=list(EXPERIMENTS), default="demo")
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    if options.threads:
        torch.set_num_threads(options.threads)

    chosen = dict(VARIANTS)
    if cpp_compiler() is None:
        chosen = {name: variant for name, variant in VARIANTS.items() if "compile" not in name}
        print(f"compile is left out: none of {', '.join(COMPILERS)} is found")
    size = EXPERIMENTS[options.experiment]
    made = {name: timed_module(options.experiment, size, recognizer(), *given) for name, (given, _) in chosen.items()}
    first: dict[str, float] = {}
    medians: dict[str, list[float]] = {name: [] for name in chosen}
    for _ in range(options.rounds):
        for name, (module, batch_size) in made.items():
            watch = run(module, batch_size, size, chosen[name][1], options.seconds)
            first.setdefault(name, watch.warm_up)
            medians[name].append(statistics.median(watch.each))

    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads; {options.experiment}, {size} px, batch of "
        f"{made['plain'][1]}; {options.rounds} rounds of {options.seconds:g} s"
    )
    for name, seconds in medians.items():
        ratios = [mine / plain for mine, plain in zip(seconds, medians["plain"], strict=True)]
        print(
            f"  {name:<24} {statistics.median(seconds) * 1e3:6.0f} ms   {statistics.median(ratios):5.2f} of plain "
            f"({min(ratios):.2f} to {max(ratios):.2f}); first {WARM_UP} iterations {first[name]:.1f} s"
        )


if __name__ == "__main__":
    main()
