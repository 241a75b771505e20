"""What all charts share: style, labels that do not overlap, and conversion to files."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

WIDE, NARROW = 7.4, 3.7
"""The text width of a page and of a phone in inches, at 96 CSS pixels per inch."""

INK, FAINT, GRID = "#1d2733", "#66727f", "#e3e7eb"

STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica Neue", "Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#9aa4af",
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.linewidth": 1.5,
    "lines.markersize": 6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",  # text as outlines, the same on every machine
    "axes.unicode_minus": True,
    "text.parse_math": False,  # a $ in a name is not math
}


@dataclass(frozen=True)
class Chart:
    """A chart for the page: the file's name, heading, caption, alternative text, and a function that draws a width."""

    name: str
    title: str
    caption: str
    alt: str
    draw: Callable[[float], Figure]


@contextmanager
def style() -> Iterator[None]:
    """Use the page's style in Matplotlib; the process's settings are restored."""
    with matplotlib.rc_context(STYLE):
        yield


def legend_text(name: str) -> str:
    """A name as a legend's label; Matplotlib omits labels that begin with an underscore."""
    return f" {name}" if name.startswith("_") else name


def new_figure(width: float, height: float) -> Figure:
    """A figure of this size in inches, outside pyplot's list, so that nothing has to be closed."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def drawn(chart: Chart, width: float) -> Figure:
    """Draw the chart at this width with its final layout, which is slow and the same for every format."""
    with style():
        figure = chart.draw(width)
        settle(figure)
    return figure


def settle(figure: Figure) -> None:
    """Fix the layout of a figure: with a layout engine, even "none", each save would draw twice."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)


def svg_text(chart: Chart, figure: Figure) -> str:
    """A drawn chart as SVG; equal input gives equal bytes."""
    buffer = io.StringIO()
    with style(), matplotlib.rc_context({"svg.hashsalt": chart.name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def png_bytes(figure: Figure, dpi: int = 160) -> bytes:
    """A drawn chart as PNG."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def is_narrow(width: float) -> bool:
    """Whether a width in inches is a phone's."""
    return width < (WIDE + NARROW) / 2


def spread_out(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move positions as little as possible so that neighbors are ``gap`` apart, between low and high if they fit."""
    order = np.argsort(positions, kind="stable")
    placed = [float(positions[i]) for i in order]
    for _ in range(200):
        moved = False
        for k in range(len(placed) - 1):
            lack = gap - (placed[k + 1] - placed[k])
            if lack > 1e-9:
                placed[k] -= lack / 2
                placed[k + 1] += lack / 2
                moved = True
        if placed and placed[0] < low:
            placed[0], moved = low, True
        if placed and placed[-1] > high:
            placed[-1], moved = high, True
        if not moved:
            break
    result = [0.0] * len(placed)
    for place, i in zip(placed, order, strict=True):
        result[i] = place
    return result


def label_at_right(axes: Axes, points: Sequence[tuple[float, float, str, str]], size: float = 8.5) -> None:
    """Labels beside the plot, each on a thin line to its point (x, y in data, text, color)."""
    if not points:
        return
    height = axes.get_window_extent().height * 72 / axes.figure.dpi  # points
    to_axes = axes.transData + axes.transAxes.inverted()
    places = [to_axes.transform((x, y)) for x, y, _, _ in points]
    heights = spread_out([float(place[1]) for place in places], 1.25 * size / max(height, 1), 0.0, 1.0)
    for (x, y, text, color), at in zip(points, heights, strict=True):
        axes.annotate(
            text,
            xy=(x, y),
            xycoords="data",
            xytext=(1.02, at),
            textcoords="axes fraction",
            color=color,
            fontsize=size,
            va="center",
            ha="left",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": color, "lw": 0.6, "alpha": 0.45, "shrinkA": 1, "shrinkB": 4},
        )


def whisker(axes: Axes, at: float, low: float, high: float, color: str, vertical: bool = True) -> None:
    """Draw an interval as a thin line without ends; nothing if it is unknown."""
    if low != low or high != high:
        return
    points = ([at, at], [low, high]) if vertical else ([low, high], [at, at])
    axes.plot(*points, color=color, linewidth=1.1, alpha=0.75, solid_capstyle="butt", zorder=2)
