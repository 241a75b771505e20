"""Five points that can be a face, those that cannot, and what a table of wrong ones may have mixed up."""

import csv

import numpy as np
import pytest

from simswap.faces.alignment import TEMPLATES, template_points
from simswap.faces.plausible import MOST_ERROR, guess_mistake, landmark_fault, template_error
from simswap.rendered.dataset import draw_photo
from simswap.rendered.rendering import landmarks_of

SHAPE = (120, 140, 3)
FACE = template_points("arcface", 112) * 0.6 + [30, 20]


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_view_of_every_template_is_a_face(template):
    for view in range(len(TEMPLATES[template])):
        points = template_points(template, 100, view)
        assert landmark_fault(points, (100, 100)) is None
        assert template_error(points) == pytest.approx(0, abs=1e-9)


def test_error_is_in_pixels_at_112_and_ignores_place_turn_and_size():
    moved = template_points("arcface", 112).copy()
    moved[2] += [0, 5]  # the nose 5 px lower: shared among all five by the fit
    turn = np.array([[0, 1], [-1, 0]]) * 3.0
    # Each of the other four lies 1 px off the mean, the nose 4 px, before scale and turn are fitted.
    assert 1 < template_error(moved) < (4 * 1 + 4) / 5
    assert template_error(moved @ turn + 500) == pytest.approx(template_error(moved))


def test_rendered_faces_at_any_yaw_pass():
    from dataclasses import replace

    for seed in range(20):
        identity, attributes = draw_photo(3, seed, 0)
        for yaw in (-90, -75, -45, 0, 45, 75, 90):
            points = landmarks_of(identity, replace(attributes, yaw=yaw, pitch=20), 112)
            assert landmark_fault(points, (112, 112)) is None, (seed, yaw)


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (np.where(np.arange(10).reshape(5, 2) == 3, np.nan, FACE), "not a number"),
        (np.where(np.arange(10).reshape(5, 2) == 3, np.inf, FACE), "not a number"),
        (np.full((5, 2), 20.0), "coincide"),
        (FACE / [140, 120], "pixels of the photo"),
        (FACE * 3, "outside the image of 140 x 120"),
        (FACE - 200, "outside the image"),
        (FACE + 1e6, "outside the image"),
        (FACE[:, ::-1], "exchanged sides"),
        (FACE[[1, 0, 2, 4, 3]], "eyes are on exchanged sides"),
        (FACE[[0, 1, 2, 4, 3]], "mouth corners are on exchanged sides"),
        (FACE[[3, 4, 2, 0, 1]], "exchanged sides"),
        (FACE * [1, -1] + [0, 119], "exchanged sides"),
        (FACE[[0, 1, 4, 2, 3]], "mouth corners are on exchanged sides"),
        (np.array([[20, 20], [60, 20], [100, 20], [30, 21], [50, 21]]), f"limit {MOST_ERROR}"),
    ],
)
def test_what_cannot_be_a_face_is_named(points, reason):
    assert reason in (landmark_fault(points, SHAPE) or "")


def test_a_face_cut_by_the_border_passes():
    assert landmark_fault(FACE - [FACE[0, 0] + 3, 0], SHAPE) is None  # the left eye 3 px beyond the left border
    assert landmark_fault(FACE, SHAPE) is None


@pytest.mark.parametrize(
    ("mix", "guess"),
    [
        (lambda p: p / [140, 120], "0..1"),
        (lambda p: p[:, ::-1], "x and y"),
        (lambda p: p[[1, 0, 2, 4, 3]], "left and right"),
        (lambda p: p[[1, 0, 2, 3, 4]], "the eyes are exchanged"),
        (lambda p: p * 4, "another size"),
        (lambda p: p * [1, -1] + [0, 119], "from the bottom"),
        (lambda p: p[[3, 4, 2, 0, 1]], "mouth comes before the eyes"),
        (lambda p: p.T.reshape(5, 2), "all x come before all y"),
        (lambda p: np.full((5, 2), np.nan), None),
        (lambda p: np.zeros((5, 2)), None),
    ],
)
def test_the_mistake_of_a_table_is_guessed(mix, guess):
    rows = [(mix(FACE + shift), SHAPE) for shift in range(-5, 6)]
    found = guess_mistake(rows)
    assert found is None if guess is None else guess in (found or "")


@pytest.mark.real
def test_real_faces_pass_and_their_mixed_up_points_do_not(shared):
    for folder, size in (("lfw", 150), ("lfw250", 250)):
        with open(shared / folder / "loose_landmark.csv", newline="") as stream:
            rows = list(csv.reader(stream))[1:]
        points = np.array([[float(value) for value in row[1:]] for row in rows]).reshape(-1, 5, 2)
        assert not [row[0] for row, p in zip(rows, points, strict=True) if landmark_fault(p, (size, size))]
        mixes = (lambda p: p[:, ::-1], lambda p: p[[1, 0, 2, 4, 3]], lambda p: p / 250, lambda p: p * 3)
        for mix in mixes:
            passed = [p for p in points if landmark_fault(mix(p), (size, size)) is None]
            assert len(passed) < 0.002 * len(points)  # some profiles have no left and right eye
