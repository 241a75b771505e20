"""dlib's 68 landmarks: order, five points by hand, small and large photos, and files that are not dlib's."""

import sys

import numpy as np
import pytest
from rendered_photos import frontal, on_a_canvas

from simswap.errors import InputError
from simswap.faces.dlib_files import CNN_DETECTOR, LANDMARKS_68, dlib_file
from simswap.faces.dlib_landmarks import LandmarkPredictor, checked_file, five_points


@pytest.fixture(scope="module")
def predictor():
    return LandmarkPredictor(None, "pose=dlib68")


def _box(landmarks):
    """Roughly dlib's box around a face: 2.1 eye distances wide, from the brows to the chin."""
    side = 2.1 * np.linalg.norm(landmarks[1] - landmarks[0])
    center = landmarks[2]
    return np.concatenate([center - side / 2, center + side / 2])


def test_five_points_are_the_eyes_means_the_tip_and_the_corners():
    points = np.stack([np.arange(68.0), 100 - np.arange(68.0)], axis=1)
    expected = [[38.5, 61.5], [44.5, 55.5], [30, 70], [48, 52], [54, 46]]  # (36 + ... + 41) / 6 = 38.5
    np.testing.assert_array_equal(five_points(points), expected)
    with pytest.raises(ValueError, match=r"68 landmarks \[68, 2\] needed, got \[5, 2\]"):
        five_points(np.zeros((5, 2)))


def test_the_points_have_ibugs_order(predictor):
    face = frontal()
    points = predictor.points(face.image, _box(face.landmarks))
    assert (np.diff(points[:17, 0]) > 0).all()  # the jaw, from the image's left to its right
    assert points[8, 1] == points[:, 1].max()  # the chin
    assert (np.diff(points[17:27, 0]) > 0).all()
    assert points[17:27, 1].max() < points[36:48, 1].min()  # brows above eyes
    assert (np.diff(points[27:31, 1]) > 0).all()  # down the nose
    assert points[48, 0] < points[51, 0] < points[54, 0]
    assert points[51, 1] < points[57, 1]  # upper lip, lower lip
    eyes = np.linalg.norm(face.landmarks[1] - face.landmarks[0])
    assert np.linalg.norm(five_points(points) - face.landmarks, axis=1).max() < 0.12 * eyes


def test_points_follow_place_and_scale_of_the_face(predictor):
    small, large = frontal(160), frontal(640)

    def placed(left, top):
        photo = on_a_canvas(small, 500, left, top)
        shift = np.array([left, top])
        return predictor.points(photo, _box(small.landmarks + shift)) - shift

    points = placed(100, 90)
    assert np.abs(placed(231, 173) - points).mean() < 0.2
    photo = on_a_canvas(large, 2000, 400, 360)
    bigger = predictor.points(photo, _box(large.landmarks + np.array([400, 360]))) - [400, 360]
    assert np.abs((bigger + 0.5) / 4 - 0.5 - points).mean() < 1
    assert (points % 1).any()  # finer than dlib's whole pixels


def test_a_box_beyond_the_image_is_refused(predictor):
    image = np.zeros((50, 60, 3), np.uint8)
    with pytest.raises(ValueError, match="has no area in an image of 60 x 50"):
        predictor.points(image, [200, 200, 220, 220])
    with pytest.raises(ValueError, match="has no area"):
        predictor.points(image, [20, 20, 20, 40])
    assert predictor.points(image, [-10, -10, 30, 30]).shape == (68, 2)


def _cut(file, tmp_path):
    bad = tmp_path / "bad.dat"
    with file.open("rb") as stream:
        bad.write_bytes(stream.read(300_000))
    return bad


def _other_model(file, tmp_path):
    return dlib_file(CNN_DETECTOR, "detector=dlib")


def _five_point_predictor(file, tmp_path):
    return file.with_name("shape_predictor_5_face_landmarks.dat")


def _words(file, tmp_path):
    (tmp_path / "bad.dat").write_text("<html><title>Not found</title></html>")
    return tmp_path / "bad.dat"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_cut, r"bad.dat is no file like dlib's shape_predictor_68\S+ \(Error deserializing"),
        (_other_model, r"\(Error deserializing"),
        (_five_point_predictor, r"\(it has 5 points, not 68\)"),
        (_words, r"is a web page \(Not found\), not dlib's shape_predictor_68"),
    ],
)
def test_another_file_is_refused_in_one_line(make, message, tmp_path):
    bad = make(dlib_file(LANDMARKS_68, "pose=dlib68"), tmp_path)
    with pytest.raises(InputError, match=message) as error:
        checked_file(LANDMARKS_68, "pose=dlib68", str(bad))
    assert "\n" not in str(error.value)


def test_a_file_that_ends_the_process_ends_another_one(tmp_path, monkeypatch):
    """The trial runs elsewhere: a dlib that kills its process leaves this one alive, with one line."""
    (tmp_path / "dlib.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    (tmp_path / "own.dat").write_bytes(b"\x01\x01\xff\x00\x80" * 20)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(InputError, match=r"dlib crashes on it \(exit status -11\)"):
        checked_file(LANDMARKS_68, "pose=dlib68", str(tmp_path / "own.dat"))


def test_without_dlib_the_line_names_the_packages(monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(InputError, match=r"^pose=dlib68: needs dlib.*pip install dlib-bin"):
        LandmarkPredictor(None, "pose=dlib68")
