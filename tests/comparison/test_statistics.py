"""Means over seeds, differences and the front, by numbers worked out by hand."""

import math

import numpy as np
import pytest

from simswap.comparison.pairs import _at_first_pair
from simswap.comparison.statistics import difference_over_seeds, holm, pareto_front, spread


def test_spread_of_three_seeds():
    # mean 4, deviations -2 0 2: sd 2; t(2 degrees, 97.5 %) = 4.302653, times 2 / sqrt 3
    found = spread([2.0, 4.0, 6.0])
    assert found[:3] == (3, 4.0, 2.0)
    assert found.low == pytest.approx(4 - 4.302653 * 2 / math.sqrt(3), abs=1e-5)
    assert found.high == pytest.approx(4 + 4.302653 * 2 / math.sqrt(3), abs=1e-5)


def test_what_cannot_be_told_is_nan():
    one = spread([3.0, math.nan])
    assert one[:2] == (1, 3.0)
    assert math.isnan(one.sd)
    assert math.isnan(one.low)
    assert math.isnan(spread([]).mean)
    lone = difference_over_seeds({0: 3.0}, {0: 1.0})
    assert lone.value == 2.0
    assert math.isnan(lone.low)
    assert math.isnan(difference_over_seeds({}, {0: 1.0}).value)


def test_the_same_seeds_are_paired():
    # differences 1, 2, 3: mean 2, sd 1, whatever the seeds themselves move
    found = difference_over_seeds({0: 11.0, 1: 52.0, 2: 93.0}, {0: 10.0, 1: 50.0, 2: 90.0})
    assert found.value == pytest.approx(2.0)
    assert found.high - found.value == pytest.approx(4.302653 / math.sqrt(3), abs=1e-5)


def test_other_seeds_are_two_samples():
    # Welch: variances 1 and 4, three each: error sqrt(5/3); freedom (5/3)^2 / ((1/3)^2/2 + (4/3)^2/2) = 2.941
    found = difference_over_seeds({0: 1.0, 1: 2.0, 2: 3.0}, {3: 0.0, 4: 2.0, 5: 4.0})
    assert found.value == pytest.approx(0.0)
    assert found.high == pytest.approx(3.2192 * math.sqrt(5 / 3), rel=2e-3)
    assert found.low == pytest.approx(-found.high)


def test_seeds_without_any_spread_have_no_interval():
    assert spread([0.25, 0.25])[:3] == (2, 0.25, 0.0)
    for found in (
        spread([0.25, 0.25]),
        difference_over_seeds({0: 0.3, 1: 0.5}, {0: 0.2, 1: 0.4}),
        difference_over_seeds({0: 0.3, 1: 0.3}, {2: 0.2, 3: 0.2}),
    ):
        assert math.isnan(found.low)
        assert math.isnan(found.high)


def test_intervals_over_seeds_hold_as_often_as_they_say():
    rng = np.random.default_rng(0)
    for n in (2, 3, 5):
        held = paired = welch = 0
        for _ in range(4000):
            ours, theirs = rng.standard_normal((2, n))
            held += (found := spread(list(ours))).low <= 0 <= found.high
            found = difference_over_seeds(dict(enumerate(ours)), dict(enumerate(theirs)))
            paired += found.low <= 0 <= found.high
            found = difference_over_seeds(dict(enumerate(ours)), dict(enumerate(2 * theirs, start=n)))
            welch += found.low <= 0 <= found.high
        assert held / 4000 == pytest.approx(0.95, abs=0.012)
        assert paired / 4000 == pytest.approx(0.95, abs=0.012)
        assert welch / 4000 > 0.935  # Welch's is approximate, and on the safe side with two seeds


def test_holm_by_hand():
    # sorted 0.01 0.02 0.03 0.4, times 4 3 2 1: 0.04 0.06 0.06 0.4; none below a smaller one's
    p_values = {"a": 0.03, "b": 0.4, "c": 0.01, "d": 0.02, "unknown": math.nan}
    found = holm(p_values)
    assert math.isnan(found.pop("unknown"))
    assert found == pytest.approx({"a": 0.06, "b": 0.4, "c": 0.04, "d": 0.06})
    assert holm({"one": 0.6, "two": 0.7}) == {"one": 1.0, "two": 1.0}
    assert holm({}) == {}


def test_the_front_by_hand():
    #        A    B    C    D    E (like D but dearer)  F unknown
    cost = [1.0, 2.0, 2.5, 4.0, 5.0, math.nan]
    gain = [0.2, 0.6, 0.5, 0.9, 0.9, 1.0]
    assert pareto_front(cost, gain) == [0, 1, 3]
    assert pareto_front([3.0, 1.0, 1.0], [0.5, 0.5, 0.5]) == [1, 2]  # two alike stand on it together
    assert pareto_front([], []) == []


def test_a_missed_first_pair_leaves_the_target_comparable():
    """Runs have a target's self-reconstruction at different pairs, format 1 at all: it is compared at its first."""
    nan, targets = np.nan, np.array(["b", "a", "b", "a", "c"])
    for given in ([0.5, nan, nan, 0.2, nan], [nan, 0.2, 0.5, nan, nan], [0.5, 0.2, 0.5, 0.2, nan]):
        np.testing.assert_array_equal(_at_first_pair(np.array(given), targets), [0.5, 0.2, nan, nan, nan])
