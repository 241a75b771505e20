"""Faces followed over frames: crossing, lost and found again, cut."""

import numpy as np

from simswap.faces.following import LOST, Follower, Sighting, face_size

POINTS = np.array([[0.0, 0.0], [35.0, 0.0], [17.5, 20.0], [3.0, 40.0], [32.0, 40.0]])
ANN, BOB = np.eye(8, dtype=np.float32)[:2]


def seen(x, y=0.0, who=ANN, side=80.0, noise=0.0):
    own = who + np.float32(noise) * np.eye(8, dtype=np.float32)[5]
    return Sighting(POINTS + np.array([x, y]), side, 1.0, own / np.linalg.norm(own))


def who(track):
    return int(np.argmax(track.identity))


def test_the_size_is_about_the_distance_of_the_eyes():
    assert 33 < face_size(POINTS) < 40


def test_two_faces_that_cross_keep_their_identities():
    follower = Follower()
    for frame in range(30):
        pair = [seen(10 * frame, who=ANN, noise=0.5), seen(290 - 10 * frame, 8, who=BOB, noise=0.5)]
        follower.add(frame, pair[:: 1 if frame % 2 else -1])
    assert [len(track.frames) for track in follower.tracks] == [30, 30]
    assert sorted(map(who, follower.tracks)) == [0, 1]
    for track in follower.tracks:
        steps = np.diff([points[0, 0] for points in track.landmarks])
        assert set(np.sign(steps)) in ({1.0}, {-1.0})


def test_a_fast_head_is_followed_by_its_speed():
    follower = Follower()
    for frame in range(10):
        follower.add(frame, [Sighting(POINTS + np.array([60 * frame**1.2, 0]), 80, 1, np.full(8, np.nan, np.float32))])
    assert len(follower.tracks[0].frames) >= 9


def test_a_lost_face_is_found_again_elsewhere_by_its_identity():
    follower = Follower()
    for frame in range(10):
        follower.add(frame, [seen(0, who=ANN), seen(200, who=BOB)])
    for frame in range(10, 60):
        follower.add(frame, [seen(200, who=BOB)])
    follower.add(60, [seen(200, who=BOB), seen(400, who=ANN, noise=0.8)])
    assert len(follower.tracks) == 2
    assert follower.tracks[0].frames[-1] == 60
    assert LOST < 60 - 10


def test_a_stranger_at_the_place_of_a_face_lost_for_long_is_a_new_one():
    follower = Follower()
    for frame in range(5):
        follower.add(frame, [seen(0, who=ANN)])
    follower.add(5 + LOST + 1, [seen(0, who=BOB)])
    assert [who(track) for track in follower.tracks] == [0, 1]


def test_a_stranger_elsewhere_is_a_new_face():
    follower = Follower()
    follower.add(0, [seen(0, who=ANN)])
    follower.add(1, [seen(300, who=BOB)])
    assert len(follower.tracks) == 2


def test_a_cut_ends_every_track():
    follower = Follower()
    for frame in range(6):
        if frame == 3:
            follower.cut()
        follower.add(frame, [seen(0)])
    assert [(track.shot, track.frames) for track in follower.tracks] == [(0, [0, 1, 2]), (1, [3, 4, 5])]


def test_a_face_without_an_embedding_is_followed_by_its_place():
    follower = Follower()
    nothing = np.full(8, np.nan, np.float32)
    for frame in range(5):
        follower.add(frame, [Sighting(POINTS + np.array([4 * frame, 0]), 80, 1, nothing)])
    assert [len(track.frames) for track in follower.tracks] == [5]
    assert follower.tracks[0].identity is None


def test_one_face_found_twice_counts_once():
    follower = Follower()
    follower.add(0, [seen(0, side=80), seen(3, side=60), seen(200, who=BOB)])
    assert sorted(track.sides[0] for track in follower.tracks) == [80, 80]
