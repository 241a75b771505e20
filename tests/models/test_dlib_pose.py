"""Pose from dlib's 68 landmarks: known turns come back, boxes, moved faces, and real faces beside five-point PnP."""

import sys

import cv2
import numpy as np
import pytest
import torch
from real_faces import aligned_faces

from simswap import pixels
from simswap.errors import InputError
from simswap.faces.alignment import align, warp
from simswap.faces.mean_shape import STEADY, mean_head
from simswap.models.dlib_pose import Dlib68Pose, box_of_points, template_box
from simswap.models.pose import PnPPose, project_head, solve_pose
from simswap.models.recorded import pose_of
from simswap.rendered.rendering import Attributes, render, render_person

VIEW = torch.zeros(1, dtype=torch.int64)


@pytest.fixture(scope="module")
def estimator():
    return Dlib68Pose()


def _crop(**attributes):
    photo = render(render_person(1), Attributes(**attributes), 160)
    return warp(photo.image, align(photo.landmarks, "arcface", 112).matrix, 112)


def _images(*crops):
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize("pose", [(0, 0, 0), (20, 0, 0), (0, 15, 0), (0, 0, 10), (-45, 25, -20), (45, -25, 20)])
@pytest.mark.parametrize("chosen", [slice(0, 68), STEADY])
def test_known_turns_of_the_mean_head_are_recovered(pose, chosen):
    points = project_head(*pose, image_size=112, head=mean_head(), between_eyes=1.0)
    assert np.linalg.norm(points[36:42].mean(0) - points[42:48].mean(0)) < 36  # px, as in an arcface crop
    assert solve_pose(points[chosen], 112, mean_head()[chosen]) == pytest.approx(pose, abs=0.1)


def test_another_number_of_points_is_refused():
    with pytest.raises(ValueError, match=r"21 landmarks \[21, 2\] needed, got \[68, 2\]"):
        solve_pose(np.zeros((68, 2)), 112, mean_head()[STEADY])


def test_the_mean_head_is_ibugs_in_eye_distances():
    head = mean_head()
    assert np.linalg.norm(head[36:42].mean(0) - head[42:48].mean(0)) == pytest.approx(1)
    np.testing.assert_allclose(head[STEADY].mean(0), 0, atol=1e-12)
    assert head[8, 1] == head[:, 1].max()  # the chin; y down
    assert (np.diff(head[:17, 0]) > 0).all()  # the jaw from left to right
    assert head[30, 2] == head[:, 2].max()  # the nose tip is closest to the camera
    assert head[48, 0] < head[54, 0]
    assert head[17:27, 1].max() < head[36:48, 1].mean() < head[31:36, 1].min() < head[48:68, 1].min()


def test_the_first_box_follows_the_template():
    np.testing.assert_allclose(template_box("arcface", 0, 112), [18, 28, 94, 104])  # 56 ± 38, 66 ± 38
    np.testing.assert_allclose(template_box("arcface", 0, 224), [36, 56, 188, 208])
    box = template_box("ffhq", 0, 512)
    assert 0.3 * 512 < box[2] - box[0] < 0.6 * 512  # a crop with more around the face


def test_the_second_box_lies_around_the_points():
    points = np.tile([[-1.0, 0], [1, 0], [0, -1], [0, 1]], (17, 1)) * 10 + 50  # root mean square distance 10
    np.testing.assert_allclose(box_of_points(points), [35.8, 35.0, 64.2, 63.4])  # 50 ± 14.2, y shifted by -0.8


def test_turned_faces_have_the_projects_signs(estimator):
    crops = [_crop(yaw=yaw) for yaw in (-25.0, 0.0, 25.0)] + [_crop(pitch=-15.0), _crop(pitch=15.0)]
    poses, points = estimator.pose_and_points(_images(*crops), "arcface", VIEW.expand(5))
    assert (poses.shape, poses.dtype, points.shape) == ((5, 3), torch.float32, (5, 68, 2))
    assert poses[0, 0] < -12 < 12 < poses[2, 0]
    assert abs(poses[1, 0]) < 8
    assert poses[4, 1] > poses[3, 1] + 3
    assert poses[:, 2].abs().max() < 8


def test_a_face_that_has_moved_in_its_crop_is_followed(estimator):
    crop = _crop()
    for matrix in (np.array([[1.0, 0, 10], [0, 1, 6]]), cv2.getRotationMatrix2D((55.5, 65), -15, 1.0)):
        moved = cv2.warpAffine(crop, matrix, (112, 112), borderMode=cv2.BORDER_REPLICATE)
        poses, points = estimator.pose_and_points(_images(crop, moved), "arcface", VIEW.expand(2))
        expected = points[0].numpy() @ matrix[:, :2].T + matrix[:, 2]
        assert np.linalg.norm(points[1].numpy() - expected, axis=1).mean() < 2
        turned = np.rad2deg(np.arctan2(matrix[1, 0], matrix[0, 0]))
        assert float(poses[1, 2] - poses[0, 2]) == pytest.approx(turned, abs=3)


def test_points_that_are_no_face_have_no_pose(estimator, monkeypatch):
    monkeypatch.setattr(estimator.predictor, "points", lambda image, box: np.full((68, 2), 30.0))
    poses, points = estimator.pose_and_points(_images(_crop()), "arcface", VIEW)
    assert poses.isnan().all()
    assert points.isnan().all()


def test_no_images_give_no_poses(estimator):
    poses, points = estimator.pose_and_points(torch.zeros(0, 3, 112, 112), "arcface", VIEW[:0])
    assert (poses.shape, points.shape) == ((0, 3), (0, 68, 2))


def test_a_checkpoint_names_it_and_a_bad_file_gives_one_line(estimator, tmp_path, monkeypatch):
    (tmp_path / "bad.dat").write_bytes(b"\x01\x01" * 1000)
    settings = {"_target_": "simswap.models.dlib_pose.Dlib68Pose", "path": str(tmp_path / "bad.dat")}
    with pytest.raises(InputError, match=r"bad.dat is no file like dlib's shape_predictor_68") as error:
        pose_of({"pose": settings})
    assert "\n" not in str(error.value)
    assert len(estimator.sha256) == 64
    assert estimator.settings["kind"] == "dlib68"
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(InputError, match=r"^pose=dlib68: needs dlib"):
        pose_of({"pose": {**settings, "path": None}})


@pytest.mark.real
def test_real_faces_agree_with_five_points_and_with_their_mirror_images(estimator, shared):
    images = pixels.from_uint8(aligned_faces(shared, 40, 1).flatten(0, 1), "unit")
    view = VIEW.expand(len(images))
    poses = estimator(images, "arcface", view)
    assert not poses.isnan().any()
    mirrored = estimator(images.flip(3), "arcface", view) * torch.tensor([-1.0, 1.0, -1.0])
    assert (mirrored - poses).norm(dim=1).mean() < 3  # 1.7 degrees
    five = PnPPose(str(shared / "models" / "lite"))(images, "arcface", view)
    assert np.corrcoef(poses[:, 0].numpy(), five[:, 0].numpy())[0, 1] > 0.85
    assert np.corrcoef(poses[:, 1].numpy(), five[:, 1].numpy())[0, 1] > 0.5
