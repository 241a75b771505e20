"""Landmarks over time: gaps, and smoothing that lags behind nothing."""

import numpy as np
import pytest

from simswap.faces.smoothing import fill_gaps, smooth, steady


def test_gaps_up_to_the_limit_are_filled_and_longer_ones_part():
    frames = np.array([0, 1, 4, 8])
    points = np.array([0.0, 1.0, 7.0, 3.0])[:, None] * np.ones(2)
    first, second = fill_gaps(frames, points, longest=2)
    assert (first[0].tolist(), second[0].tolist()) == ([0, 1, 2, 3, 4], [8])
    np.testing.assert_allclose(first[1][:, 0], [0, 1, 3, 5, 7])
    np.testing.assert_allclose(second[1], [[3, 3]])
    assert [list(part[0]) for part in fill_gaps(frames, points, longest=0)] == [[0, 1], [4], [8]]
    assert len(fill_gaps(frames, points, longest=3)) == 1
    assert fill_gaps(frames[:0], points[:0], 3) == []


def test_constant_acceleration_stays_as_it_is_with_any_times():
    random = np.random.default_rng(0)
    times = np.cumsum(random.uniform(0.02, 0.06, 50))
    points = np.stack([3 + 2 * times - 5 * times**2, 40 * times], 1)[:, None] * np.ones((5, 1))
    np.testing.assert_allclose(smooth(times, points, 0.1), points, atol=1e-9)


def test_nothing_lags_a_step_keeps_its_middle():
    times = np.arange(61) / 30
    made = smooth(times, (times >= 1.0 - 1e-9).astype(float)[:, None], 0.1)[:, 0]
    np.testing.assert_allclose(made[30] + made[29], 1, atol=1e-9)
    np.testing.assert_allclose(made[30:59] + made[29:0:-1], 1, atol=1e-9)


def test_white_noise_falls_by_the_weights_norm():
    # The value at 0 of a local parabola is a weighted mean; the weights' norm is the share of the noise that is left.
    times, width = np.arange(2001) / 25, 0.12
    ahead = np.arange(-9, 10) / 25 / width
    gauss = np.exp(-0.5 * ahead**2)
    moment = [(gauss * ahead**power).sum() for power in range(5)]
    weights = gauss * (moment[4] - moment[2] * ahead**2) / (moment[0] * moment[4] - moment[2] ** 2)
    assert weights.sum() == pytest.approx(1)
    noise = np.random.default_rng(1).normal(0, 1, (2001, 4))
    left = smooth(times, noise, width)[20:-20].std()
    assert left == pytest.approx(np.sqrt((weights**2).sum()), rel=0.05)
    assert left < 0.5


def test_no_width_and_few_points_are_left_alone():
    points = np.random.default_rng(2).normal(size=(7, 5, 2))
    np.testing.assert_array_equal(smooth(np.arange(7) / 25, points, 0), points)
    for count in (1, 2):
        np.testing.assert_array_equal(smooth(np.arange(count) / 25, points[:count], 0.5), points[:count])
    assert np.isfinite(smooth(np.arange(3) / 25, points[:3], 0.001)).all()
    with pytest.raises(ValueError, match="negative"):
        smooth(np.arange(7) / 25, points, -1)


FACE = np.array([[0.0, 0.0], [35.0, 0.0], [17.5, 20.0], [3.0, 40.0], [32.0, 40.0]])


def face_at(path, noise=0.0):
    random = np.random.default_rng(3)
    points = FACE + np.stack([path, 0.3 * path], 1)[:, None]
    return points + random.normal(0, noise, points.shape)


def test_a_still_face_is_smoothed_and_a_jerky_one_is_not_left_behind():
    times = np.arange(60) / 25
    still = face_at(np.zeros(60), noise=0.5)
    noise = [np.abs(made - face_at(np.zeros(60))).mean() for made in (still, steady(times, still, 0.1))]
    assert noise[1] < 0.6 * noise[0]
    # Every third picture is a repetition, and the face moves 12 px from each to the next: it stands still and jumps.
    jerky = face_at(12.0 * np.cumsum(np.arange(60) % 3 > 0) * (np.arange(60) > 20))
    behind = [
        np.linalg.norm(made - jerky, axis=2).max() for made in (smooth(times, jerky, 0.1), steady(times, jerky, 0.1))
    ]
    assert behind[0] > 5
    assert behind[1] < 1.5


def test_steady_without_a_width_changes_nothing():
    points = face_at(np.arange(9.0))
    np.testing.assert_array_equal(steady(np.arange(9) / 25, points, 0), points)
