"""The bootstrap over persons against cases whose distribution is known."""

import math

import numpy as np
import pytest

from simswap.metrics import bootstrap
from simswap.metrics.bootstrap import bootstrap_interval


def test_two_persons_give_three_possible_means():
    # Drawn (a, a), (a, b) or (b, a), (b, b) with 1/4, 1/2, 1/4; a has three samples of 0, b one of 4, so that the
    # mean over samples is 0, 4/4 = 1 or 4: the 2.5 and 97.5 % points are 0 and 4, the middle half lies on 1.
    values, groups = [0, 0, 0, 4], ["a", "a", "a", "b"]
    assert bootstrap_interval(values, groups, seed=0) == (1.0, 0.0, 4.0)
    assert bootstrap_interval(values, groups, seed=0, level=0.4) == (1.0, 1.0, 1.0)


def test_samples_of_one_person_add_no_certainty():
    rng = np.random.default_rng(0)
    per_person = rng.normal(size=200)
    value, low, high = bootstrap_interval(per_person, np.arange(200), seed=1)
    again = bootstrap_interval(np.repeat(per_person, 10), np.repeat(np.arange(200), 10), seed=1)
    assert again == pytest.approx((value, low, high))


def test_width_is_the_normal_one_for_independent_samples():
    values = np.random.default_rng(3).normal(size=2000)
    value, low, high = bootstrap_interval(values, np.arange(2000), seed=0, resamples=4000)
    half = 1.96 * values.std() / math.sqrt(2000)
    assert value == pytest.approx(values.mean())
    assert low == pytest.approx(value - half, abs=0.1 * half)
    assert high == pytest.approx(value + half, abs=0.1 * half)


def test_seed_decides():
    values = np.random.default_rng(3).normal(size=50)
    first = bootstrap_interval(values, np.arange(50), seed=5)
    assert bootstrap_interval(values, np.arange(50), seed=5) == first
    assert bootstrap_interval(values, np.arange(50), seed=6) != first


def test_many_persons_are_drawn_in_parts(monkeypatch):
    values = np.random.default_rng(3).normal(size=60)
    whole = bootstrap_interval(values, np.arange(60), seed=5, resamples=100)
    monkeypatch.setattr(bootstrap, "DRAWN_AT_ONCE", 60 * 7)
    assert bootstrap_interval(values, np.arange(60), seed=5, resamples=100) == pytest.approx(whole)


def test_nan_is_left_out_and_too_few_persons_have_no_interval():
    value, low, high = bootstrap_interval([1.0, 3.0, math.nan], [0, 0, 1], seed=0)
    assert value == 2
    assert math.isnan(low)
    assert math.isnan(high)
    assert all(math.isnan(figure) for figure in bootstrap_interval([math.nan], [0], seed=0))


@pytest.mark.parametrize(
    "arguments",
    [{"values": [1.0], "groups": [0, 1]}, {"values": [[1.0]], "groups": [[0]]},
     {"values": [1.0], "groups": [0], "level": 1.0}, {"values": [1.0], "groups": [0], "resamples": 0}])
def test_bad_arguments_raise(arguments):
    with pytest.raises(ValueError, match=r"must both be|at least one resample"):
        bootstrap_interval(**arguments, seed=0)
