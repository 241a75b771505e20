"""One case of the GPU report: both sides at one size, batch and precision, by turns."""

import gc
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from gpu_measures import HostWaits, Parts, PeakMemory, Trace, allocated
from gpu_sides import Ours, Published, Side
from iteration import random_resnet50, timed_module
from timing import Operations, TimedModule

from simswap.models.builtin import recognizer
from simswap.models.discriminator import most_layers


@dataclass(frozen=True)
class Mode:
    """How a row computes: Lightning's precision and TF32 for both sides, and what ours has besides."""

    precision: str
    tf32: bool = True
    compiled: bool = False
    overrides: tuple[str, ...] = ()


MODES = {
    "bf16": Mode("bf16-mixed"),
    "TF32": Mode("32-true"),
    "fp32": Mode("32-true", tf32=False),
    "bf16-compiled": Mode("bf16-mixed", compiled=True),
    "bf16-no-penalty": Mode(
        "bf16-mixed", overrides=("objective.weights.gradient_penalty=0", "objective.measure_at_zero=false")
    ),
}
NETS = {512: ("generator.width=32", "generator.stages=4")}
"""Size → overrides: the widths of the published 512 px network."""
WARM_UP = 3


@dataclass(frozen=True)
class Case:
    """What is measured: ``size`` in px, ``pairs`` in a batch, and a name of `MODES`."""

    size: int
    pairs: int
    mode: str

    def __str__(self) -> str:
        return f"{self.size} px, {self.pairs} pairs, {self.mode}"


@dataclass
class Measured:
    """Of one side: milliseconds of each iteration, launches and so on of one, and bytes."""

    each: list[float]
    operations: float
    peak: int | None = None
    trace: Trace | None = None
    waits: HostWaits | None = None
    parts: Parts | None = None

    @property
    def ms(self) -> float:
        return statistics.median(self.each)


@dataclass
class Result:
    """Of a case: the sides, and published / ours by rounds."""

    case: Case
    sides: dict[str, Measured]
    ratios: list[float] = field(default_factory=list)


class Sides:
    """Makes the sides when a case needs them, and keeps them for later cases of their size and precision."""

    def __init__(self, device: torch.device, experiment: str) -> None:
        self.device, self.experiment = device, experiment
        self._made: dict[tuple[Any, ...], Side] = {}
        self._operations: dict[tuple[Any, ...], float] = {}

    def module(self, size: int, *overrides: str) -> TimedModule:
        """The experiment's networks; the paper's have a ResNet-50 with random weights as the recognizer."""
        face = recognizer() if self.experiment == "debug" else random_resnet50()
        layers = f"objective.feature_matching.last_layer={most_layers(size, 2) - 1}"
        return timed_module(self.experiment, size, face, layers, *NETS.get(size, ()), *overrides)[0]

    def of(self, case: Case) -> dict[str, Side]:
        """Both sides of a case."""
        mode = MODES[case.mode]
        found: dict[str, Side] = {}
        for name in ("published", "ours"):
            own = (mode.compiled, mode.overrides) if name == "ours" else (False, ())
            key = (name, case.size, mode.precision, *own)
            if key not in self._made:
                before = allocated(self.device)
                side = self._published(case.size, mode.precision) if name == "published" else self._ours(case)
                self._made[key] = side
                side.tf32 = mode.tf32
                side.warm_up(1, case.pairs, before)
            self._made[key].tf32 = mode.tf32
            found[name] = self._made[key]
        return found

    def _published(self, size: int, precision: str) -> Side:
        return Published(self.module(size, "channels_last=false"), size, self.device, precision, True)

    def _ours(self, case: Case) -> Side:
        mode = MODES[case.mode]
        layout = "true" if self.device.type == "cuda" else "false"
        compiled = str(mode.compiled).lower()
        module = self.module(case.size, f"channels_last={layout}", f"compile={compiled}", *mode.overrides)
        if self.device.type == "cuda":
            module.to(memory_format=torch.channels_last)  # the discriminators too, as in a run on a GPU
        if not mode.compiled:  # it would be cut at every part
            module.watch()
        return Ours(module, case.size, self.device, mode.precision, True)

    def operations(self, name: str, case: Case) -> float:
        """Floating-point operations of an iteration of that side; counted once for each network, by a warm side."""
        overrides = MODES[case.mode].overrides if name == "ours" else ()
        if (name, case.size, overrides) not in self._operations:
            # What is compiled passes by unseen, so this takes a side that is not.
            same = (
                side
                for key, side in self._made.items()
                if key[:2] == (name, case.size) and key[3:] == (False, overrides)
            )
            side = next(same, None)
            if side is None:
                return 0.0
            counter = Operations()
            side.burst(1, case.pairs, counter)
            self._operations[name, case.size, overrides] = counter.total / case.pairs
        return self._operations[name, case.size, overrides] * case.pairs

    def end(self) -> None:
        """End all sides and free their memory."""
        for side in self._made.values():
            side.end()
        self._made.clear()
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def measure(case: Case, sides: Sides, seconds: float, burst: int = 4, least: int = 3) -> Result:
    """Bursts by turns for about so many seconds, then one observed iteration a side."""
    both = sides.of(case)
    for side in both.values():
        side.warm_up(WARM_UP, case.pairs)
    result = Result(case, {})
    each: dict[str, list[float]] = {name: [] for name in both}
    peaks: dict[str, int | None] = {}
    until, rounds = time.monotonic() + seconds, 0
    while rounds < least or time.monotonic() < until:
        medians = {}
        for name in list(both)[:: 1 if rounds % 2 else -1]:
            with PeakMemory(sides.device) as memory:
                took = both[name].burst(burst, case.pairs)
            each[name] += took
            medians[name] = statistics.median(took)
            peaks[name] = None if memory.more is None else memory.more + both[name].resident
        result.ratios.append(medians["published"] / medians["ours"])
        rounds += 1
    for name, side in both.items():
        seen = observed(side, case.pairs)
        result.sides[name] = Measured(each[name], sides.operations(name, case), peaks[name], *seen)
    return result


def observed(side: Side, pairs: int) -> tuple[Trace, HostWaits, Parts | None]:
    """One iteration under torch's profiler, one under its report of host waits, and for ours one with its parts."""
    idle, trace, waits = Trace(side.device), Trace(side.device), HostWaits(side.device)
    with idle:
        pass
    side.burst(1, pairs, trace)
    side.burst(1, pairs, waits)
    if not isinstance(side, Ours):
        return trace.less(idle), waits, None
    parts = Parts(side.module, side.clock)
    side.burst(1, pairs, parts)
    return trace.less(idle), waits, parts
