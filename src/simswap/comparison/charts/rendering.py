"""Rendering charts on all cores, because drawing takes most of a comparison's time."""

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
    """A chart as SVG for a page and for a phone, and as PNG for a page."""

    wide: str
    narrow: str
    png: bytes


def render(charts: Sequence[Chart]) -> tuple[dict[str, Rendered], list[str]]:
    """Render the charts; the images do not depend on the number of processes.

    A chart that cannot be drawn is left out, and a note says why.

    Returns:
        The images by chart's name, and the notes.
    """
    tasks = [(index, width) for width in (WIDE, NARROW) for index in range(len(charts))]
    count = min(usable_cores() if _may_fork() else 1, len(tasks))
    if count > 1:
        with warnings.catch_warnings():
            # Python 3.12 warns about NumPy's threads, which handle a fork themselves.
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
    """One width of a chart, or the reason why it could not be drawn."""

    svg: str = ""
    png: bytes = b""
    fault: str = ""


def _may_fork() -> bool:
    """Whether forking is safe: charts contain functions, so they need a fork, which is unsafe beside threads."""
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
    except Exception as error:  # a plotting library may raise anything for an unexpected name or number
        return _Drawn(fault=f"{type(error).__name__}: {' '.join(str(error).split())}"[:300])
