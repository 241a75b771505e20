"""The mean of swaps that share persons, by sums worked out by hand and by laws that it must obey."""

import math

import numpy as np
import pytest
from scipy import stats

from simswap.data.pairs import evaluation_pairs
from simswap.metrics.clustered_mean import LEAST, clustered_mean

NAN = math.nan


def whole_matrix(values: np.ndarray, sources: np.ndarray, targets: np.ndarray) -> float:
    """The same variance from n x n matrices: all products of residuals of swaps that share a person, and their
    expectation where value = source's + target's + noise."""
    n = len(values)
    who = np.zeros((n, max(sources.max(), targets.max()) + 1))
    who[np.arange(n), sources] = who[np.arange(n), targets] = 1
    share = ((who @ who.T) > 0).astype(float)
    centered = np.eye(n) - 1 / n
    visible = centered @ share @ centered
    rest = values - values.mean()
    plain = rest @ rest / (n - 1) / n
    of_noise = np.trace(visible) / n**2
    persons = who @ who.T
    of_persons = np.trace(visible @ persons) / n**2
    within = np.trace(centered @ persons) / (n - 1)
    scale = (persons.sum() / n**2 - within / n) / (of_persons - within * of_noise)
    return plain + max(scale * (rest @ share @ rest / n**2 - rest @ rest / (n - 1) * of_noise), (LEAST - 1) * plain)


@pytest.mark.parametrize(("persons", "pairs"), [(4, 9), (6, 40), (12, 30)])
@pytest.mark.parametrize("oneself", [False, True])
def test_it_is_the_sum_over_all_swaps_that_share_a_person(persons, pairs, oneself):
    rng = np.random.default_rng(persons)
    targets, sources = evaluation_pairs(np.arange(persons), pairs, seed=0)
    if oneself:
        sources[::5] = targets[::5]
    effect = rng.standard_normal(persons)
    values = effect[sources] + 0.3 * effect[targets] + rng.standard_normal(pairs)
    found = clustered_mean(values, sources, targets)
    assert found.value == pytest.approx(values.mean())
    assert found.variance == pytest.approx(whole_matrix(values, sources, targets), rel=1e-9)
    assert (found.swaps, found.persons) == (pairs, persons)


def test_swaps_that_share_nobody_are_independent():
    values = np.array([1.0, 2.0, 4.0, 7.0])
    found = clustered_mean(values, ["a", "b", "c", "d"], ["e", "f", "g", "h"])
    assert found.variance == pytest.approx(values.var(ddof=1) / 4)
    assert (found.freedom, found.groups) == (3, 4)
    assert found.quantile(0.95) == pytest.approx(stats.t.ppf(0.975, 3))
    assert found.two_sided(-2.0) == pytest.approx(2 * stats.t.sf(2.0, 3))


def test_persons_swapped_with_themselves_are_clusters():
    """Five targets a person, all alike: as good as one target a person."""
    each = np.array([1.0, 3.0, 2.0, 6.0, 4.0, 2.0])
    persons = np.repeat(np.arange(6), 5)
    found = clustered_mean(each[persons], persons, persons)
    assert found.variance == pytest.approx(each.var(ddof=1) / 6, rel=1e-6)
    assert found.groups == 6
    assert found.freedom == pytest.approx(5, rel=0.15)


def test_couples_that_swap_both_ways_count_once():
    """As in FaceForensics++: each video meets one other alone, so couples are what is independent."""
    couple = np.repeat(np.arange(10), 8)
    one, other = 2 * couple, 2 * couple + 1
    there = np.tile([True, False], 40)
    each = np.random.default_rng(3).standard_normal(10)
    found = clustered_mean(each[couple], np.where(there, one, other), np.where(there, other, one))
    assert found.groups == 10
    assert found.variance == pytest.approx(each.var(ddof=1) / 10, rel=1e-6)


def test_the_role_makes_no_difference_and_names_neither():
    rng = np.random.default_rng(0)
    targets, sources = evaluation_pairs(np.repeat(np.arange(20), 3), 100, seed=1)
    values = rng.standard_normal(100) + rng.standard_normal(60)[targets]
    found = clustered_mean(values, sources // 3, targets // 3)
    swapped = clustered_mean(values, targets // 3, sources // 3)
    assert swapped == pytest.approx(found)
    words = np.array([f"person {k:02}" for k in range(20)])
    assert clustered_mean(values, words[sources // 3], words[targets // 3]) == pytest.approx(found)
    order = rng.permutation(100)
    assert clustered_mean(values[order], sources[order] // 3, targets[order] // 3) == pytest.approx(found)
    assert clustered_mean(5 - 2 * values, sources // 3, targets // 3).variance == pytest.approx(4 * found.variance)


@pytest.mark.parametrize(
    ("sources", "targets"),
    [
        ([0, 0, 0, 0], [0, 0, 0, 0]),  # one person
        ([0, 1, 0, 1], [1, 0, 1, 0]),  # two
        ([0, 1, 2, 1], [1, 2, 0, 0]),  # three: every two swaps share one
        ([1, 2, 3, 4], [0, 0, 0, 0]),  # one person in every swap
        ([1, 2, 3, 4], [2, 1, 4, 3]),  # but two couples are two groups
    ],
)
def test_what_too_few_persons_cannot_tell(sources, targets):
    found = clustered_mean([1.0, 2.0, 3.0, 5.0], sources, targets)
    assert found.value == 2.75
    assert math.isnan(found.variance) == (targets != [2, 1, 4, 3])


def test_what_is_not_defined_is_left_out():
    whole = clustered_mean([1.0, NAN, 3.0, 2.0, 0.0], [0, 1, 2, 3, 4], [5, 6, 7, 8, 9])
    assert whole == clustered_mean([1.0, 3.0, 2.0, 0.0], [0, 2, 3, 4], [5, 7, 8, 9])
    nothing = clustered_mean([NAN, NAN], [0, 1], [1, 0])
    assert nothing.swaps == 0
    assert math.isnan(nothing.value)
    assert math.isnan(nothing.variance)
    single = clustered_mean([3.0, NAN], [0, 1], [2, 3])
    assert (single.value, single.swaps) == (3.0, 1)
    assert math.isnan(single.variance)


def test_equal_values_have_no_variance():
    targets, sources = evaluation_pairs(np.arange(10), 50, seed=0)
    found = clustered_mean(np.full(50, 0.1), sources, targets)
    assert (found.value, found.variance) == (0.1, 0.0)
    noise = np.sin(np.arange(50))
    assert clustered_mean((noise + 0.3) - noise, sources, targets).variance == 0.0  # the same but for rounding
    assert found.effective(0.0) == pytest.approx(10)


def test_many_swaps_take_no_large_matrices():
    targets, sources = evaluation_pairs(np.arange(30_000), 60_000, seed=0)
    found = clustered_mean(np.random.default_rng(0).standard_normal(60_000), sources, targets)
    assert found.variance == pytest.approx(1 / 60_000, rel=0.05)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"three \[n\] needed, got \[2\], \[2\] and \[1\]"):
        clustered_mean([1.0, 2.0], [0, 1], [0])
    with pytest.raises(ValueError, match="needed"):
        clustered_mean(np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2)))
