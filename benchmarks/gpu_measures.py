"""What a device does, read off the device: times, rates, kernels started, waits of the host, memory.

Everything also works on a CPU, with the host's clock; what only a GPU has is 0 or None there.
"""

import itertools
import re
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from timing import REST, TimedModule
from torch import Tensor
from torch.autograd import DeviceType

LAUNCHES = ("cudaLaunch", "cuLaunch", "cudaGraphLaunch", "cuGraphLaunch")
COPIES = ("cudaMemcpyAsync", "cudaMemsetAsync", "cuMemcpy", "cuMemset")
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cudaMemcpy")
SYNCHRONIZING = "called a synchronizing CUDA operation"


KINDS = {
    "optimizers and averages": "adam|multi_tensor|lerp",
    "copies and casts": "copy_kernel|memcpy|memset|nchwtonhwc|nhwctonchw|transpose",
    "padding, upsampling, warping": "pad2d|upsample|grid_sampl",
    "products in bf16": "(gemm|dgrad|wgrad|fprop|conv|cutlass|nvjet).*(bf16|bfloat16)|nvjet_tst",
    "products in TF32": "(gemm|dgrad|wgrad|fprop|conv|cutlass).*tf32",
    "products in fp32": "gemm|dgrad|wgrad|fprop|conv|cutlass|nvjet",
    "normalization and sums": "norm|reduce|moments",
}
"""Kind of kernel → how their names look, in this order; the others are elementwise."""


def kind_of(kernel: str) -> str:
    """The kind of a kernel, by its name."""
    name = kernel.lower()
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, name)), "elementwise")


class Clock:
    """Marks between a device's pieces of work: CUDA events, or the host's clock on a CPU."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def mark(self) -> Any:
        """A mark behind all work that was started so far."""
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def milliseconds(self, marks: list[Any]) -> list[float]:
        """Between each mark and the next; waits for the device."""
        if self.device.type != "cuda":
            return [(end - start) * 1e3 for start, end in itertools.pairwise(marks)]
        torch.cuda.synchronize(self.device)
        return [start.elapsed_time(end) for start, end in itertools.pairwise(marks)]


def product_rate(device: torch.device, side: int, dtype: torch.dtype, repeats: int = 10) -> float:
    """Floating-point operations a second of products of two random ``side`` x ``side`` matrices."""
    one, other = torch.randn(2, side, side, device=device, dtype=dtype)
    return 2 * side**3 / (_median_milliseconds(device, lambda: one @ other, repeats) * 1e-3)


def copy_rate(device: torch.device, count: int, repeats: int = 10) -> float:
    """Bytes a second, read and written, of a copy of ``count`` bytes in the device's memory."""
    source = torch.empty(count, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * count / (_median_milliseconds(device, lambda: target.copy_(source), repeats) * 1e-3)


def _median_milliseconds(device: torch.device, work: Any, repeats: int) -> float:
    clock = Clock(device)
    for _ in range(3):
        work()
    marks = [clock.mark()]
    for _ in range(repeats):
        work()
        marks.append(clock.mark())
    return statistics.median(clock.milliseconds(marks))


class Trace:
    """torch's profiler around one iteration.

    launches: kernels started; copies: copies and fills started; waits: calls in which the host waits for the device;
    busy_ms: time in which the device computes, kernels in a row; slowest: kernel → milliseconds.
    """

    def __init__(self, device: torch.device) -> None:
        activities = [torch.profiler.ProfilerActivity.CPU]
        if device.type == "cuda":
            activities.append(torch.profiler.ProfilerActivity.CUDA)
        self._activities = activities
        self.calls: Counter[str] = Counter()
        self.slowest: Counter[str] = Counter()

    def __enter__(self) -> "Trace":
        self._profile = torch.profiler.profile(activities=self._activities)
        self._profile.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._profile.__exit__(*error)
        self.take(self._profile.events() or ())

    def take(self, events: Iterable[Any]) -> None:
        """Count the profiler's events. An annotation has the host's name on the device too, and is no kernel."""
        events = list(events)
        self.calls.update(event.name for event in events if event.device_type != DeviceType.CUDA)
        for event in events:
            if event.device_type == DeviceType.CUDA and event.name not in self.calls:
                self.slowest[event.name] += event.time_range.elapsed_us() / 1e3

    def count(self, beginnings: Iterable[str]) -> int:
        """Calls whose name begins so."""
        return sum(number for name, number in self.calls.items() if name.startswith(tuple(beginnings)))

    @property
    def launches(self) -> int:
        return self.count(LAUNCHES)

    @property
    def copies(self) -> int:
        return self.count(COPIES)

    @property
    def waits(self) -> int:
        return sum(self.calls[name] for name in WAITS)

    @property
    def busy_ms(self) -> float:
        return sum(self.slowest.values())

    def by_kind(self) -> Counter[str]:
        """Kind of kernel → milliseconds."""
        found: Counter[str] = Counter()
        for name, ms in self.slowest.items():
            found[kind_of(name)] += ms
        return found

    def less(self, idle: "Trace") -> "Trace":
        """Without the calls of a trace around nothing: those of the profiler itself, which waits when it ends."""
        self.calls -= idle.calls
        return self


class Parts:
    """Milliseconds of each part of an iteration, by marks in the device's stream of work."""

    def __init__(self, module: TimedModule, clock: Clock) -> None:
        self._module, self._clock = module, clock
        self.milliseconds: dict[str, float] = {}

    def __enter__(self) -> "Parts":
        self._module.mark, self._module.marks = self._clock.mark, [(REST, self._clock.mark())]
        return self

    def __exit__(self, *_: Any) -> None:
        marks = [*(self._module.marks or ()), (REST, self._clock.mark())]
        self._module.marks = None
        for (name, _mark), took in zip(marks[1:], self._clock.milliseconds([m for _name, m in marks]), strict=True):
            self.milliseconds[name] = self.milliseconds.get(name, 0.0) + took


class HostWaits:
    """Where the host waits for the device, by torch's own report: source line → times. Nothing on a CPU."""

    def __init__(self, device: torch.device) -> None:
        self._on = device.type == "cuda"
        self.places: Counter[str] = Counter()

    def __enter__(self) -> "HostWaits":
        self._catch = warnings.catch_warnings(record=True)
        self._caught = self._catch.__enter__()
        warnings.simplefilter("always")
        if self._on:
            torch.cuda.set_sync_debug_mode("warn")
        return self

    def __exit__(self, *error: Any) -> None:
        if self._on:
            torch.cuda.set_sync_debug_mode("default")
        self._catch.__exit__(*error)
        for warning in self._caught or ():
            if SYNCHRONIZING in str(warning.message):
                place = "/".join(str(warning.filename).split("/")[-3:])
                self.places[f"{place}:{warning.lineno}"] += 1


class PeakMemory:
    """Bytes that ``device`` held at most inside of the block, beyond what it held before; None on a CPU."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.more: int | None = None

    def __enter__(self) -> "PeakMemory":
        self.before = allocated(self.device)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        return self

    def __exit__(self, *_: Any) -> None:
        if self.device.type == "cuda":
            self.more = torch.cuda.max_memory_allocated(self.device) - self.before


def allocated(device: torch.device) -> int:
    """Bytes of tensors on the device; 0 on a CPU."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


def moved(batch: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The batch on the device; the host does not wait if it is pinned."""
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}


def pinned(batch: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The batch in memory from which a GPU copies without the host."""
    return {name: value.pin_memory() for name, value in batch.items()} if device.type == "cuda" else batch


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return low, middle, high
