"""Means over seeds, differences between variants, and the Pareto front."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from scipy.special import stdtrit

from simswap.metrics.figures import Interval

LEVEL = 0.95
ROUNDING = 1e-12  # relative: a smaller spread counts as none
Key = TypeVar("Key", bound=Hashable)


class Spread(NamedTuple):
    """Over n seeds: the mean, the standard deviation (n - 1), and the 95 % interval of the mean by Student's t."""

    n: int
    mean: float
    sd: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """The mean and spread over seeds; NaN values are left out, and unknown numbers are NaN.

    With few seeds the interval is wide (4.3 standard errors to either side for three), because few seeds show little.
    Two or three shares of a few hundred swaps can be equal by chance, so seeds without any spread give no interval.
    """
    known = np.asarray([v for v in values if not math.isnan(v)], dtype=np.float64)
    n = len(known)
    if n == 0:
        return Spread(0, math.nan, math.nan, math.nan, math.nan)
    mean = float(known.mean())
    if n == 1:
        return Spread(1, mean, math.nan, math.nan, math.nan)
    sd = float(known.std(ddof=1))
    if sd <= ROUNDING * float(np.abs(known).max()):
        return Spread(n, mean, 0.0, math.nan, math.nan)
    half = _t(n - 1) * sd / math.sqrt(n)
    return Spread(n, mean, sd, mean - half, mean + half)


def difference_over_seeds(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Interval:
    """The difference ours - theirs with its 95 % interval over training seeds.

    If both were trained with the same seeds (at least two), which means the same data order and initial weights, the
    interval is Student's t of the differences seed by seed. Otherwise it is Welch's interval for two samples. The
    bounds are NaN with fewer than two seeds on either side, or without any spread.
    """
    a = {seed: v for seed, v in ours.items() if not math.isnan(v)}
    b = {seed: v for seed, v in theirs.items() if not math.isnan(v)}
    if not a or not b:
        return Interval(math.nan, math.nan, math.nan)
    if set(a) == set(b) and len(a) > 1:
        paired = spread([a[seed] - b[seed] for seed in sorted(a)])
        return Interval(paired.mean, paired.low, paired.high)
    first, second = spread(list(a.values())), spread(list(b.values()))
    value = first.mean - second.mean
    if first.n < 2 or second.n < 2:
        return Interval(value, math.nan, math.nan)
    parts = first.sd**2 / first.n, second.sd**2 / second.n
    error = math.sqrt(sum(parts))
    if error == 0:
        return Interval(value, math.nan, math.nan)
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (first.n - 1) + parts[1] ** 2 / (second.n - 1))
    half = _t(freedom) * error
    return Interval(value, value - half, value + half)


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """Correct p-values for their number (Holm 1979), so that any false positive below 0.05 has a probability of 5 %.

    The k-th smallest of n is multiplied by n - k + 1, stays at least as large as the one before it, and is at most 1.
    NaN values stay NaN and do not count.
    """
    known = sorted((key for key, p in p_values.items() if not math.isnan(p)), key=lambda key: p_values[key])
    corrected, largest = dict(p_values), 0.0
    for k, key in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - k) * p_values[key]))
        corrected[key] = largest
    return corrected


def pareto_front(cost: Sequence[float], gain: Sequence[float]) -> list[int]:
    """The indices of the points on the Pareto front, sorted by cost.

    A point is on the front if no other has at most its cost and at least its gain and is better in one of them. Points
    with a NaN are left out.
    """
    known = [i for i in range(len(cost)) if not (math.isnan(cost[i]) or math.isnan(gain[i]))]
    front: list[int] = []
    best = -math.inf
    for i in sorted(known, key=lambda i: (cost[i], -gain[i])):
        if gain[i] > best or (front and (cost[i], gain[i]) == (cost[front[-1]], gain[front[-1]])):
            front.append(i)
            best = gain[i]
    return front


def _t(freedom: float) -> float:
    return float(stdtrit(freedom, 0.5 + LEVEL / 2))
