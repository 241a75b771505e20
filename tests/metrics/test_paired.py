"""Paired differences, worked out by hand and against what chance would give."""

import itertools

import numpy as np
import pytest

from simswap.metrics.bootstrap import bootstrap_interval
from simswap.metrics.paired import paired_difference

NAN = float("nan")


def test_by_hand():
    # Three persons with summed differences 3, 1 and 2: of the eight flips only +++ and --- reach 6.
    found = paired_difference([0, 0, 0, 1], [1, 2, 1, 3], ["a", "a", "b", "c"])
    assert found.value == pytest.approx(1.5)
    assert found.p == pytest.approx(2 / 8)
    assert (found.pairs, found.persons) == (4, 3)
    assert found[:3] == bootstrap_interval([1, 2, 1, 2], ["a", "a", "b", "c"], 0)
    # 3, -1, 2: |4| is reached by +-+, +++, and their mirror images.
    assert paired_difference([0, 1, 0], [3, 0, 2], [0, 1, 2]).p == pytest.approx(4 / 8)


def test_drawn_flips_come_near_all_flips():
    rng = np.random.default_rng(3)
    totals = rng.normal(0.35, 1, 12)
    every = np.array(list(itertools.product((-1, 1), repeat=12)))
    exact = np.mean(np.abs(every @ totals) >= abs(totals.sum()) - 1e-12)
    assert 0.01 < exact < 0.9
    drawn = paired_difference(np.zeros(12), totals, np.arange(12), permutations=4000).p  # 2^12 > 4000: they are drawn
    assert drawn == pytest.approx(exact, abs=0.03)
    assert paired_difference(np.zeros(12), totals, np.arange(12), permutations=4096).p == exact


def test_a_difference_that_is_none_is_rarely_found():
    """With 20 persons and five correlated pairs each, about 5 of 100 tests of nothing lie under 0.05."""
    rng = np.random.default_rng(0)
    persons = np.repeat(np.arange(20), 5)
    found = 0
    for trial in range(200):
        noise = rng.normal(0, 1, 20)[persons] + rng.normal(0, 0.3, 100)
        found += paired_difference(np.zeros(100), noise, persons, trial, 10, 499).p <= 0.05
    assert 2 <= found <= 22


def test_pairs_that_are_not_defined_stay_out():
    found = paired_difference([0, NAN, 0, 0], [1, 5, NAN, 3], [0, 1, 1, 2])
    assert (found.value, found.pairs, found.persons) == (2, 2, 2)
    nothing = paired_difference([NAN], [1], ["a"])
    assert np.isnan([nothing.value, nothing.low, nothing.p]).all()
    assert nothing.pairs == 0
    assert np.isnan(paired_difference([0, 0], [1, 2], ["a", "a"]).p)  # one person: nothing to flip against


def test_order_and_seed():
    rng = np.random.default_rng(1)
    one, two, persons = rng.normal(size=60), rng.normal(0.3, 1, 60), rng.integers(0, 25, 60)
    found = paired_difference(one, two, persons, seed=4)
    assert found == paired_difference(one, two, persons, seed=4)
    back = paired_difference(two, one, persons, seed=4)
    assert back.value == -found.value
    assert back.p == found.p


def test_lists_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="three"):
        paired_difference([1, 2], [1], ["a", "b"])
