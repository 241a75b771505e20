"""Charts become the pictures that show them, on all cores: drawing is most of what a comparison takes."""

import multiprocessing
import sys
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from simswap.comparison.charts.drawing import NARROW, WIDE, Chart, drawn, png_bytes, svg_text
from simswap.launching.system import usable_cores


class Rendered(NamedTuple):
    """A chart as SVG for a page and for a phone, and as the page's one in PNG."""

    wide: str
    narrow: str
    png: bytes


def render(charts: Sequence[Chart]) -> tuple[dict[str, Rendered], list[str]]:
    """Every chart, by its name; the pictures do not depend on how many processes draw them.

    A chart that cannot be drawn costs itself alone: it is missing, and a note says why.
    """
    tasks = [(index, width) for width in (WIDE, NARROW) for index in range(len(charts))]
    count = min(usable_cores() if _may_fork() else 1, len(tasks))
    if count > 1:
        with warnings.catch_warnings():
            # Python 3.12 warns of NumPy's threads, which see to themselves at a fork.
            warnings.simplefilter("ignore", DeprecationWarning)
            with ProcessPoolExecutor(count, multiprocessing.get_context("fork"), _take, (charts,)) as pool:
                pictures = list(pool.map(_render_taken, tasks))
    else:
        pictures = [_render(charts[index], width) for index, width in tasks]
    made, notes = {}, []
    for chart, wide, narrow in zip(charts, pictures[: len(charts)], pictures[len(charts) :], strict=True):
        if wide.fault or narrow.fault:
            notes.append(f"The chart {chart.name} could not be drawn ({wide.fault or narrow.fault}).")
        else:
            made[chart.name] = Rendered(wide.svg, narrow.svg, wide.png)
    return made, notes


class _Drawn(NamedTuple):
    """One width of a chart, or why there is none."""

    svg: str = ""
    png: bytes = b""
    fault: str = ""


def _may_fork() -> bool:
    """Charts hold functions, which reach another process by a fork alone; beside threads that is not safe."""
    return sys.platform == "linux" and threading.active_count() == 1


_taken: list[Chart] = []


def _take(charts: Sequence[Chart]) -> None:
    _taken.extend(charts)


def _render_taken(task: tuple[int, float]) -> _Drawn:
    index, width = task
    return _render(_taken[index], width)


def _render(chart: Chart, width: float) -> _Drawn:
    """The chart at this width: SVG and, of the wide one, PNG."""
    try:
        figure = drawn(chart, width)
        return _Drawn(svg_text(chart, figure), png_bytes(figure) if width == WIDE else b"")
    except Exception as error:  # whatever a plotting library raises for a name or a number that nobody thought of
        return _Drawn(fault=f"{type(error).__name__}: {' '.join(str(error).split())}"[:300])
