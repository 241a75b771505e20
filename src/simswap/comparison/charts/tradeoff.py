"""Identity against pose: the variants, the Pareto front, the controls and published points."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Plot

from simswap.comparison.charts.drawing import FAINT, INK, Chart, is_narrow, label_at_right, new_figure, settle, whisker
from simswap.comparison.comparison import Comparison
from simswap.comparison.published import PUBLISHED, WARNING
from simswap.comparison.variants import Variant
from simswap.metrics.figures import FIGURES

MANY = 12
"""With more variants than this, only the Pareto front and the baseline are labeled."""


def tradeoff_chart(comparison: Comparison, published: bool) -> Chart | None:
    """The chart; None if no variant has both figures."""
    if not comparison.front:
        return None
    words = "; ".join(
        f"{v.label} {FIGURES['id_retrieval'].shown(v.spread('id_retrieval').mean)} % at "
        f"{FIGURES['pose_error_deg'].shown(v.spread('pose_error_deg').mean)}°"
        for v in comparison.variants[:MANY]
    )
    caption = (
        "Up and left is better. The line is the Pareto front: on it, more retrieval costs pose. "
        + _whisker_words(comparison)
        + " Crosses are the controls: doing nothing keeps the pose and brings no identity, copying the source the "
        "reverse." + (f" Hollow diamonds are published figures, {WARNING}." if published else "")
    )
    return Chart(
        "tradeoff",
        "Identity against pose",
        caption,
        f"Scatter plot of ID retrieval against pose error. {words}. On the front: {', '.join(comparison.front)}.",
        lambda width: draw_tradeoff(comparison, published, width),
    )


def _whisker_words(comparison: Comparison) -> str:
    counts = {len(v.seeds) for v in comparison.variants}
    if counts == {1}:
        return "Whiskers are 95 % intervals over persons."
    return (
        "Whiskers are 95 % intervals over training seeds (over persons where a variant has one seed); some go on "
        "past the plot's edge."
    )


def draw_tradeoff(comparison: Comparison, published: bool, width: float) -> Plot:
    """Left (or above): everything, with controls and published points. Right: only the runs, close up."""
    narrow = is_narrow(width)
    plot = new_figure(width, 6.4 if narrow else 3.7)
    whole, near = plot.subplots(2, 1) if narrow else plot.subplots(1, 2, width_ratios=[1, 1.15])
    for axes, title in ((whole, "with controls"), (near, "the runs, close up")):
        axes.set_title(title)
        axes.set_xlabel("pose error (degrees)")
        axes.set_ylabel("ID retrieval (%)")
        for variant in comparison.variants:
            _draw_variant(axes, variant, with_whiskers=axes is near)
        _draw_front(axes, comparison)
    _draw_context(whole, comparison, published)
    _look_closely(near, comparison.variants)
    _keep_room(near, comparison)
    settle(plot)  # labels go where the points are then
    label_at_right(
        near,
        [
            (v.spread("pose_error_deg").mean, 100 * v.spread("id_retrieval").mean, v.short, v.color)
            for v in labeled(comparison)
            if v.spread("pose_error_deg").n and v.spread("id_retrieval").n
        ],
    )
    return plot


def _look_closely(axes: Axes, variants: Sequence[Variant]) -> None:
    """Limits from the points and three times their spread; with the whiskers of two seeds they would be one point."""
    for name, factor, limits in (("pose_error_deg", 1.0, axes.set_xlim), ("id_retrieval", 100.0, axes.set_ylim)):
        found = [v.spread(name) for v in variants if v.spread(name).n]
        means = np.array([factor * s.mean for s in found])
        reach = np.nan_to_num([factor * s.sd for s in found]).max()
        room = max(float(np.ptp(means)), 3 * reach, 0.02 * means.max(), 0.1)
        low, high = means.min() - 0.35 * room, means.max() + 0.35 * room
        limits(max(low, -0.06 * (high - low)), min(high, 103.0) if name == "id_retrieval" else high)


def labeled(comparison: Comparison) -> list[Variant]:
    """The variants with a label: all of them, or of many only the front and the baseline."""
    if len(comparison.variants) <= MANY:
        return list(comparison.variants)
    chosen = {*comparison.front[-8:], comparison.baseline.label}
    return [v for v in comparison.variants if v.label in chosen]


def _keep_room(axes: Axes, comparison: Comparison) -> None:
    """Make room at the right for the labels, which the layout does not know about."""
    longest = max((len(v.short) for v in labeled(comparison)), default=0)
    axes.text(1.02, 0.5, "m" * round(0.62 * longest + 1), transform=axes.transAxes, alpha=0, fontsize=8.5)


def _draw_variant(axes: Axes, variant: Variant, with_whiskers: bool) -> None:
    pose, low, high = variant.interval("pose_error_deg")
    retrieval, bottom, top = (100 * value for value in variant.interval("id_retrieval"))
    if pose != pose or retrieval != retrieval:
        return
    if with_whiskers:
        whisker(axes, pose, bottom, top, variant.color)
        whisker(axes, retrieval, low, high, variant.color, vertical=False)
    axes.plot(
        [pose],
        [retrieval],
        variant.mark,
        color=variant.color,
        markeredgecolor="white",
        markeredgewidth=0.7,
        markersize=7.5 if with_whiskers else 6,
        zorder=4,
    )


def _draw_front(axes: Axes, comparison: Comparison) -> None:
    front = [next(v for v in comparison.variants if v.label == label) for label in comparison.front]
    points = [(v.spread("pose_error_deg").mean, 100 * v.spread("id_retrieval").mean) for v in front]
    axes.step(
        [x for x, _ in points], [y for _, y in points], where="post", color=INK, linewidth=1.0, alpha=0.5, zorder=3
    )


def _draw_context(axes: Axes, comparison: Comparison, published: bool) -> None:
    axes.set_ylim(-4, 108)
    for swapper in comparison.others:
        if not {"pose_error_deg", "id_retrieval"} <= set(swapper.figures):
            continue
        x, y = swapper.figures["pose_error_deg"].value, 100 * swapper.figures["id_retrieval"].value
        axes.plot([x], [y], "x" if swapper.kind == "control" else "*", color=INK, markersize=7, zorder=4)
        right = x > 0.6 * axes.get_xlim()[1]
        axes.annotate(
            swapper.name.replace("_", " "),
            (x, y),
            xytext=(-6 if right else 6, -11 if y > 50 else 7),
            textcoords="offset points",
            fontsize=8.5,
            color=INK,
            ha="right" if right else "left",
        )
    if published:
        for point in PUBLISHED:
            axes.plot(
                [point.pose_error_deg],
                [100 * point.id_retrieval],
                "D",
                markerfacecolor="none",
                markeredgecolor=FAINT,
                markersize=5,
                zorder=2,
            )
        best = max(point.pose_error_deg for point in PUBLISHED)
        axes.annotate(
            "published: other\ndata and protocol",
            (best, 107),
            xytext=(9, 0),
            fontsize=8,
            color=FAINT,
            textcoords="offset points",
            va="top",
        )
    axes.set_xlim(left=-0.04 * axes.get_xlim()[1])
