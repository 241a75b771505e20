"""Curves of runs, from their metrics.csv, as a chart."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from simswap.comparison.charts.drawing import Chart, is_narrow, legend_text, new_figure
from simswap.comparison.run import Curve

COLORS = ("#1457c8", "#c8501e", "#1d8a4e", "#8a2fb0", "#a07800", "#0f7d8c", "#b0195a", "#5b5b5b")
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
MOST_RUNS = len(COLORS)


def runs_chart(runs: Mapping[str, Mapping[str, Curve]], metrics: Sequence[str]) -> Chart:
    """A chart with one plot for each metric, a line for each run.

    Args:
        runs: Name of the run → metric → its curve; at most `MOST_RUNS`.
        metrics: What is drawn, in this order.
    """
    ends = "; ".join(f"{name}: {words or 'none'}" for name, words in _ends(runs, metrics).items())
    return Chart(
        "curves",
        "Curves",
        "Each line is a run, as it was logged.",
        f"Line plots of {', '.join(metrics)} over the iterations. Last values: {ends}.",
        lambda width: _draw(runs, metrics, width),
    )


def _ends(runs: Mapping[str, Mapping[str, Curve]], metrics: Sequence[str]) -> dict[str, str]:
    return {
        name: ", ".join(f"{metric} {curves[metric][1][-1]:.3g}" for metric in metrics if metric in curves)
        for name, curves in runs.items()
    }


def last_values(runs: Mapping[str, Mapping[str, Curve]], metrics: Sequence[str]) -> list[list[str]]:
    """Rows of a table: the run, the iteration of its last value, and the last value of each metric."""
    rows = []
    for name, curves in runs.items():
        there = [curves[metric] for metric in metrics if metric in curves]
        last = f"{max(steps[-1] for steps, _ in there):,.0f}" if there else "—"
        rows.append([name, last, *(f"{curves[m][1][-1]:.4g}" if m in curves else "—" for m in metrics)])
    return rows


def _draw(runs: Mapping[str, Mapping[str, Curve]], metrics: Sequence[str], width: float) -> Figure:
    columns = 1 if is_narrow(width) or len(metrics) == 1 else 2
    rows = -(-len(metrics) // columns)
    plot = new_figure(width, 2.25 * rows + 0.3 + 0.2 * len(runs))
    grid = plot.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(metrics) :]:
        axes.set_axis_off()
    for axes, metric in zip(grid.flat, metrics, strict=False):
        axes.set_title(metric)
        axes.set_xlabel("iterations")
        for (name, curves), color, mark in zip(runs.items(), COLORS, MARKS, strict=False):
            steps, values = curves.get(metric, ([], []))
            axes.plot(
                steps, values, color=color, linewidth=1.2, marker=mark, markevery=[-1] if steps else None,
                markersize=5.5, label=legend_text(name),
            )  # fmt: skip
    handles, labels = grid.flat[0].get_legend_handles_labels()
    plot.legend(handles, labels, loc="outside lower left", ncols=1)
    return plot
