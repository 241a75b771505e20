"""Which tracks of a video are swapped, and where their landmarks are."""

import numpy as np
import pytest

from simswap.errors import InputError
from simswap.faces.following import Sighting, Track
from simswap.inference.video.plan import Plan, cast_largest, cast_persons, stretches_of, usable_tracks
from simswap.inference.video.settings import VideoSettings

POINTS = np.array([[0.0, 0.0], [35.0, 0.0], [17.5, 20.0], [3.0, 40.0], [32.0, 40.0]])


def track(frames, embedding=(1, 0, 0), value=1.0, side=80, shot=0, at=lambda frame: 0.0):
    made = Track(shot)
    for frame in frames:
        made.add(frame, Sighting(POINTS + np.array([at(frame), 0]), side, value, np.array(embedding, np.float32)))
    return made


def test_the_largest_are_at_no_time_two():
    main, beside, later = track(range(20)), track(range(5, 40), value=0.5), track(range(20, 30), value=0.6)
    never = track(range(50, 60), value=0)
    assert cast_largest([beside, main, later, never]) == [(main, 0), (later, 0)]


def test_a_person_is_decided_by_the_mean_over_all_frames():
    # On half of its frames, bob's track looks more like ann than ann's own does.
    ann = track(range(20), (0.8, 0, 0.6))
    bob = track(range(10), (0.9, 0.436, 0))
    for frame in range(10, 20):
        bob.add(frame, Sighting(POINTS, 80, 1.0, np.array([0, 1, 0], np.float32)))
    persons = np.array([[1.0, 0, 0]])
    assert cast_persons([bob, ann], persons, 0.3, "a.mp4") == [(ann, 0)]


def test_each_track_gets_the_person_that_it_is_most_like():
    tracks = [track(range(20), (0.9, 0.44, 0)), track(range(20), (0.44, 0.9, 0)), track(range(20), (0, 0, 1))]
    later = track(range(30, 40), (0.7, 0.71, 0))
    found = cast_persons([*tracks, later], np.eye(3)[:2], 0.5, "a.mp4")
    assert found == [(tracks[0], 0), (tracks[1], 1), (later, 1)]


def test_nobody_alike_is_one_line():
    with pytest.raises(InputError, match=r"a.mp4: nobody there is like .*cosine at most 0.44, threshold 0.5"):
        cast_persons([track(range(9), (0.44, 0.9, 0))], np.eye(3)[:1], 0.5, "a.mp4")
    with pytest.raises(InputError, match=r"given person \(threshold 0.5\)"):
        cast_persons([track(range(9), (np.nan, 0, 0))], np.eye(3)[:1], 0.5, "a.mp4")


def test_flickers_and_small_faces_are_left_out():
    good, flicker, small = track(range(9)), track([3, 4]), track(range(9), side=20)
    assert usable_tracks([good, flicker, small], [], 9, 24, "a.mp4") == [good]
    in_short_shot = track([9, 10], shot=1)
    assert usable_tracks([in_short_shot], [9, 11], 20, 24, "a.mp4") == [in_short_shot]
    for tracks, words in (([], "no face found in it"), ([flicker], "found on 3 frames"), ([small], "20 px wide, less")):
        with pytest.raises(InputError, match=words):
            usable_tracks(tracks, [], 9, 24, "a.mp4")


def test_gaps_are_filled_up_to_their_limit_in_seconds():
    times = np.arange(40) / 10
    seen = track([*range(10), *range(13, 20), *range(26, 30)], at=lambda frame: 2.0 * frame)
    made = stretches_of([(seen, 1)], times, VideoSettings(smoothing=0, gap=0.4))
    assert [(one.begin, len(one.landmarks), one.source) for one in made] == [(0, 20, 1), (26, 4, 1)]
    plan = Plan(made, times)
    (points, source), = plan.at(11)  # fmt: skip
    np.testing.assert_allclose(points, POINTS + np.array([22, 0]), atol=1e-4)
    assert source == 1
    assert (plan.at(20), plan.at(25), plan.at(30), plan.swapped) == ([], [], [], 24)


def test_nothing_is_smoothed_across_a_jump():
    times = np.arange(30) / 25
    seen = track(range(30), at=lambda frame: 0.0 if frame < 15 else 150.0)
    made = stretches_of([(seen, 0)], times, VideoSettings(smoothing=0.2))
    assert [one.begin for one in made] == [0, 15]
    assert all(np.ptp(one.landmarks, 0).max() < 1e-4 for one in made)


@pytest.mark.parametrize(("pixels", "most"), [(0.3, 0.55), (1.0, 0.65)])
def test_smoothing_takes_the_tremble_and_leaves_the_motion(pixels, most):
    """The whole face shakes by so many pixels; the limit for jerky motion lets more of the larger shaking through."""
    times, random = np.arange(100) / 25, np.random.default_rng(0)
    shake = random.normal(0, pixels, 100)
    path = 40 * np.sin(times)
    seen = track(range(100), at=lambda frame: path[frame] + shake[frame])
    errors = {}
    for smoothing in (0, 0.1):
        made = stretches_of([(seen, 0)], times, VideoSettings(smoothing=smoothing))
        errors[smoothing] = np.std(made[0].landmarks[:, 0, 0] - path)
    assert errors[0] == pytest.approx(np.std(shake), rel=1e-3)
    assert errors[0.1] < most * errors[0]
