"""Means over seeds, differences and the front, by numbers worked out by hand."""

import math

import pytest

from simswap.comparison.statistics import difference_over_seeds, pareto_front, spread


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


def test_the_front_by_hand():
    #        A    B    C    D    E (like D but dearer)  F unknown
    cost = [1.0, 2.0, 2.5, 4.0, 5.0, math.nan]
    gain = [0.2, 0.6, 0.5, 0.9, 0.9, 1.0]
    assert pareto_front(cost, gain) == [0, 1, 3]
    assert pareto_front([3.0, 1.0, 1.0], [0.5, 0.5, 0.5]) == [1, 2]  # two alike stand on it together
    assert pareto_front([], []) == []
