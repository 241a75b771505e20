"""Charts of a sweep: which settings matter, and every variant as a line through its settings and figures."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Plot

from simswap.comparison.charts.drawing import FAINT, INK, Chart, is_narrow, new_figure
from simswap.comparison.charts.tradeoff import labeled
from simswap.comparison.comparison import Comparison
from simswap.comparison.importance import FEWEST_VARIANTS, Importance, importances
from simswap.comparison.variants import short_keys, shown_value
from simswap.metrics.figures import FIGURES

WEIGHED = ("id_retrieval", "pose_error_deg")
MOST_SETTINGS = 7
"""The number of axes that fit on a page; the most important settings are drawn."""


def importance_chart(comparison: Comparison) -> Chart | None:
    """Bars of the importances of settings for retrieval and pose error; None with too few variants."""
    settings = [key for key in comparison.settings if key != "variant"]
    found = {name: importances(comparison.variants, settings, name) for name in WEIGHED}
    found = {name: shares for name, shares in found.items() if shares}
    if not found:
        return None
    short = short_keys(settings)
    twins = sorted(
        {
            " and ".join(sorted((short[i.setting], *(short[k] for k in i.together_with))))
            for shares in found.values()
            for i in shares
            if i.together_with
        }
    )
    caption = (
        "Share of the variation of the figure's ranks over the variants that a setting explains by itself: Spearman's "
        "rho squared for numbers with five values or more, else the correlation ratio of its values. The gray tick is "
        "what chance alone reaches in 1 of 20 cases: a bar that does not pass it says nothing. An arrow tells whether "
        "the figure rises or falls with the setting. What settings do only together is not seen."
        + (f" Always changed together, so they cannot be told apart: {'; '.join(twins)}." if twins else "")
    )
    words = "; ".join(
        f"{FIGURES[name].label}: " + ", ".join(f"{short[i.setting]} {100 * i.share:.0f} %" for i in shares)
        for name, shares in found.items()
    )
    return Chart(
        "importance",
        "Which settings matter",
        caption,
        f"Bar chart. {words}.",
        lambda width: draw_importance(found, short, width),
    )


def draw_importance(found: dict[str, list[Importance]], short: dict[str, str], width: float) -> Plot:
    """One panel per figure, one bar per setting, and the share that chance alone reaches. short: settings' names."""
    narrow = is_narrow(width)
    panel = 0.3 * max(len(shares) for shares in found.values()) + 0.85
    plot = new_figure(width, panel * (len(found) if narrow else 1))
    grid = plot.subplots(len(found), 1, squeeze=False) if narrow else plot.subplots(1, len(found), squeeze=False)
    for axes, (name, shares) in zip(grid.flat, found.items(), strict=True):
        axes.set_title(FIGURES[name].label)
        axes.grid(axis="y", visible=False)
        for row, one in enumerate(shares):
            speaks = one.share > one.chance
            axes.barh(row, 100 * one.share, height=0.62, color="#0067a5" if speaks else "#c3ccd5", zorder=2)
            axes.plot([100 * one.chance] * 2, [row - 0.38, row + 0.38], color=FAINT, linewidth=1.6, zorder=3)
            arrow = {1: " ↗", -1: " ↘", 0: ""}[one.sign] if speaks else ""
            axes.text(
                max(100 * one.share, 100 * one.chance) + 1.5,
                row,
                f"{100 * one.share:.0f} %{arrow}",
                va="center",
                fontsize=8.5,
                color=INK if speaks else FAINT,
                family="DejaVu Sans" if arrow else None,
            )
        axes.set_yticks(range(len(shares)), [short[one.setting] for one in shares])
        axes.set_ylim(len(shares) - 0.5, -0.5)
        axes.set_xlim(0, 118)
        axes.set_xticks([0, 25, 50, 75, 100])
        axes.set_xlabel("variation explained (%)")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    return plot


def parallel_chart(comparison: Comparison) -> Chart | None:
    """Parallel coordinates; None with fewer than six variants or without changed settings."""
    settings = [key for key in comparison.settings if key != "variant"]
    variants = [v for v in comparison.variants if v.settings]
    if len(variants) < FEWEST_VARIANTS or not settings:
        return None
    ranked = [one.setting for one in importances(variants, settings, "id_retrieval")]
    shown = [key for key in settings if key in ranked[:MOST_SETTINGS]] if len(settings) > MOST_SETTINGS else settings
    left = ""
    if len(shown) < len(settings):
        left = f" Of {len(settings)} changed settings the {len(shown)} that explain most of the retrieval are drawn."
    return Chart(
        "parallel_coordinates",
        "Settings and figures together",
        "Each line is a variant (the mean over its seeds), in its color of the other plots; figures are drawn so that "
        "up is better." + left,
        f"Parallel coordinates of {len(variants)} variants over {', '.join(shown)}, ID retrieval and pose error.",
        lambda width: draw_parallel(comparison, shown, width),
    )


def draw_parallel(comparison: Comparison, settings: Sequence[str], width: float) -> Plot:
    """One axis per setting and figure, one line per variant; figures are drawn so that up is better."""
    narrow = is_narrow(width)
    variants = [v for v in comparison.variants if v.settings]
    figures = [name for name in WEIGHED if any(v.spread(name).n for v in variants)]
    short = short_keys(comparison.settings)
    plot = new_figure(width, 4.2 if narrow else 3.6)
    axes = plot.subplots()
    count = len(settings) + len(figures)
    heights = np.full((len(variants), count), np.nan)
    for column, key in enumerate(settings):
        heights[:, column], ticks = _setting_axis([v.settings[key] for v in variants])
        _axis(axes, column, ticks, short[key], narrow)
    for column, name in enumerate(figures, start=len(settings)):
        shown = FIGURES[name]
        values = np.array([v.spread(name).mean for v in variants])
        low, high = np.nanmin(values), np.nanmax(values)
        share = (values - low) / ((high - low) or 1.0)
        heights[:, column] = share if shown.better == "higher" else 1 - share
        ends = (low, high) if shown.better == "higher" else (high, low)
        _axis(axes, column, [(0.0, shown.shown(ends[0])), (1.0, shown.shown(ends[1]))], shown.heading, narrow)
    few = {v.label for v in labeled(comparison)}
    x = np.arange(count)
    for variant, line in zip(variants, heights, strict=True):
        axes.plot(
            x,
            line,
            color=variant.color,
            linewidth=1.6 if variant.label in few else 0.9,
            alpha=0.95 if variant.label in few else 0.5,
            zorder=3 if variant.label in few else 2,
        )
    axes.set_xlim(-0.25, count - 0.75 + (0.35 if narrow else 0.2))
    axes.set_ylim(-0.06, 1.06)
    axes.set_axis_off()
    return plot


def _setting_axis(values: Sequence[Any]) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Heights 0..1 of the values, and the axis' ticks.

    Numbers are drawn to scale, logarithmically if they span a factor of 30; other values in order of appearance.
    """
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if not numeric:
        names: dict[str, int] = {}
        places = [names.setdefault(shown_value(v), len(names)) for v in values]
        room = max(len(names) - 1, 1)
        return np.array(places) / room, [(place / room, name) for name, place in names.items()]
    numbers = np.array(values, dtype=np.float64)
    logarithmic = numbers.min() > 0 and numbers.max() / numbers.min() >= 30
    scaled = np.log(numbers) if logarithmic else numbers
    low, span = float(scaled.min()), float(np.ptp(scaled)) or 1.0
    ticks = sorted({float(v) for v in numbers})
    if len(ticks) > 6:
        ticks = [ticks[0], math.exp((low + scaled.max()) / 2) if logarithmic else (low + scaled.max()) / 2, ticks[-1]]
    at = np.log(ticks) if logarithmic else np.array(ticks)
    return (scaled - low) / span, [(float((a - low) / span), f"{t:.3g}") for a, t in zip(at, ticks, strict=True)]


def _axis(axes: Axes, x: float, ticks: Sequence[tuple[float, str]], title: str, narrow: bool) -> None:
    axes.plot([x, x], [0, 1], color="#9aa4af", linewidth=0.9, zorder=1)
    for y, text in ticks:
        axes.plot([x - 0.03, x], [y, y], color="#9aa4af", linewidth=0.9, zorder=1)
        axes.text(
            x + 0.04,
            y,
            text,
            va="center",
            ha="left",
            fontsize=8,
            color=INK,
            zorder=5,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8},
        )
    axes.text(
        x,
        1.1,
        title,
        ha="left" if narrow else "center",
        va="bottom",
        fontsize=8.5,
        fontweight="bold",
        rotation=28 if narrow else 0,
    )
