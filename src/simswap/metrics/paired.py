"""Is one swapper better than another on the very same pairs?"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from simswap.metrics.clustered_mean import ClusteredMean, clustered_mean
from simswap.metrics.intervals import LEVEL


class PairedDifference(NamedTuple):
    """What the second swapper adds to the first.

    value: mean over the pairs of second minus first. low, high: its 95 % interval. p: two-sided. pairs, persons: how
    many count. NaN where nothing can be told: no pair for ``value``, and for the rest see `clustered_mean`.
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
    """Mean difference (second minus first) of one figure on the same pairs, its interval and a p-value.

    Pairs that share a person in any role are dependent (`clustered_mean`). A mean's difference gets Student's t. A
    share's difference gets the interval of Bonett and Price (2012, J. Educ. Behav. Stat. 37), which adds one pair in
    which the first wins and one in which the second does, and McNemar's score as its test; both with as many pairs as
    the clustering leaves.

    Args:
        first, second: float [n], a figure of each pair; NaN in either leaves the pair out.
        sources, targets: [n], integers or names: the person (or video) of each pair's source and target.
        share: whether the figure is a share (`Figure.share`).

    Raises ValueError for other shapes.
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
    """(low, high, p). differing: the share of pairs in which one swapper hits and the other does not."""
    pairs = found.effective(found.plain * found.swaps)
    value = found.value * pairs / (pairs + 2)
    variance = ((differing * pairs + 2) / (pairs + 2) - value**2) / (pairs + 2)
    half = found.quantile(LEVEL) * math.sqrt(variance)
    return max(-1.0, value - half), min(1.0, value + half), _p(found, found.value, math.sqrt(differing / pairs))


def _p(found: ClusteredMean, value: float, error: float) -> float:
    if error == 0:
        return 1.0 if value == 0 else 0.0
    return found.two_sided(value / error)
