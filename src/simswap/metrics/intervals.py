"""95 % intervals of figures over swaps that share persons."""

import math
from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike

from simswap.metrics.clustered_mean import ClusteredMean, clustered_mean
from simswap.metrics.figures import figure

LEVEL = 0.95

UNSEEN = 2.0
"""Extra swaps of the rarer outcome that are assumed to depend on persons only. With few observed ones the data show
little about how outcomes depend on persons. Chosen by simulation, like everything in `clustered_mean`."""

FEW_PERSONS = 30
"""With fewer persons an interval is approximate: its coverage is a few points off 95 %."""


def approximate(counts: Mapping[str, Any]) -> str:
    """A warning if these pairs have few persons in either role; empty if there are enough or their number is unknown.

    Args:
        counts: ``source_persons`` and ``target_persons`` as in evaluation.json, or ``gallery_persons`` of older files.
    """
    known = [counts[key] for key in ("source_persons", "target_persons") if key in counts]
    fewest = min(known, default=counts.get("gallery_persons"))
    if not isinstance(fewest, int) or fewest >= FEW_PERSONS:
        return ""
    groups = counts.get("groups", "persons")
    return f"approximate: {fewest} {groups if fewest != 1 else groups[:-1]}, fewer than {FEW_PERSONS}"


def figure_interval(
    name: str, values: ArrayLike, sources: ArrayLike, targets: ArrayLike, level: float = LEVEL
) -> tuple[float, float, float]:
    """The value and interval of a figure: of a share if the registry says so, otherwise of a mean.

    Args:
        name: The figure's name.
        values: See `clustered_mean`.
        sources: See `clustered_mean`.
        targets: See `clustered_mean`.
        level: The coverage, between 0 and 1.

    Returns:
        (value, low, high). The bounds are NaN where they cannot be estimated, the value if there is no swap.
    """
    interval = share_interval if figure(name).share else mean_interval
    return interval(values, sources, targets, level)


def mean_interval(
    values: ArrayLike, sources: ArrayLike, targets: ArrayLike, level: float = LEVEL
) -> tuple[float, float, float]:
    """(value, low, high) of a mean, by Student's t on `clustered_mean`; equal values give an interval of width 0."""
    found = clustered_mean(values, sources, targets)
    half = found.quantile(level) * math.sqrt(found.variance)
    return found.value, found.value - half, found.value + half


def share_interval(
    values: ArrayLike, sources: ArrayLike, targets: ArrayLike, level: float = LEVEL
) -> tuple[float, float, float]:
    """(value, low, high) of a share, by Wilson's score interval with the effective number of swaps.

    It stays within 0 and 1 and always has a width, even at 0 of n and n of n.

    Args:
        values: [n], each from 0 to 1.
        sources: See `clustered_mean`.
        targets: See `clustered_mean`.
        level: The coverage, between 0 and 1.

    Raises:
        ValueError: If the share is not between 0 and 1.
    """
    found = clustered_mean(values, sources, targets)
    share = found.value
    if share < 0 or share > 1:
        raise ValueError(f"a share lies between 0 and 1, got {share}")
    if math.isnan(found.variance):
        return share, math.nan, math.nan
    swaps, squared = _swaps_left(found), found.quantile(level) ** 2
    middle = (share + squared / (2 * swaps)) / (1 + squared / swaps)
    half = math.sqrt(squared * (share * (1 - share) / swaps + squared / (4 * swaps**2))) / (1 + squared / swaps)
    return share, max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def _swaps_left(found: ClusteredMean) -> float:
    """The effective number of independent swaps, between ``groups`` and the estimate.

    Without any swap of the rarer outcome it is ``groups``; with many it approaches the estimate.
    """
    share = found.value
    estimated = found.effective(share * (1 - share))
    if estimated <= found.groups:
        return estimated
    seen = min(share, 1 - share) * estimated
    return (seen * estimated + UNSEEN * found.groups) / (seen + UNSEEN)
