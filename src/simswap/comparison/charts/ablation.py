"""The paper's ablation: its Figure 7 with intervals, and figures over the range (m, M) of feature matching."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure as Plot
from matplotlib.patches import Rectangle

from simswap.comparison.charts.drawing import GRID, INK, Chart, is_narrow, new_figure, whisker
from simswap.comparison.comparison import Comparison
from simswap.comparison.orderings import Facet, facets
from simswap.comparison.statistics import Spread, spread
from simswap.comparison.variants import Variant, short_keys, shown_value
from simswap.metrics.figures import FIGURES, Figure

FIGURE_7 = ("id_retrieval", "identity_loss", "self_reconstruction_l1")
FIRST, LAST = "objective.feature_matching.first_layer", "objective.feature_matching.last_layer"
WEIGHT = "objective.weights.feature_matching"
IN_HEAT_MAP = ("id_retrieval", "pose_error_deg", "self_reconstruction_l1")
FEWEST_RANGES = 3
BLUES = colormaps["Blues"]


def ablation_charts(comparison: Comparison) -> list[Chart]:
    """The paper's Figure 7, once for each set of other settings; empty unless two variants have a name."""
    found = facets(comparison.variants)
    return [_ablation_chart(comparison, facet, f"_{k + 1}" if len(found) > 1 else "") for k, facet in enumerate(found)]


def _ablation_chart(comparison: Comparison, facet: Facet, suffix: str) -> Chart:
    named = list(facet.variants.values())
    figures = [FIGURES[name] for name in FIGURE_7 if any(v.spread(name).n for v in named)]
    several = any(len(v.seeds) > 1 for v in named)
    caption = (
        "The paper's Figure 7. Large marks are means"
        + (
            " over seeds, small ones single seeds; whiskers are 95 % intervals over seeds (over persons where there is "
            "one seed)."
            if several
            else "; whiskers are 95 % intervals over persons (one seed each)."
        )
        + (
            " Identity loss: 1 − cosine by the recognizer used in training; the retrieval is judged by another network."
            if FIGURES["identity_loss"] in figures
            else " These evaluations lack the identity loss of the training recognizer: evaluate again to add it."
        )
        + (" The vertical line is the baseline." if _base(comparison, facet) else "")
    )
    words = "; ".join(
        f"{name}: " + ", ".join(f"{f.label} {f.shown(v.spread(f.name).mean)}{f.unit}" for f in figures)
        for name, v in facet.variants.items()
    )
    title = "Ablation of feature matching" + (f" ({facet.told})" if facet.told else "")
    return Chart(
        f"ablation{suffix}",
        title,
        caption,
        f"Dot plot. {words}.",
        lambda width: draw_ablation(facet.variants, _base(comparison, facet), figures, width),
    )


def _base(comparison: Comparison, facet: Facet) -> Variant | None:
    """The baseline, or its counterpart with this facet's other settings."""
    return facet.variants.get(str(comparison.baseline.settings.get("variant")))


def draw_ablation(
    named: Mapping[str, Variant], baseline: Variant | None, figures: Sequence[Figure], width: float
) -> Plot:
    """One row per variant, one panel per figure."""
    narrow = is_narrow(width)
    panel = 0.27 * len(named) + 0.75
    plot = new_figure(width, panel * (len(figures) if narrow else 1))
    grid = (
        plot.subplots(len(figures), 1, squeeze=False)
        if narrow
        else plot.subplots(1, len(figures), squeeze=False, sharey=True)
    )
    for axes, shown in zip(grid.flat, figures, strict=True):
        axes.set_title(shown.heading + {"higher": " →", "lower": " ←"}.get(shown.better or "", ""))
        axes.grid(axis="x", visible=False)
        base = baseline.spread(shown.name).mean if baseline else math.nan
        if base == base:
            axes.axvline(shown.factor * base, color=INK, linewidth=0.8, alpha=0.45, zorder=1)
        for row, variant in enumerate(named.values()):
            mean, low, high = (shown.factor * value for value in variant.interval(shown.name))
            seeds = [shown.factor * value for value in variant.by_seed(shown.name).values()]
            if len(seeds) > 1:
                axes.plot(
                    seeds,
                    [row] * len(seeds),
                    "o",
                    color=variant.color,
                    markersize=3.2,
                    alpha=0.45,
                    zorder=3,
                    markeredgewidth=0,
                )
            if mean == mean:
                whisker(axes, row, low, high, variant.color, vertical=False)
                axes.plot(
                    [mean],
                    [row],
                    variant.mark,
                    color=variant.color,
                    markersize=7.5,
                    markeredgecolor="white",
                    markeredgewidth=0.7,
                    zorder=4,
                )
        axes.set_ylim(len(named) - 0.5, -0.5)
        axes.set_yticks(range(len(named)), list(named))
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    return plot


def heat_map_charts(comparison: Comparison) -> list[Chart]:
    """The figures over (m, M), for each set of other settings with at least three ranges."""
    charts = []
    facets: dict[tuple, list[Variant]] = {}
    beside = [key for key in comparison.settings if key not in (FIRST, LAST, "variant")]
    for variant in comparison.variants:
        config = variant.runs[0].config
        if FIRST in config and config.get(WEIGHT, 0) != 0:
            facets.setdefault(tuple(config.get(key) for key in beside), []).append(variant)
    facets = {key: found for key, found in facets.items() if len(_cells(found, "id_retrieval")) >= FEWEST_RANGES}
    short = short_keys(beside)
    for number, (values, found) in enumerate(facets.items()):
        told = ", ".join(
            f"{short[key]}={shown_value(value)}"
            for key, value in zip(beside, values, strict=True)
            if len({facet[beside.index(key)] for facet in facets}) > 1
        )
        cells = _cells(found, "id_retrieval")
        words = "; ".join(
            f"m={m}, M={last}: {FIGURES['id_retrieval'].shown(cell.mean)} %"
            for (m, last), cell in sorted(cells.items())
        )
        charts.append(
            Chart(
                "layer_range" + (f"_{number + 1}" if len(facets) > 1 else ""),
                "Range of feature matching" + (f" ({told})" if told else ""),
                "Layers m to M of both discriminators are matched. In each cell the mean, below it "
                "half the width of the "
                "95 % interval over seeds, where there are several. Empty cells were not run; "
                "hatched ones are no range.",
                f"Heat map over first layer m and last layer M. ID retrieval: {words}.",
                lambda width, found=found: draw_heat_maps(found, width),  # type: ignore[misc]
            )
        )
    return charts


def draw_heat_maps(variants: Sequence[Variant], width: float) -> Plot:
    """One panel per figure; darker is better in all of them."""
    figures = [FIGURES[name] for name in IN_HEAT_MAP if _cells(variants, name)]
    narrow = is_narrow(width)
    firsts, lasts = ([pair[k] for pair in map(_range, variants)] for k in (0, 1))
    rows, columns = range(min(firsts), max(firsts) + 1), range(min(lasts), max(lasts) + 1)
    panel = min(width if narrow else width / len(figures), 3.4)
    plot = new_figure(width, (0.7 * panel * len(rows) / len(columns) + 0.8) * (len(figures) if narrow else 1))
    grid = plot.subplots(len(figures), 1, squeeze=False) if narrow else plot.subplots(1, len(figures), squeeze=False)
    for axes, shown in zip(grid.flat, figures, strict=True):
        cells = _cells(variants, shown.name)
        means = np.array([cell.mean for cell in cells.values()])
        room = float(np.ptp(means)) or 1.0
        letters = max(len(shown.shown(mean)) for mean in means)
        # A cell's share of the panel in points; a digit is 0.6 of its size wide, and 0.9 of the cell may be filled.
        size = min(9.0, 0.9 * 72 * 0.8 * panel / len(columns) / (0.6 * letters))
        for (m, end), cell in cells.items():
            share = float(cell.mean - means.min()) / room
            goodness = share if shown.better == "higher" else 1 - share
            axes.add_patch(Rectangle((end - 0.49, m - 0.49), 0.98, 0.98, facecolor=BLUES(0.08 + 0.72 * goodness)))
            ink = "white" if goodness > 0.6 else INK
            half = shown.factor * (cell.high - cell.low) / 2
            axes.text(
                end,
                m - 0.12 if half == half else m,
                shown.shown(cell.mean),
                ha="center",
                va="center",
                color=ink,
                fontsize=size,
            )
            if half == half:
                axes.text(
                    end, m + 0.26, f"±{half:.{shown.decimals}f}", ha="center", va="center", color=ink, fontsize=size - 2
                )
        for m in rows:
            for end in columns:
                if end < m:
                    axes.add_patch(
                        Rectangle(
                            (end - 0.5, m - 0.5), 1, 1, facecolor="none", edgecolor=GRID, hatch="///", linewidth=0
                        )
                    )
        axes.set_xlim(columns[0] - 0.5, columns[-1] + 0.5)
        axes.set_ylim(rows[-1] + 0.5, rows[0] - 0.5)
        axes.set_title(shown.heading)
        axes.set_xticks(list(columns))
        axes.set_yticks(list(rows))
        axes.set_xlabel("last layer M")
        axes.set_ylabel("first layer m")
        axes.grid(visible=False)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
    return plot


def _cells(variants: Sequence[Variant], figure: str) -> dict[tuple[int, int], Spread]:
    """(m, M) → the figure over the seeds of all variants with that range."""
    found: dict[tuple[int, int], list[float]] = {}
    for variant in variants:
        found.setdefault(_range(variant), []).extend(variant.by_seed(figure).values())
    return {key: spread(values) for key, values in found.items() if values}


def _range(variant: Variant) -> tuple[int, int]:
    config = variant.runs[0].config
    return int(config[FIRST]), int(config[LAST])
