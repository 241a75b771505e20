"""Intervals of means and shares, by numbers worked out by hand."""

import math

import numpy as np
import pytest

from simswap.data.pairs import evaluation_pairs
from simswap.metrics.figures import FIGURES
from simswap.metrics.intervals import approximate, figure_interval, mean_interval, share_interval

STRANGERS = np.arange(100), np.arange(100) + 100
TARGETS, SOURCES = (rows // 10 for rows in evaluation_pairs(np.repeat(np.arange(100), 10), 1000, seed=0))


def test_a_mean_of_strangers_has_students_t():
    # mean 2.5, variance 5/3, four swaps: error sqrt(5/12); t(3 degrees, 97.5 %) = 3.182446
    value, low, high = mean_interval([1.0, 2.0, 3.0, 4.0], [0, 1, 2, 3], [4, 5, 6, 7])
    assert value == 2.5
    assert low == pytest.approx(2.5 - 3.182446 * math.sqrt(5 / 12), abs=1e-5)
    assert high == pytest.approx(2.5 + 3.182446 * math.sqrt(5 / 12), abs=1e-5)


def test_a_share_of_strangers_is_nearly_wilsons():
    # 50 of 100: Wilson's half width with z = 1.96 is 0.0962; here t of 99 degrees, and 99 swaps
    value, low, high = share_interval(np.tile([0.0, 1.0], 50), *STRANGERS)
    assert (value, low + high) == pytest.approx((0.5, 1.0))
    assert high - 0.5 == pytest.approx(0.0979, abs=2e-4)


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_none_of_n_and_all_of_n_have_a_width(outcome):
    # strangers: 100 of 100: t^2 / (100 + t^2) = 3.937 / 103.937
    value, low, high = share_interval(np.full(100, outcome), *STRANGERS)
    assert value == outcome
    assert high - low == pytest.approx(0.03788, abs=1e-4)
    assert 0.0 <= low <= value <= high <= 1.0
    # 1,000 swaps of 100 persons: no more is certain than what 100 of them say
    assert share_interval(np.full(1000, outcome), SOURCES, TARGETS) == pytest.approx((value, low, high), abs=1e-4)


def test_one_miss_in_a_thousand_is_no_certainty_either():
    values = np.ones(1000)
    values[17] = 0
    value, low, high = share_interval(values, SOURCES, TARGETS)
    assert value == 0.999
    assert 0.96 < low < 0.995
    assert 0.999 < high < 1.0


def test_a_share_that_persons_decide_counts_persons():
    hit = np.random.default_rng(0).permutation(100) < 70
    value, low, high = share_interval(hit[SOURCES].astype(float), SOURCES, TARGETS)
    half = 1.984 * math.sqrt(0.7 * 0.3 / 100)
    assert value == pytest.approx(0.7)
    assert high - low == pytest.approx(2 * half, rel=0.12)


def test_figures_are_shares_or_means_by_their_names():
    values = np.zeros(100)
    assert figure_interval("id_retrieval", values, *STRANGERS)[2] > 0.03
    assert figure_interval("pose_error_deg", values, *STRANGERS) == (0.0, 0.0, 0.0)
    shares = {name for name, one in FIGURES.items() if one.share}
    assert {name for name in shares if not name.startswith("id_retrieval")} == {"judges_agree"}
    assert all(name.startswith("self_reconstruction_") for name, one in FIGURES.items() if one.per_target)


@pytest.mark.parametrize("persons", [([0, 0], [0, 0]), ([0, 1], [1, 0])])
@pytest.mark.parametrize("interval", [mean_interval, share_interval])
def test_too_few_persons_have_no_interval(persons, interval):
    value, low, high = interval([0.0, 1.0], *persons)
    assert value == 0.5
    assert math.isnan(low)
    assert math.isnan(high)
    assert all(math.isnan(part) for part in interval([math.nan], [0], [1]))


def test_a_share_is_no_other_number():
    with pytest.raises(ValueError, match="a share lies between 0 and 1, got 2"):
        share_interval([2.0, 2.0], [0, 1], [2, 3])


def test_few_persons_are_said():
    assert approximate({"source_persons": 40, "target_persons": 8}) == "approximate: 8 persons, fewer than 30"
    assert approximate({"gallery_persons": 29, "groups": "videos"}) == "approximate: 29 videos, fewer than 30"
    assert approximate({"source_persons": 1, "target_persons": 50}) == "approximate: 1 person, fewer than 30"
    assert approximate({"source_persons": 30, "target_persons": 30, "gallery_persons": 4}) == ""
    assert approximate({}) == approximate({"gallery_persons": None}) == ""
