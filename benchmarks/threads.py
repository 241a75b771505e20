"""What waiting threads cost: a training alone, beside busy processes, and two side by side.

    python benchmarks/threads.py [--seconds 4] [--rounds 5]

The demo's networks at 64 px, in processes that are all there from the start and take turns, so that what else the
machine does falls on all alike; medians over the rounds, in iterations a second. ``busy``: OpenMP as it comes, whose
threads wait busily. ``brief``: as this project sets it (`simswap.WAITING`). ``passive``: threads that sleep at once.
Wanted: alone, ``brief`` is no more than 3 % slower than ``busy``; beside as many processes that never rest as there are
cores it keeps half of its speed, its share; two jobs on half of the cores each do at least what one after the other
does on all.
"""

import argparse
import logging
import os
import statistics
import subprocess
import sys
import time
import warnings
from contextlib import ExitStack

import lightning as L
import torch
from iteration import RandomBatches, timed_module
from timing import bare_trainer
from torch.utils.data import DataLoader

from simswap import WAITING
from simswap.launching.system import usable_cores
from simswap.models.builtin import recognizer

SIZE = 64
BUSY = {"GOMP_SPINCOUNT": "300000"}  # what libgomp does where nothing is set
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE"}


class Turns(L.Callback):
    """Iterates for as many seconds as the next line of the input says, tells its iterations a second, and rests."""

    def __init__(self) -> None:
        self.end = self.begin = 0.0
        self.count = -1  # to warm up

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: object) -> None:
        self.count += 1
        now = time.monotonic()
        if self.count < 0 or now < self.end:
            return
        print(self.count / (now - self.begin) if self.begin else "ready", flush=True)
        line = sys.stdin.readline()
        if not line:
            os._exit(0)
        self.count, self.begin = 0, time.monotonic()
        self.end = self.begin + float(line)


def be_a_job(threads: int) -> None:
    torch.set_num_threads(threads)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    module, batch_size = timed_module("demo", SIZE, recognizer())
    trainer = bare_trainer(Turns())
    trainer.fit(module, DataLoader(RandomBatches(batch_size, SIZE), batch_size=None))


class Job:
    """Another process that is a job, for the length of a ``with`` block."""

    def __init__(self, threads: int, waiting: dict[str, str]) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--job", str(threads)],
            env=clean | waiting,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Job":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def start(self, seconds: float) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()

    def told(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def turn(jobs: list[Job], seconds: float, beside: int = 0) -> float:
    """Iterations a second of these jobs together, with so many processes beside that never rest."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(beside)]
    try:
        for job in jobs:
            job.start(seconds)
        return sum(float(job.told()) for job in jobs)
    finally:
        for other in others:
            other.kill()
            other.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--job", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        return be_a_job(options.job)
    cores = usable_cores()
    found: dict[str, list[float]] = {}
    with ExitStack() as held:
        ways = {"busy": BUSY, "brief": WAITING, "passive": PASSIVE}
        one = {way: held.enter_context(Job(cores, waiting)) for way, waiting in ways.items()}
        pair = [held.enter_context(Job(max(1, cores // 2), WAITING)) for _ in range(2)]
        turns = [(f"alone, {way}", [job], 0) for way, job in one.items()]
        turns += [(f"beside {cores} others, {way}", [job], cores) for way, job in one.items()]
        turns.append(("two jobs of half each, brief", pair, 0))
        for job in (*one.values(), *pair):
            if job.told() != "ready":
                sys.exit("a job did not start")
        for _ in range(options.rounds):
            for name, jobs, beside in turns:
                found.setdefault(name, []).append(turn(jobs, options.seconds, beside))
    print(
        f"torch {torch.__version__}, {cores} cores, {options.rounds} rounds of {options.seconds:g} s a turn; load at "
        f"the end {os.getloadavg()[0]:.1f}"
    )
    first = statistics.median(found["alone, busy"])
    for name, rates in found.items():
        middle = statistics.median(rates)
        print(
            f"  {name:<32} {middle:7.2f} iterations/s ({min(rates):.2f} to {max(rates):.2f})   {middle / first:6.0%}"
            " of alone, busy"
        )


if __name__ == "__main__":
    main()
