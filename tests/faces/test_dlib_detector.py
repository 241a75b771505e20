"""dlib's detector: faces of small and large photos, its settings, pickling, and real faces beside SCRFD's."""

import pickle
import time

import numpy as np
import pytest
from rendered_photos import frontal, on_a_canvas

from simswap.data.landmarks import LandmarkTable
from simswap.data.reading import read_image
from simswap.errors import InputError
from simswap.faces.alignment import align, apply
from simswap.faces.detection import pick_main_face
from simswap.faces.dlib_detector import DlibDetector


@pytest.fixture(scope="module")
def detector():
    return DlibDetector()


def test_a_face_is_found_where_it_is(detector):
    face = frontal()
    found = detector.detect(face.image)
    assert len(found) == 1
    eyes = np.linalg.norm(face.landmarks[1] - face.landmarks[0])
    assert np.linalg.norm(found[0].landmarks - face.landmarks, axis=1).max() < 0.12 * eyes
    assert 0.5 < found[0].score < 1
    assert (found[0].box[:2] < face.landmarks.min(0)).all()
    assert (found[0].box[2:] > face.landmarks.max(0)).all()


def test_points_of_a_shrunk_photo_are_mapped_back(detector):
    face = frontal(640)
    shift = np.array([500, 400])
    found = detector.detect(on_a_canvas(face, 1280, *shift))  # searched at 640 px
    assert len(found) == 1
    eyes = np.linalg.norm(face.landmarks[1] - face.landmarks[0])
    assert np.linalg.norm(found[0].landmarks - face.landmarks - shift, axis=1).max() < 0.12 * eyes
    assert (found[0].box[:2] < (face.landmarks + shift).min(0)).all()
    assert (found[0].box[2:] > (face.landmarks + shift).max(0)).all()


def test_faces_come_best_first_and_a_higher_threshold_finds_fewer(detector, monkeypatch):
    photo = np.concatenate([frontal().image, frontal(yaw=25.0).image], axis=1)
    found = detector.detect(photo)
    assert len(found) == 2
    assert found[0].score > found[1].score
    between = (found[0].score + found[1].score) / 2
    monkeypatch.setattr(detector, "threshold", between)
    assert [face.score for face in detector.detect(photo)] == [found[0].score]


def test_a_pickle_holds_only_the_settings(detector):
    again = pickle.loads(packed := pickle.dumps(detector))
    assert len(packed) < 500
    image = frontal().image
    np.testing.assert_array_equal(again.detect(image)[0].landmarks, detector.detect(image)[0].landmarks)
    assert (again.name, again.sha256, again.settings) == (detector.name, detector.sha256, detector.settings)
    assert detector.name == "dlib HOG"
    assert detector.settings == {
        "kind": "dlib detector", "network": "hog", "size": 640, "upsample": 1, "threshold": 0.5
    }  # fmt: skip


def test_a_picture_without_a_face_has_none(detector):
    for shape in ((64, 64, 3), (1, 1, 3), (1, 2000, 3), (0, 5, 3)):
        assert detector.detect(np.zeros(shape, np.uint8)) == []
    with pytest.raises(ValueError, match="uint8"):
        detector.detect(np.zeros((64, 64), np.uint8))


def test_a_face_that_the_predictor_cannot_place_is_left_out(detector, monkeypatch):
    image = frontal().image
    for points in (np.full((68, 2), 40.0), np.full((68, 2), np.nan), np.full((68, 2), 900.0) + np.eye(68, 2)):
        monkeypatch.setattr(detector.predictor, "points", lambda image, box, points=points: points)
        assert detector.detect(image) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": "haar"}, "choose hog or cnn"),
        ({"size": 16}, "at least 32"),
        ({"upsample": -1}, "upsample=-1"),
        ({"size": 4096, "upsample": 3}, "at most to 16384 px"),
        ({"threshold": 1.0}, "threshold"),
        ({"network": "cnn", "threshold": 0.4}, r"cnn: 0.5 and 1"),
        ({"cnn_path": "x.dat"}, "only read with detector.network=cnn"),
        ({"path": "nowhere.dat"}, "nowhere.dat: no such file"),
    ],
)
def test_bad_settings_give_one_line(settings, message):
    with pytest.raises(InputError, match=message) as error:
        DlibDetector(**settings)
    assert "\n" not in str(error.value)


def test_the_cnn_finds_the_face_too(detector):
    cnn, face = DlibDetector(network="cnn", upsample=0), frontal()
    found = cnn.detect(face.image)
    assert len(found) == 1
    assert np.linalg.norm(found[0].landmarks - face.landmarks, axis=1).max() < 6
    assert cnn.detect(np.zeros((5, 400, 3), np.uint8)) == []
    assert cnn.name == "dlib CNN"
    assert cnn.sha256 != detector.sha256


@pytest.mark.real
def test_real_faces_have_the_points_of_scrfd(detector, shared):
    table = LandmarkTable([shared / "lfw" / "loose_landmark.csv"])
    errors, missed = [], 0
    for folder in sorted((shared / "lfw" / "images").iterdir())[:60]:
        image, true = read_image(folder / f"{folder.name}_0001.jpg"), table.find(f"{folder.name}/{folder.name}_0001")
        faces = detector.detect(image)
        missed += not faces
        if faces:
            matrix = align(true, "arcface", 112).matrix
            moved = apply(matrix, pick_main_face(faces, image.shape).landmarks) - apply(matrix, true)
            errors.append(np.linalg.norm(moved, axis=1))
    assert missed <= 2
    assert np.median(errors) < 2.0  # 1.6 px over 200 photos
    assert np.quantile(errors, 0.95) < 5.0


@pytest.mark.real
def test_two_megapixels_take_a_fraction_of_a_second(detector, shared):
    image = read_image(shared / "photos" / "couple.jpg")
    assert image.shape[0] * image.shape[1] > 2e6
    begun = time.process_time()
    assert detector.detect(image)
    assert time.process_time() - begun < 1.0
