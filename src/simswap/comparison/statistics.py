"""Means over seeds, differences between variants, and the Pareto front."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from scipy.special import stdtrit

from simswap.metrics.figures import Interval

LEVEL = 0.95
ROUNDING = 1e-12  # relative: a smaller spread is none
Key = TypeVar("Key", bound=Hashable)


class Spread(NamedTuple):
    """n seeds: mean, standard deviation (n - 1), and the 95 % interval of the mean by Student's t."""

    n: int
    mean: float
    sd: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Mean and spread over the seeds whose figure is known (NaN ones are left out); NaN where it cannot be told.

    With few seeds Student's t is wide (4.3 standard errors either way for three): that is what few seeds can tell. Two
    or three shares of a few hundred swaps can be alike by chance, so seeds without any spread give no interval.
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
    """ours - theirs with its 95 % interval over training seeds.

    Where both were trained with the same seeds (two or more), the differences are taken seed by seed (same data order
    and first weights) and Student's t goes over them. Else Welch's interval for two samples. NaN bounds with fewer
    than two seeds on either side, or without any spread.
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
    """The p-values corrected for their number (Holm 1979), so that one false find in all of them has 5 % below 0.05.

    The k-th smallest of n is multiplied by n - k + 1; none falls below a smaller one's, none exceeds 1. NaN ones stay
    NaN and do not count.
    """
    known = sorted((key for key, p in p_values.items() if not math.isnan(p)), key=lambda key: p_values[key])
    corrected, largest = dict(p_values), 0.0
    for k, key in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - k) * p_values[key]))
        corrected[key] = largest
    return corrected


def pareto_front(cost: Sequence[float], gain: Sequence[float]) -> list[int]:
    """Indices of the points that no other one beats: none has at most their cost and at least their gain and is better
    in one of both. Sorted by cost. Points with a NaN are left out."""
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
