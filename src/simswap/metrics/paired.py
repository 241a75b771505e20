"""Is one swapper better than another on the very same pairs?"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from simswap.metrics.bootstrap import bootstrap_interval

FLIPPED_AT_ONCE = 4_000_000
"""Largest number of (permutation, person) signs held at a time."""


class PairedDifference(NamedTuple):
    """What the second swapper adds to the first.

    value: mean over the pairs of second minus first. low, high: its 95 % interval. p: two-sided. pairs, persons: how
    many count. NaN where nothing can be told: no pair for ``value``, fewer than two persons for the rest.
    """

    value: float
    low: float
    high: float
    p: float
    pairs: int
    persons: int


def paired_difference(
    first: ArrayLike, second: ArrayLike, persons: ArrayLike, seed: int = 0, resamples: int = 1000,
    permutations: int = 9999,
) -> PairedDifference:
    """Mean difference (second minus first) of one figure on the same pairs, its interval and a p-value.

    The interval is the cluster bootstrap over persons (`bootstrap_interval`); the p-value is a sign-flip permutation
    test over persons: were the swappers alike, a person's summed difference could as well have the other sign. It is
    (1 + number of flips whose |sum| is at least the observed one's) / (1 + permutations) (Phipson and Smyth 2010); up
    to 2^persons <= permutations every flip is tried once instead, and p is their exact share.

    Args:
        first, second: float [n], a figure of each pair; NaN in either leaves the pair out.
        persons: [n], integers or names: the source's person (or video) of each pair.
        seed: of the draws; the same seed and input give the same answer.

    Raises ValueError for other shapes or fewer than one draw.
    """
    one, two, person = np.asarray(first, np.float64), np.asarray(second, np.float64), np.asarray(persons)
    if one.ndim != 1 or one.shape != two.shape or person.shape != one.shape:
        raise ValueError(f"three [n] needed, got {list(one.shape)}, {list(two.shape)} and {list(person.shape)}")
    if permutations < 1:
        raise ValueError(f"at least one permutation needed, got {permutations}")
    difference = two - one
    defined = ~np.isnan(difference)
    difference, person = difference[defined], person[defined]
    value, low, high = bootstrap_interval(difference, person, seed, resamples)
    _, group = np.unique(person, return_inverse=True)
    totals = np.bincount(group, weights=difference) if len(group) else np.zeros(0)
    p = _sign_flips(totals, seed, permutations) if len(totals) >= 2 else float("nan")
    return PairedDifference(value, low, high, p, len(difference), len(totals))


def _sign_flips(totals: np.ndarray, seed: int, permutations: int) -> float:
    """Two-sided p-value of the persons' summed differences [G] under flips of their signs."""
    # A flip that gives the same sum up to rounding counts as at least as large: p must not depend on the order.
    observed = abs(totals.sum()) - 1e-9 * np.abs(totals).sum()
    if len(totals) < 63 and 2 ** len(totals) <= permutations:
        flips = np.arange(2 ** len(totals))
        signs = 1.0 - 2.0 * ((flips[:, None] >> np.arange(len(totals))) & 1)
        return float((np.abs(signs @ totals) >= observed).mean())
    rng = np.random.default_rng(seed)
    reached, left = 0, permutations
    while left:
        now = min(left, max(1, FLIPPED_AT_ONCE // len(totals)))
        signs = rng.integers(0, 2, (now, len(totals))) * 2.0 - 1.0
        reached += int((np.abs(signs @ totals) >= observed).sum())
        left -= now
    return (1 + reached) / (1 + permutations)
