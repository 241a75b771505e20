"""The GPU report's page: sections that are written as soon as there is something in them."""

import datetime
import os
import platform
import shlex
import subprocess
from collections import Counter
from pathlib import Path

import torch
from gpu_cases import Measured, Result
from gpu_measures import quartiles

SECTIONS = (
    "Machine",
    "Rates of this machine",
    "Tests",
    "Training: the public trainer's iteration and ours",
    "In words",
    "Where our time goes",
    "Slowest kernels",
    "Several GPUs",
    "Failures",
    "Left out, for lack of time",
    "Time",
)
TABLE = SECTIONS[3]
HEAD = (
    "px", "pairs", "precision", "published ms", "ours ms", "published / ours", "ours images/s",
    "GFLOP, published / ours", "share of bf16 products, published / ours", "launches, published / ours", "copies",
    "host waits", "device busy", "peak GB, published / ours",
)  # fmt: skip
LEGEND = """Milliseconds are the median over iterations with the quartiles; published / ours is the median over rounds
of bursts by turns, with the quartiles: above 1, ours is faster. Images are swapped pictures: a batch of B pairs is B.
The share compares the counted operations a second with this machine's bf16 products. Launches, copies and host waits
are calls of one iteration that logs nothing (torch.profiler). Device busy is the sum of the kernels' times over the
iteration's. Peak memory is what a side's tensors take, not what the allocator keeps."""


class Page:
    """The report; every change is written to its file at once."""

    def __init__(self, file: Path, machine: list[str]) -> None:
        self.file = file
        self._sections: dict[str, list[str]] = {}
        file.parent.mkdir(parents=True, exist_ok=True)
        self.put("Machine", machine)

    def put(self, section: str, lines: list[str]) -> None:
        """Replace a section's lines; one without lines is left out."""
        assert section in SECTIONS, section
        self._sections[section] = lines
        part = self.file.with_suffix(".part")
        part.write_text(self.text())
        os.replace(part, self.file)

    def table(self, results: list[Result], rows: list[list[str]]) -> None:
        """Write the table of training."""
        if results:
            self.put(TABLE, [*LEGEND.splitlines(), "", *markdown(HEAD, rows)])

    def text(self) -> str:
        """The page as Markdown."""
        parts = ["# GPU report"]
        for section in SECTIONS:
            if self._sections.get(section):
                parts.append(f"## {section}\n\n" + "\n".join(self._sections[section]))
        return "\n\n".join(parts) + "\n"


def markdown(head: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    """A table's lines."""
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)]


def machine(device: torch.device, arguments: list[str]) -> list[str]:
    """Date, command, versions and hardware."""
    lines = [
        f"- {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC, commit {_commit()}",
        f"- `{shlex.join(['python', *arguments])}`",
        f"- {platform.platform()}, Python {platform.python_version()}, torch {torch.__version__}, {os.cpu_count()} CPU "
        "cores",
    ]
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        lines.append(
            f"- {torch.cuda.device_count()} × {properties.name}, {properties.total_memory / 1e9:.0f} GB, "
            f"{properties.multi_processor_count} multiprocessors, CUDA {torch.version.cuda}, cuDNN "
            f"{torch.backends.cudnn.version()}"
        )
    else:
        lines.append("- **no GPU: tiny networks on the CPU, to test the report; its figures mean nothing**")
    return lines


def _commit() -> str:
    try:
        asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return asked.stdout.strip()


def row_of(result: Result, bf16: float) -> list[str]:
    """A row of the table; ``bf16`` is the machine's rate of products."""
    case = result.case
    published, ours = result.sides["published"], result.sides["ours"]
    return [
        str(case.size),
        str(case.pairs),
        case.mode,
        _spread(published.each),
        _spread(ours.each),
        _spread(result.ratios, 2),
        f"{case.pairs * 1e3 / ours.ms:.1f}",
        f"{published.operations / 1e9:.0f} / {ours.operations / 1e9:.0f}",
        f"{_share(published, bf16)} / {_share(ours, bf16)}",
        *(f"{_of(published, name)} / {_of(ours, name)}" for name in ("launches", "copies", "waits")),
        f"{_busy(published)} / {_busy(ours)}",
        f"{_gigabytes(published.peak)} / {_gigabytes(ours.peak)}",
    ]


def _spread(values: list[float], digits: int = 1) -> str:
    low, middle, high = quartiles(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _share(side: Measured, bf16: float) -> str:
    return f"{side.operations / (side.ms * 1e-3) / bf16:.1%}" if side.operations else "–"


def _of(side: Measured, name: str) -> str:
    return str(getattr(side.trace, name)) if side.trace is not None else "–"


def _busy(side: Measured) -> str:
    return f"{side.trace.busy_ms / side.ms:.0%}" if side.trace is not None and side.trace.busy_ms else "–"


def _gigabytes(count: int | None) -> str:
    return "–" if count is None else f"{count / 1e9:.1f}"


def shipped(results: list[Result]) -> list[str]:
    """The public trainer as it is run (fp32 with TF32) beside ours as shipped (bf16), at the same size and batch."""
    by = {(r.case.size, r.case.pairs, r.case.mode): r for r in results}
    lines = []
    for (size, pairs, mode), published in by.items():
        for ours in ("bf16", "bf16-compiled"):
            mine = by.get((size, pairs, ours))
            if mode == "TF32" and mine is not None:
                ratio = published.sides["published"].ms / mine.sides["ours"].ms
                lines.append(f"- {size} px, {pairs} pairs: published in TF32 / ours in {ours}: {ratio:.2f}")
    return lines


def notes_of(results: list[Result]) -> list[str]:
    """Where our side's host waited for the device."""
    places: Counter[str] = Counter()
    for result in results:
        waits = result.sides["ours"].waits
        if waits is not None:
            places.update(waits.places.keys())
    if not places:
        return [
            "- torch reported no host wait in our iterations" if torch.cuda.is_available() else "- no GPU: no waits"
        ]
    return [f"- our host waited at {place} (in {number} rows)" for place, number in places.most_common(20)]


def parts_of(results: list[Result]) -> list[str]:
    """Our iteration by its parts and by kinds of kernels, a column a case."""
    watched = [result for result in results if result.sides["ours"].parts is not None]
    lines: list[str] = []
    parts = [(r, r.sides["ours"].parts.milliseconds) for r in watched]  # type: ignore[union-attr]
    traced = [(r, r.sides["ours"].trace) for r in results]
    kinds = [(r, trace.by_kind()) for r, trace in traced if trace is not None and trace.slowest]
    for title, columns in (("part (between marks on the device)", parts), ("kernels", kinds)):
        if columns:
            names = list(dict.fromkeys(name for _, column in columns for name in column))
            rows = [[name, *(f"{column.get(name, 0.0):.1f}" for _, column in columns)] for name in names]
            lines += [*markdown((title, *(f"{r.case}, ms" for r, _ in columns)), rows), ""]
    return lines[:-1]


def slowest_kernels(results: list[Result], count: int = 15) -> list[str]:
    """The kernels that take most of the first row's iteration."""
    trace = results[0].sides["ours"].trace if results else None
    if trace is None or not trace.slowest:
        return []
    total = trace.busy_ms
    rows = [
        [f"`{name[:150]}`".replace("|", "/"), f"{ms:.2f}", f"{ms / total:.0%}"]
        for name, ms in trace.slowest.most_common(count)
    ]
    return [f"Of ours, {results[0].case}: {total:.1f} ms in all.", "", *markdown(("kernel", "ms", "share"), rows)]
