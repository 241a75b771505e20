"""Detection: which face is the main one, what a bad pack says, and real faces with a real detector."""

import pickle

import numpy as np
import pytest

from simswap.data.reading import read_image
from simswap.errors import InputError
from simswap.faces.detection import Face, InsightFaceDetector, pick_main_face


def _face(x1, y1, x2, y2):
    return Face(np.array([x1, y1, x2, y2], float), np.zeros((5, 2)), 0.9)


def test_main_face_is_large_and_central():
    central, corner, tiny = _face(40, 40, 60, 60), _face(0, 0, 25, 25), _face(49, 49, 51, 51)
    # values: 400 - 0; 625 - 2 * 2 * 37.5^2 = -5000; 4
    assert pick_main_face([corner, tiny, central], (100, 100, 3)) is central
    large = _face(0, 0, 90, 90)  # 8100 - 2 * 2 * 5^2
    assert pick_main_face([central, large], (100, 100, 3)) is large
    with pytest.raises(ValueError, match="no face"):
        pick_main_face([], (100, 100, 3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("./nonesuch", 256), "no such folder"),
        ((".", 250), "multiple of 32"),
        ((".", 256, 1.5), "threshold"),
        (("./tests/faces", 256), "holds no ONNX file"),
    ],
)
def test_bad_settings_give_one_line(arguments, message, monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)
    with pytest.raises(InputError, match=message) as error:
        InsightFaceDetector(*arguments)
    assert "\n" not in str(error.value)


def test_a_broken_network_gives_one_line(tmp_path):
    (tmp_path / "detector.onnx").write_text("no network")
    with pytest.raises(InputError, match=r"is a text file .no network., not an ONNX network") as error:
        InsightFaceDetector(str(tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.real
def test_finds_the_landmarks_of_the_table_and_survives_pickling(shared, capfd):
    detector = InsightFaceDetector(str(shared / "models" / "lite"))
    again = pickle.loads(pickle.dumps(detector))
    image = read_image(shared / "lfw" / "images" / "Aaron_Peirsol" / "Aaron_Peirsol_0001.jpg")
    for one in (detector, again):
        faces = one.detect(image)
        expected = [[64.17, 68.33], [88.31, 68.33], [76.65, 84.37], [65.27, 91.27], [87.78, 91.16]]
        np.testing.assert_allclose(pick_main_face(faces, image.shape).landmarks, expected, atol=0.05)
    assert detector.detect(np.zeros((64, 64, 3), np.uint8)) == []
    assert detector.detect(np.zeros((1, 2000, 3), np.uint8)) == []
    assert detector.detect(np.zeros((1, 1, 3), np.uint8)) == []
    with pytest.raises(ValueError, match="uint8"):
        detector.detect(np.zeros((64, 64), np.uint8))
    assert capfd.readouterr() == ("", "")
