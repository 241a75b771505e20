"""The sections of the page from top to bottom; sections without content are left out."""

from collections.abc import Sequence

from simswap.comparison.charts.ablation import ablation_charts, heat_map_charts
from simswap.comparison.charts.curves import curves_chart
from simswap.comparison.charts.drawing import Chart
from simswap.comparison.charts.sweeps import importance_chart, parallel_chart
from simswap.comparison.charts.tradeoff import tradeoff_chart
from simswap.comparison.comparison import Comparison
from simswap.comparison.page import Section, differences_caption, results_caption
from simswap.comparison.slices import slices_table
from simswap.comparison.swaps import side_by_side
from simswap.comparison.tables import (
    Table,
    differences_table,
    orderings_table,
    published_table,
    results_table,
    runs_table,
    settings_table,
)
from simswap.comparison.worst import worst_pictures

SWAPS = (
    "Targets and sources that no training saw. Each result should show the source's person in the target's pose, "
    "expression and light."
)
WORST = (
    "Each row is a pair: on the left those with the largest pose error, on the right those with the least identity. "
    "identity: the way from the target (0 %) to the source (100 %) by the judge. The pairs differ between variants."
)
SLICES = (
    "Slices of the pairs, the same for all variants. Edges and exact definitions are in each evaluation's JSON file."
)
ORDERINGS = (
    "holds: every difference's 95 % interval over seeds lies on the paper's side of 0; does not hold: one lies on "
    "the other side; not decided: neither."
)


def sections_of(
    comparison: Comparison, *, published: bool, curves: Sequence[str], pictures: int, most: int = 6
) -> list[Section]:
    """The sections for which these runs have content.

    Args:
        comparison: The content.
        published: Whether to show published figures of others.
        curves: The metrics to draw.
        pictures: The number of rows of swaps side by side.
        most: The number of variants whose worst pairs are shown.
    """
    tables = differences_table(comparison), settings_table(comparison), orderings_table(comparison)
    differences, settings, orderings = tables
    swaps, missing = side_by_side(comparison, pictures)
    slices, apart = slices_table(comparison)
    worst, unseen = worst_pictures(comparison, most)
    found = [
        Section("results", "Final figures", (results_table(comparison),), caption=results_caption(comparison)),
        differences and Section("differences", f"Difference to {comparison.baseline.label}", (differences,),
                                caption=differences_caption(comparison)),
        settings and Section("settings", "Changed settings", (settings,)),
        _drawn("tradeoff", "Identity against pose", [tradeoff_chart(comparison, published)],
               published_table() if published else None),
        _drawn("ablation", "Ablation of feature matching",
               [*ablation_charts(comparison), *heat_map_charts(comparison)]),
        orderings and Section("orderings", "The paper's orderings", (orderings,), caption=ORDERINGS),
        _drawn("curves", "Learning curves", [curves_chart(comparison, curves)]),
        Section("swaps", "The same faces, swapped by each", swaps=tuple(swaps), caption=" ".join([SWAPS, *missing]))
        if swaps else (Section("swaps", "The same faces", caption=" ".join(missing)) if missing else None),
        _drawn("sweep", "The sweep", [importance_chart(comparison), parallel_chart(comparison)]),
        Section("worst", "Worst pairs", pictures=tuple(worst), caption=" ".join([WORST, *unseen])) if worst
        else (Section("worst", "Worst pairs", caption=" ".join(unseen)) if unseen else None),
        slices and Section("slices", "Where it fails", folded=slices, folded_title="The figures of slices of the pairs",
                           caption=" ".join([SLICES, *([apart] if apart else [])])),
        Section("runs", "Every run", (runs_table(comparison),)),
    ]  # fmt: skip
    return [section for section in found if section]


def _drawn(anchor: str, title: str, charts: Sequence[Chart | None], published: Table | None = None) -> Section | None:
    there = tuple(chart for chart in charts if chart is not None)
    words = "The published figures" if published else ""
    return Section(anchor, title, charts=there, folded=published, folded_title=words) if there else None
