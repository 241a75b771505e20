"""Learning curves: each variant's mean over its seeds, and the range of its seeds."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure as Plot

from simswap.comparison.charts.drawing import Chart, is_narrow, legend_text, new_figure
from simswap.comparison.charts.tradeoff import labeled
from simswap.comparison.comparison import Comparison
from simswap.comparison.variants import Variant
from simswap.metrics.figures import validated

MOST_POINTS = 240
"""The number of points of a curve; longer ones are averaged, because more cannot be seen at this size."""


def curves_chart(comparison: Comparison, metrics: Sequence[str]) -> Chart | None:
    """The chart of the metrics that any run logged; None without any."""
    there = [name for name in metrics if any(name in run.curves for run in comparison.runs)]
    if not there:
        return None
    several = any(len(v.seeds) > 1 for v in comparison.variants)
    caption = (
        "Each line is a variant"
        + (", the mean over its seeds; the band spans its seeds." if several else ".")
        + " val/ figures use unseen persons and a smaller gallery than the final ones; train/ terms are batch means."
    )
    ends = ", ".join(f"{v.label} ends at {_last(v, there[0])}" for v in labeled(comparison))
    alt = f"Line plots of {', '.join(there)} over the iterations. {there[0]}: {ends}."
    return Chart(
        "learning_curves", "Learning curves", caption, alt, lambda width: draw_curves(comparison, there, width)
    )


def draw_curves(comparison: Comparison, metrics: Sequence[str], width: float) -> Plot:
    """Small multiples, one metric each, x in iterations."""
    columns = 1 if is_narrow(width) else min(2, len(metrics))
    rows = -(-len(metrics) // columns)
    plot = new_figure(width, 2.25 * rows + 0.55)
    grid = plot.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(metrics) :]:
        axes.set_axis_off()
    few = labeled(comparison)
    # One range for all: a metric that was logged once would get an axis of fractions of an iteration.
    end = max(
        (run.curves[m][0][-1] for v in comparison.variants for run in v.runs for m in metrics if m in run.curves),
        default=1.0,
    )
    for axes, metric in zip(grid.flat, metrics, strict=False):
        axes.set_xlim(0, 1.03 * max(end, 1.0))
        shown = validated().get(metric)  # None for a loss term
        factor = shown.factor if shown else 1.0
        axes.set_title(metric + (f" ({shown.unit})" if shown and shown.unit else ""))
        axes.set_xlabel("iterations")
        for variant in comparison.variants:
            curve = mean_curve(variant, metric)
            if curve is None:
                continue
            steps, mean, low, high = curve
            front = variant in few
            if len(variant.seeds) > 1:
                axes.fill_between(
                    steps,
                    factor * low,
                    factor * high,
                    color=variant.color,
                    linewidth=0,
                    alpha=0.14 if len(comparison.variants) <= 4 else 0.07,
                )
            axes.plot(
                steps,
                factor * mean,
                color=variant.color,
                linewidth=1.5 if front else 0.8,
                alpha=1.0 if front else 0.45,
                marker=variant.mark if front else None,
                markevery=[-1],
                markersize=5.5,
                markeredgecolor="white",
                markeredgewidth=0.6,
                zorder=3 if front else 2,
                label=legend_text(variant.short) if front else None,
            )
    handles, labels = grid.flat[0].get_legend_handles_labels()
    plot.legend(
        handles,
        labels,
        loc="outside lower left",
        ncols=_legend_columns(labels, width),
        handlelength=1.6,
        columnspacing=1.2,
    )
    return plot


def mean_curve(variant: Variant, metric: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """(iterations, mean, lowest, highest) over the variant's runs, each [n]; None if no run logged the metric.

    Runs logged at different iterations are interpolated, never extrapolated.
    """
    curves = [run.curves[metric] for run in variant.runs if metric in run.curves]
    if not curves:
        return None
    end = min(curve[0][-1] for curve in curves)
    steps = np.unique(np.concatenate([curve[0] for curve in curves]))
    steps = steps[(steps <= end) & (steps >= max(curve[0][0] for curve in curves))]
    if not len(steps):
        return None
    values = np.stack([np.interp(steps, *curve) for curve in curves])  # [runs, n]
    if len(steps) > MOST_POINTS:
        edges = np.linspace(0, len(steps), MOST_POINTS + 1).astype(int)[:-1]
        count = np.diff([*edges, len(steps)])
        steps = np.add.reduceat(steps, edges) / count
        values = np.add.reduceat(values, edges, axis=1) / count
    return steps, values.mean(0), values.min(0), values.max(0)


def _last(variant: Variant, metric: str) -> str:
    curve = mean_curve(variant, metric)
    return "nothing" if curve is None else f"{curve[1][-1]:.3g}"


def _legend_columns(labels: Sequence[str], width: float) -> int:
    longest = max((len(label) for label in labels), default=1)
    return max(1, min(len(labels) or 1, int(width / (0.45 + 0.072 * longest))))
