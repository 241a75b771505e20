"""Charts become the pictures that show them, on all cores: drawing is most of what a comparison takes."""

import multiprocessing
import sys
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from simswap.comparison.charts.drawing import NARROW, WIDE, Chart, drawn, png_bytes, svg_text
from simswap.system import usable_cores


class Rendered(NamedTuple):
    """A chart as SVG for a page and for a phone, and as the page's one in PNG."""

    wide: str
    narrow: str
    png: bytes


def render(charts: Sequence[Chart]) -> dict[str, Rendered]:
    """Every chart, by its name; the pictures do not depend on how many processes draw them."""
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
    wide, narrow = pictures[: len(charts)], pictures[len(charts) :]
    return {
        chart.name: Rendered(svg, small, png)
        for chart, (svg, png), (small, _) in zip(charts, wide, narrow, strict=True)
    }


def _may_fork() -> bool:
    """Charts hold functions, which reach another process by a fork alone; beside threads that is not safe."""
    return sys.platform == "linux" and threading.active_count() == 1


_taken: list[Chart] = []


def _take(charts: Sequence[Chart]) -> None:
    _taken.extend(charts)


def _render_taken(task: tuple[int, float]) -> tuple[str, bytes]:
    index, width = task
    return _render(_taken[index], width)


def _render(chart: Chart, width: float) -> tuple[str, bytes]:
    """The chart at this width: SVG and, of the wide one, PNG."""
    figure = drawn(chart, width)
    return svg_text(chart, figure), png_bytes(figure) if width == WIDE else b""
