"""The mean over swaps that share persons, and its variance.

Two swaps are dependent if they share a person in any role: as source, as target, or as the source of one and the target
of the other. The variance is the dyadic-robust one (Aronow, Samii and Assenova 2015, Political Analysis 23), corrected
for few persons in three ways:

- Residuals from the estimated mean hide part of what persons have in common. The hidden part follows from which persons
  meet in which swaps, and is added back.
- With few persons the estimate is noisy. It never falls below `LEAST` times the variance of independent swaps.
- Student's t with Satterthwaite's degrees of freedom replaces the normal distribution.

All three were chosen by simulation on the protocol's own pairs (`tests/metrics/test_coverage.py`).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

LEAST = 0.8
ROUNDING = 1e-12  # relative: values that differ by less count as equal
NOT_TOLD = 1e-9  # relative: below it the contribution of persons cannot be estimated from the swaps


class ClusteredMean(NamedTuple):
    """A mean over swaps with its variance.

    Attributes:
        value: The mean.
        variance: The variance of the mean; NaN where it cannot be estimated.
        freedom: The degrees of freedom of Student's t.
        plain: The variance if no two swaps shared a person.
        swaps: The number of swaps that count.
        persons: The number of persons in either role.
        groups: The effective number of independent swaps if persons alone decided every outcome.
    """

    value: float
    variance: float
    freedom: float
    plain: float
    swaps: int
    persons: int
    groups: float

    def quantile(self, level: float) -> float:
        """The half-width of the interval of this level, in standard errors."""
        return float(stdtrit(self.freedom, 0.5 + level / 2))

    def two_sided(self, errors: float) -> float:
        """The two-sided p-value of a mean that is this many standard errors from the hypothesis."""
        return float(2 * stdtr(self.freedom, -abs(errors)))

    def effective(self, variance_of_one: float) -> float:
        """The effective number of independent swaps, from 1 to ``swaps``.

        Args:
            variance_of_one: The variance of a single swap's value. If it is 0 (all values are equal), the data do not
                show how values depend on persons, and the result is the safe ``groups``.
        """
        if not variance_of_one > 0 or not self.variance > 0:
            return self.groups
        return float(np.clip(variance_of_one / self.variance, 1.0, self.swaps))


def clustered_mean(values: ArrayLike, sources: ArrayLike, targets: ArrayLike) -> ClusteredMean:
    """The mean of ``values`` and its variance, clustered by persons in both roles.

    The variance is NaN with a single swap, and where the contribution of persons cannot be estimated: with up to three
    persons, or one person in every swap.

    Args:
        values: Float [n]; NaN means undefined and is left out.
        sources: Integers or names [n], the person (or video) of each swap's source.
        targets: The same for each swap's target; equal to the source where a person is swapped with itself.

    Raises:
        ValueError: For other shapes.
    """
    sample, source, target = np.asarray(values, dtype=np.float64), np.asarray(sources), np.asarray(targets)
    if sample.ndim != 1 or source.shape != sample.shape or target.shape != sample.shape:
        raise ValueError(f"three [n] needed, got {list(sample.shape)}, {list(source.shape)} and {list(target.shape)}")
    defined = ~np.isnan(sample)
    sample, source, target = sample[defined], source[defined], target[defined]
    n, nan = len(sample), float("nan")
    if not n:
        return ClusteredMean(nan, nan, nan, nan, 0, 0, nan)
    same = np.ptp(sample) <= ROUNDING * np.abs(sample).max()
    value = float(sample[0] if same else sample.mean())
    meetings = _Meetings(source, target)
    if n < 2:
        return ClusteredMean(value, nan, nan, nan, n, meetings.persons, meetings.groups)
    rest = np.zeros(n) if same else sample - value
    plain = float((rest**2).sum() / (n - 1) / n)
    shared = meetings.shared(rest, plain)
    variance = max(plain + shared, LEAST * plain) if shared == shared else nan
    return ClusteredMean(
        value, variance, meetings.freedom(max(shared, 0.0), plain), plain, n, meetings.persons, meetings.groups
    )


class _Meetings:
    """Who meets whom in n swaps, and the parts of the variance that depend only on this."""

    def __init__(self, source: np.ndarray, target: np.ndarray) -> None:
        names, both = np.unique(np.concatenate([source, target]), return_inverse=True)
        n, self.persons = len(source), len(names)
        self.swaps, self.one, self.other = n, both[:n], both[n:]
        self.two = self.one != self.other  # swaps of two persons; the others are swaps with oneself
        low, high = np.minimum(self.one, self.other), np.maximum(self.one, self.other)
        _, self.couple = np.unique(low * self.persons + high, return_inverse=True)
        self.person_swaps = self._by_person(np.ones(n))  # how many swaps have this person
        couple_swaps = np.bincount(self.couple).astype(np.float64)  # how many swaps have both of this couple
        self.groups = float(min(_effective_number(self.person_swaps), _effective_number(couple_swaps)))
        twice = np.bincount(self.couple, weights=self.two)
        self._squares = float((self.person_swaps**2).sum()), float((twice**2).sum())
        self.scale = self._scale(twice)

    def _by_person(self, values: np.ndarray) -> np.ndarray:
        """The sum over each person's swaps."""
        return np.bincount(self.one, weights=values, minlength=self.persons) + np.bincount(
            self.other, weights=values * self.two, minlength=self.persons
        )

    @property
    def _independent(self) -> float:
        """The expected sum of the products below, divided by the variance of one swap, for independent swaps."""
        persons, couples = self._squares
        return self.swaps - (persons - couples) / self.swaps

    def _scale(self, twice: np.ndarray) -> float:
        """The factor that makes the visible part of the persons' contribution unbiased.

        It is derived for additive contributions: value = source's + target's + noise. 0 if no two swaps share a person;
        NaN if none of the contribution is visible.
        """
        n, (persons, couples) = self.swaps, self._squares
        if n < 2:
            return float("nan")
        of_swap = self.person_swaps[self.one] + self.two * self.person_swaps[self.other]
        products = persons - 2 / n * (float((of_swap**2).sum()) - float((twice[self.couple] * of_swap)[self.two].sum()))
        products += persons / n**2 * (persons - couples)
        within = n + self.two.sum() - persons / n
        true = persons - within * n / (n - 1)
        visible = products - within * self._independent / (n - 1)
        if true <= NOT_TOLD * persons:
            return 0.0
        return true / visible if visible > NOT_TOLD * true else float("nan")

    def shared(self, rest: np.ndarray, plain: float) -> float:
        """The persons' estimated contribution to the variance of the mean, from residuals [n]; may be negative."""
        if self.scale == 0:
            return 0.0
        couples = np.bincount(self.couple, weights=rest * self.two)
        products = float((self._by_person(rest) ** 2).sum() - (couples**2).sum())  # of swaps that share a person
        return self.scale * (products / self.swaps**2 - plain * self._independent / self.swaps)

    def freedom(self, shared: float, plain: float) -> float:
        """Satterthwaite's degrees of freedom, 2 variance² / (its error)², at most those of the groups.

        The error of ``shared`` has two correlated parts: noise, which makes some pairs of swaps look alike by chance,
        and the sampling of persons. The part of noise is weighted by how visible persons are at all.
        """
        most = max(self.groups - 1, 1.0)
        if not shared > 0:
            return most
        persons, couples = self._squares
        of_noise = self.scale * np.sqrt(2 * max(persons - couples - self.swaps, 0.0)) / self.swaps * plain
        of_persons = np.sqrt(2 / most) * shared
        error = of_persons**2 + 2 * of_noise * of_persons + of_noise**2 * min(1.0, shared / plain)
        return float(np.clip(2 * (plain + shared) ** 2 / error, 1.0, most))


def _effective_number(sizes: np.ndarray) -> float:
    """The number of equally large groups with the same weight; for groups of equal size, their number."""
    squares = sizes**2
    return float(squares.sum() ** 2 / (squares**2).sum())
