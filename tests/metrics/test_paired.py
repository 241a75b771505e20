"""Paired differences by numbers worked out by hand. How often a true null is rejected: test_coverage.py."""

import math

import numpy as np
import pytest

from simswap.data.pairs import evaluation_pairs
from simswap.metrics.intervals import mean_interval
from simswap.metrics.paired import paired_difference

NAN = math.nan
STRANGERS = np.arange(100), np.arange(100) + 100
TARGETS, SOURCES = (rows // 10 for rows in evaluation_pairs(np.repeat(np.arange(50), 10), 400, seed=0))


def test_the_difference_its_interval_and_p():
    found = paired_difference([0, 0, 0, 1], [1, 2, 1, 5], [0, 1, 2, 3], [4, 5, 6, 7])
    assert found[:3] == pytest.approx(mean_interval([1, 2, 1, 4], [0, 1, 2, 3], [4, 5, 6, 7]))
    # mean 2, sd sqrt 2, error 1/sqrt 2: t = 2.828 with 3 degrees of freedom
    assert found.p == pytest.approx(0.0663, abs=1e-4)
    assert (found.pairs, found.persons) == (4, 8)


def test_the_interval_excludes_zero_where_p_is_below_five_percent():
    noise = np.random.default_rng(1).standard_normal(400)
    wide = paired_difference(np.zeros(400), noise, SOURCES, TARGETS)
    half = (wide.high - wide.low) / 2
    for shift, below in ((0.99 * half, False), (1.01 * half, True)):
        found = paired_difference(np.zeros(400), noise - wide.value + shift, SOURCES, TARGETS)
        assert (found.p < 0.05) == (found.low > 0) == below


def test_the_other_way_round_is_the_negative():
    one, two = np.random.default_rng(0).standard_normal((2, 400))
    for share in (False, True):
        first, second = (one > 0, two > 0) if share else (one, two)
        found = paired_difference(first, second, SOURCES, TARGETS, share)
        back = paired_difference(second, first, SOURCES, TARGETS, share)
        assert (back.value, back.low, back.high, back.p) == pytest.approx(
            (-found.value, -found.high, -found.low, found.p)
        )


def test_shares_that_differ_nowhere_are_not_certainly_alike():
    # nothing differs among 100 strangers: one pair more for each, t(99) * sqrt(2 / 102) / sqrt(102)
    hits = np.tile([0.0, 1.0], 50)
    found = paired_difference(hits, hits, *STRANGERS, share=True)
    assert (found.value, found.p) == (0.0, 1.0)
    assert found.high == pytest.approx(1.984 * math.sqrt(2) / 102, abs=1e-4)
    assert found.low == -found.high


def test_a_share_won_everywhere_is_within_its_bounds():
    found = paired_difference(np.zeros(100), np.ones(100), *STRANGERS, share=True)
    assert found.value == found.high == 1.0
    assert 0.94 < found.low < 1.0
    assert found.p < 1e-6


def test_shares_have_mcnemars_score():
    # 12 pairs won and 4 lost of 100: z = 8 / sqrt 16 = 2, with 99 degrees of freedom p is 0.048
    first, second = np.zeros(100), np.zeros(100)
    first[:4], second[4:16] = 1, 1
    found = paired_difference(first, second, *STRANGERS, share=True)
    assert found.value == pytest.approx(0.08)
    assert found.p == pytest.approx(0.048, abs=0.002)
    assert found.low < 0.08 < found.high


def test_what_cannot_be_told_is_nan():
    found = paired_difference([0, NAN, 0, 0], [1, 5, NAN, 3], [0, 1, 1, 2], [3, 4, 5, 6])
    assert (found.value, found.pairs) == (2.0, 2)
    nothing = paired_difference([NAN], [1], ["a"], ["b"])
    assert np.isnan([nothing.value, nothing.low, nothing.high, nothing.p]).all()
    assert (nothing.pairs, nothing.persons) == (0, 0)
    alone = paired_difference([0, 0], [1, 2], ["a", "a"], ["a", "a"])
    assert alone.value == 1.5
    assert np.isnan([alone.low, alone.high, alone.p]).all()


def test_equal_differences_are_told_exactly():
    assert paired_difference([1, 2, 3], [1, 2, 3], [0, 1, 2], [3, 4, 5])[:4] == (0.0, 0.0, 0.0, 1.0)
    assert paired_difference([1, 2, 3], [2, 3, 4], [0, 1, 2], [3, 4, 5])[:4] == (1.0, 1.0, 1.0, 0.0)


def test_other_pairs_are_refused():
    with pytest.raises(ValueError, match=r"the same pairs needed, got \[2\] and \[1\]"):
        paired_difference([1, 2], [1], ["a", "b"], ["c", "d"])
    with pytest.raises(ValueError, match="needed"):
        paired_difference([1, 2], [1, 2], ["a", "b"], ["c"])
