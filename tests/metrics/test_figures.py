"""Every figure that an evaluation can hold has a name and a better side."""

from simswap.evaluation.report import COLUMNS, MORE
from simswap.metrics.figures import KNOWN


def test_what_the_evaluation_measures_the_comparison_knows():
    measured = {column.figure for column in (*COLUMNS, *MORE)}
    assert measured <= set(KNOWN)
    assert all(figure.better in ("higher", "lower") for figure in KNOWN.values())
