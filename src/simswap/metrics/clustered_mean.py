"""The mean of swaps that share persons, and how far it can be trusted.

Two swaps are dependent where they share a person in any role: as source, as target, or as source of one and target of
the other. The variance is the dyadic-robust one (Aronow, Samii and Assenova 2015, Political Analysis 23), in three
ways made fit for few persons:

- The residuals are taken from the estimated mean, which hides a part of what persons have in common. How much is known
  from which persons meet in which swaps, and is given back.
- With few persons the estimate is noisy. It never falls below `LEAST` of the variance of independent swaps.
- Student's t takes the place of the normal distribution, with Satterthwaite's degrees of freedom.

All three were chosen by simulation on the protocol's own pairs (`tests/metrics/test_coverage.py`).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

LEAST = 0.8
ROUNDING = 1e-12  # relative: values that differ by less are the same
NOT_TOLD = 1e-9  # relative: below it the swaps do not show what their persons contribute


class ClusteredMean(NamedTuple):
    """A mean over swaps and what it rests on.

    value: the mean. variance: its variance; NaN where it cannot be told. freedom: degrees of freedom of Student's t.
    plain: what the variance would be if no two swaps shared a person. swaps: how many count. persons: how many
    persons they have in either role. groups: the number of independent swaps that is left if a person decides every
    outcome.
    """

    value: float
    variance: float
    freedom: float
    plain: float
    swaps: int
    persons: int
    groups: float

    def quantile(self, level: float) -> float:
        """How many standard errors the interval of this level goes to either side."""
        return float(stdtrit(self.freedom, 0.5 + level / 2))

    def two_sided(self, errors: float) -> float:
        """The probability of a mean at least this many standard errors from the true one."""
        return float(2 * stdtr(self.freedom, -abs(errors)))

    def effective(self, variance_of_one: float) -> float:
        """How many independent swaps say as much: at most ``swaps``, at least one.

        variance_of_one: of a single swap's value. Where it is 0 (all values are the same), nothing shows how they
        depend on persons, and `groups` is what is certain.
        """
        if not variance_of_one > 0 or not self.variance > 0:
            return self.groups
        return float(np.clip(variance_of_one / self.variance, 1.0, self.swaps))


def clustered_mean(values: ArrayLike, sources: ArrayLike, targets: ArrayLike) -> ClusteredMean:
    """The mean of ``values`` and its variance, clustered by persons in both roles.

    The variance cannot be told (NaN) with one swap, and where the swaps do not show what persons contribute: up to
    three persons, or one person in every swap.

    Args:
        values: float [n]; NaN means not defined and is left out.
        sources, targets: integers or names [n], the person (or video) of each swap's source and target. Both are the
            same where a person is swapped with itself.

    Raises ValueError for other shapes.
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
    """Who meets whom in n swaps: what of the variance depends on this alone."""

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
        """The expected sum of products below, over the variance of one swap, where swaps are independent."""
        persons, couples = self._squares
        return self.swaps - (persons - couples) / self.swaps

    def _scale(self, twice: np.ndarray) -> float:
        """What the visible part of the persons' contribution is multiplied by, to be right on average.

        Worked out for contributions that add up: value = source's + target's + noise. 0 where no two swaps share a
        person; NaN where nothing of the contribution is visible.
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
        """What persons add to the variance of the mean, as far as these residuals [n] show it; may be below 0."""
        if self.scale == 0:
            return 0.0
        couples = np.bincount(self.couple, weights=rest * self.two)
        products = float((self._by_person(rest) ** 2).sum() - (couples**2).sum())  # of swaps that share a person
        return self.scale * (products / self.swaps**2 - plain * self._independent / self.swaps)

    def freedom(self, shared: float, plain: float) -> float:
        """Degrees of freedom of Student's t by Satterthwaite: 2 variance² / (its error)², at most those of the groups.

        The error of ``shared`` has two parts that go together: from noise (which alone makes some pairs of swaps look
        alike) and from the persons that were drawn. That of noise counts as far as persons show at all.
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
    """How many groups of one size weigh like these: their number where all are alike."""
    squares = sizes**2
    return float(squares.sum() ** 2 / (squares**2).sum())
