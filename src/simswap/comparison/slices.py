"""The figures of slices of the pairs, of every variant."""

from collections.abc import Sequence

import numpy as np

from simswap.comparison.comparison import Comparison
from simswap.comparison.run import SliceRow
from simswap.comparison.tables import Cell, Table, judges_of
from simswap.metrics.figures import Figure


def slices_table(comparison: Comparison) -> tuple[Table | None, str]:
    """One row per slice and variant, with the columns of the comparison.

    The slices are those of the first run that has any. Of a variant's runs the mean is shown, of a single run the
    interval too. Runs whose slices have other edges or other numbers of pairs are left out.

    Returns:
        The table, None without slices, and a note on variants that are left out.
    """
    first = next((run for run in comparison.runs if run.slices), None)
    if first is None:
        return None, ""
    rows = []
    missing: dict[str, None] = {}
    for name, found in first.slices.items():
        for variant in comparison.variants:
            same = [part for run in variant.runs if (part := run.slices.get(name)) and part.like(found)]
            if same:
                cells = [_cell(column, same) for column in comparison.columns]
                rows.append((Cell(name, note=f"{found.pairs:,} pairs"), Cell(variant.label), *cells))
            else:
                missing[variant.label] = None
    heads = (("slice", ""), ("variant", ""), *((f.label, f.unit) for f in comparison.columns))
    note = f"Not measured on all of these slices, or with other edges: {', '.join(missing)}." if missing else ""
    return Table("slices", heads, tuple(rows), groups=judges_of(comparison, 2)), note


def _cell(figure: Figure, parts: Sequence[SliceRow]) -> Cell:
    """The mean over runs; of a single one its interval below."""
    known = [part.figures[figure.name] for part in parts if figure.name in part.figures]
    known = [interval for interval in known if interval.value == interval.value]
    if not known:
        return Cell("–")
    mean, (_, low, high) = float(np.mean([interval.value for interval in known])), known[0]
    note = f"{figure.shown(low)} to {figure.shown(high)}" if len(known) == 1 and low == low else ""
    return Cell(figure.shown(mean), mean, note)
