"""Intervals of a mean over samples that are not independent: the bootstrap over persons."""

import numpy as np
from numpy.typing import ArrayLike

DRAWN_AT_ONCE = 4_000_000
"""Largest number of (resample, person) counts held at a time, 32 MB."""


def bootstrap_interval(
    values: ArrayLike, groups: ArrayLike, seed: int, resamples: int = 1000, level: float = 0.95
) -> tuple[float, float, float]:
    """Mean of ``values`` with its percentile interval, persons (not samples) being drawn with replacement.

    The cluster bootstrap (Davison and Hinkley 1997, section 3.8): swaps that share a person go together, so every
    resample draws as many persons as there are, with all their samples, and takes the mean over these samples.

    Args:
        values: float [n]; NaN means not defined and is left out.
        groups: integers or names [n], the person of each sample.
        seed: of the draws; the same seed and input give the same interval.
        resamples: number of draws.
        level: coverage, between 0 and 1.

    Returns:
        (value, low, high). With fewer than two persons no interval can be told: low and high are NaN; with no
        sample at all the value is NaN too.

    Raises:
        ValueError: other shapes, fewer than one resample, a level outside (0, 1).
    """
    sample = np.asarray(values, dtype=np.float64)
    person = np.asarray(groups)
    if sample.ndim != 1 or person.shape != sample.shape:
        raise ValueError(f"values and groups must both be [n], got {list(sample.shape)} and {list(person.shape)}")
    if resamples < 1 or not 0.0 < level < 1.0:
        raise ValueError(f"at least one resample and a level between 0 and 1 needed, got {resamples} and {level}")
    defined = ~np.isnan(sample)
    sample, person = sample[defined], person[defined]
    if not len(sample):
        return float("nan"), float("nan"), float("nan")
    value = float(sample.mean())
    _, group = np.unique(person, return_inverse=True)
    totals = np.bincount(group, weights=sample)  # [G]
    counts = np.bincount(group)  # [G]
    if len(counts) < 2:
        return value, float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    shares = np.full(len(counts), 1.0 / len(counts))
    means = []
    left = resamples
    while left:
        now = min(left, max(1, DRAWN_AT_ONCE // len(counts)))
        drawn = rng.multinomial(len(counts), shares, size=now)  # [now, G]: how often each person was drawn
        means.append((drawn @ totals) / (drawn @ counts))
        left -= now
    low, high = np.quantile(np.concatenate(means), [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return value, float(low), float(high)
