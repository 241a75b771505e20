"""95 % intervals of figures over swaps that share persons."""

import math
from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike

from simswap.metrics.clustered_mean import ClusteredMean, clustered_mean
from simswap.metrics.figures import figure

LEVEL = 0.95

UNSEEN = 2.0
"""Swaps of the rarer outcome that are taken to depend on persons alone, beside those that were seen. Few of them show
little of how outcomes depend on persons. Chosen by simulation, as is all of `clustered_mean`."""

FEW_PERSONS = 30
"""With fewer, an interval is approximate: it covers some points more or less than 95 %."""


def approximate(counts: Mapping[str, Any]) -> str:
    """A sentence where these pairs have few persons in either role; empty where they have enough or it is not known.

    counts: ``source_persons`` and ``target_persons``, as evaluation.json has them; in older ones ``gallery_persons``.
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
    """(value, low, high) of a figure, by its name a share or another mean.

    Args:
        name: as in evaluation.json.
        values, sources, targets: see `clustered_mean`.
        level: coverage, between 0 and 1.

    low and high are NaN where they cannot be told; the value is NaN without any swap.
    """
    interval = share_interval if figure(name).share else mean_interval
    return interval(values, sources, targets, level)


def mean_interval(
    values: ArrayLike, sources: ArrayLike, targets: ArrayLike, level: float = LEVEL
) -> tuple[float, float, float]:
    """(value, low, high) of a mean: Student's t on `clustered_mean`. Equal values give an interval without width."""
    found = clustered_mean(values, sources, targets)
    half = found.quantile(level) * math.sqrt(found.variance)
    return found.value, found.value - half, found.value + half


def share_interval(
    values: ArrayLike, sources: ArrayLike, targets: ArrayLike, level: float = LEVEL
) -> tuple[float, float, float]:
    """(value, low, high) of a share: Wilson's score interval with as many swaps as the clustering leaves.

    It stays within 0 and 1 and always has a width, also for 0 of n and n of n.

    Args: values: 0 or 1 (or between) [n], and the rest as in `mean_interval`. Raises ValueError for others.
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
    """How many independent swaps of two outcomes say as much, between `groups` and what was estimated.

    Without any swap of the rarer outcome it is `groups`; with many, the estimate.
    """
    share = found.value
    estimated = found.effective(share * (1 - share))
    if estimated <= found.groups:
        return estimated
    seen = min(share, 1 - share) * estimated
    return (seen * estimated + UNSEEN * found.groups) / (seen + UNSEEN)
