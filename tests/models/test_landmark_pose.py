"""68 landmarks in 3-D: insightface's own angles and crop, the network beside onnxruntime, and what is refused."""

import hashlib
import pickle

import numpy as np
import onnxruntime
import pytest
import torch
from insightface.utils import face_align, transform
from landmark_network import write_network

from simswap.errors import InputError
from simswap.faces.alignment import template_points
from simswap.faces.face_box import ARCFACE_BOX, FaceBoxView, box_matrix
from simswap.models.landmark_pose import (
    AffinePose,
    Landmarks68Pose,
    mean_shape_file,
    read_mean_shape,
    scales_itself,
)
from simswap.models.pose import rotation


def insightface_angles(points, mean):
    matrix = transform.estimate_affine_matrix_3d23d(mean, points)
    pitch, yaw, roll = transform.matrix2angle(transform.P2sRt(matrix)[1])
    return yaw, pitch, roll


def test_the_angles_are_insightfaces_own():
    mean = read_mean_shape(mean_shape_file())
    draw = np.random.default_rng(0)
    turned = np.stack([mean @ rotation(*draw.uniform(-80, 80, 3)).T * 60 for _ in range(100)])
    points = np.concatenate([turned + draw.normal(0, 3, turned.shape), draw.normal(size=(100, 68, 3)) * 50])
    expected = [insightface_angles(p, mean) for p in points]
    assert np.abs(AffinePose(mean)(torch.from_numpy(points)).numpy() - expected).max() < 1e-4


@pytest.mark.parametrize("pose", [(0, 0, 0), (30, 0, 0), (0, 20, 0), (0, 0, 15), (-60, 25, -40), (50, -30, 10)])
def test_a_turned_mean_shape_has_the_projects_signs(pose):
    # Two views of one fact: `rotation` turns to the image's right, up and clockwise (tested in test_pose).
    mean = read_mean_shape(mean_shape_file())
    points = torch.from_numpy(mean @ rotation(*pose).T * 70 + 96)
    assert AffinePose(mean)(points[None])[0].tolist() == pytest.approx(pose, abs=1e-6)


def test_the_mean_shape_looks_at_the_camera_upright():
    mean = read_mean_shape(mean_shape_file())
    nose, chin, left_eye, right_eye = mean[30], mean[8], mean[36:42].mean(0), mean[42:48].mean(0)
    assert nose[2] > left_eye[2]  # z towards the camera
    assert left_eye[0] < right_eye[0]  # x to the image's right
    assert chin[1] > left_eye[1]  # y down


@pytest.mark.parametrize("prefix", ["", "normalizes itself"])
def test_landmarks_are_the_files_in_onnxruntime(tmp_path, prefix):
    file = write_network(tmp_path / "random.onnx", prefix=prefix)
    assert scales_itself(file) == bool(prefix)
    estimator = Landmarks68Pose(str(tmp_path))
    images, view = torch.rand(3, 3, 112, 112, generator=torch.Generator().manual_seed(1)), torch.zeros(3, dtype=int)
    square = FaceBoxView("arcface", 112, 192, 1.5)(images, view).numpy() * 255
    given = square if prefix else (square - 127.5) / 128
    raw = onnxruntime.InferenceSession(file).run(None, {"x": given.astype(np.float32)})[0]
    expected = raw.reshape(3, -1, 3)[:, -68:] * 96 + np.array([96, 96, 0])
    points = estimator.landmarks(images, "arcface", view)
    np.testing.assert_allclose(points.numpy(), expected, atol=1e-3 * 96)
    poses = estimator(images, "arcface", view)
    mean = read_mean_shape(mean_shape_file())
    np.testing.assert_allclose(poses.numpy(), [insightface_angles(p, mean) for p in expected], atol=0.05)
    assert poses.dtype == torch.float32
    assert estimator.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert estimator.noise_floor_deg is None


def test_the_square_is_the_one_that_insightface_cuts():
    draw = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    expected, matrix = face_align.transform(draw, ARCFACE_BOX[:2], 192, 192 / (max(ARCFACE_BOX[2:]) * 1.5), 0)
    np.testing.assert_allclose(box_matrix("arcface", 0, 112, 192, 1.5), matrix, atol=1e-9)
    image = torch.from_numpy(draw).permute(2, 0, 1)[None] / 255
    seen = FaceBoxView("arcface", 112, 192, 1.5)(image, torch.zeros(1, dtype=int))[0].permute(1, 2, 0) * 255
    # OpenCV's bilinear weights have 5 bits.
    assert np.abs(seen.numpy() - expected).max() < 8


@pytest.mark.parametrize(("template", "size", "view"), [("ffhq", 512, 0), ("simswap", 224, 2), ("arcface", 64, 0)])
def test_every_template_is_seen_at_the_same_place(template, size, view):
    # Upright templates: the eyes' middle comes to the same place, within the templates' own difference.
    def eyes(name, crop, which):
        matrix = box_matrix(name, which, crop, 192, 1.5)
        return template_points(name, crop, which)[:2].mean(0) @ matrix[:, :2].T + matrix[:, 2]

    np.testing.assert_allclose(eyes(template, size, view), eyes("arcface", 112, 0), atol=4)
    images = torch.rand(2, 3, size, size)
    assert FaceBoxView(template, size, 192, 1.5)(images, torch.full((2,), view)).shape == (2, 3, 192, 192)


class Danger:
    def __reduce__(self):
        return print, ("unpickled",)


@pytest.mark.parametrize(
    ("content", "words"),
    [(pickle.dumps(Danger()), "builtins.print, which is not an array"),
     (pickle.dumps(np.zeros((68, 2))), "no array of 68 3-D points"),
     (pickle.dumps([1]), "no array of 68 3-D points"), (b"", "cannot be read"), (b"junk", "cannot be read")],
)  # fmt: skip
def test_no_other_pickle_is_read(tmp_path, capsys, content, words):
    (tmp_path / "shape.pkl").write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_mean_shape(tmp_path / "shape.pkl")
    assert capsys.readouterr().out == ""


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        Landmarks68Pose(str(tmp_path / "none"))
    write_network(tmp_path / "2d106det.onnx", outputs=212)
    with pytest.raises(InputError, match=r"no network with 3309 outputs \(1k3d68.onnx\): 2d106det.onnx"):
        Landmarks68Pose(str(tmp_path))
    with pytest.raises(InputError, match=r"returns \[2, 212\] for two images"):
        Landmarks68Pose(str(tmp_path / "2d106det.onnx"))
    write_network(tmp_path / "a.onnx")
    write_network(tmp_path / "b.onnx")
    with pytest.raises(InputError, match=r"several landmark networks: a\.onnx, b\.onnx"):
        Landmarks68Pose(str(tmp_path))
