"""Paired tests: is one swapper better than another on the same pairs?"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from simswap.metrics.clustered_mean import ClusteredMean, clustered_mean
from simswap.metrics.intervals import LEVEL


class PairedDifference(NamedTuple):
    """The second swapper's figure minus the first's.

    Attributes:
        value: The mean difference over the pairs; NaN without any pair.
        low: The lower end of its 95 % interval; NaN where `clustered_mean` has no variance.
        high: The upper end.
        p: The two-sided p-value.
        pairs: The number of pairs that count.
        persons: The number of persons in them.
    """

    value: float
    low: float
    high: float
    p: float
    pairs: int
    persons: int


def paired_difference(
    first: ArrayLike, second: ArrayLike, sources: ArrayLike, targets: ArrayLike, share: bool = False
) -> PairedDifference:
    """The mean difference (second minus first) of one figure on the same pairs, its interval and a p-value.

    Pairs that share a person in any role are dependent (`clustered_mean`). The difference of means gets Student's t.
    The difference of shares gets the interval of Bonett and Price (2012, J. Educ. Behav. Stat. 37), which adds one pair
    that the first wins and one that the second wins, and McNemar's score test; both with the effective number of pairs.

    Args:
        first: Float [n], the figure for each pair; a NaN in either array leaves out the pair.
        second: Float [n].
        sources: [n], integers or names: the person (or video) of each pair's source.
        targets: [n], the same for each pair's target.
        share: Whether the figure is a share (`Figure.share`).

    Raises:
        ValueError: For other shapes.
    """
    one, two = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.shape != two.shape:
        raise ValueError(f"the same pairs needed, got {list(one.shape)} and {list(two.shape)}")
    difference = two - one
    found = clustered_mean(difference, sources, targets)
    if math.isnan(found.variance):
        low = high = p = math.nan
    elif share:
        low, high, p = _of_shares(found, float(np.nanmean(difference**2)))
    else:
        error = math.sqrt(found.variance)
        half = found.quantile(LEVEL) * error
        low, high, p = found.value - half, found.value + half, _p(found, found.value, error)
    return PairedDifference(found.value, low, high, p, found.swaps, found.persons)


def _of_shares(found: ClusteredMean, differing: float) -> tuple[float, float, float]:
    """(low, high, p). differing: the share of pairs that exactly one of the two swappers hits."""
    pairs = found.effective(found.plain * found.swaps)
    value = found.value * pairs / (pairs + 2)
    variance = ((differing * pairs + 2) / (pairs + 2) - value**2) / (pairs + 2)
    half = found.quantile(LEVEL) * math.sqrt(variance)
    return max(-1.0, value - half), min(1.0, value + half), _p(found, found.value, math.sqrt(differing / pairs))


def _p(found: ClusteredMean, value: float, error: float) -> float:
    if error == 0:
        return 1.0 if value == 0 else 0.0
    return found.two_sided(value / error)
