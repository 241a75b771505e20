"""Head pose from five landmarks: known turns come back, the noise floor, and real faces."""

import cv2
import numpy as np
import pytest
import torch
from real_faces import aligned_faces

from simswap import pixels
from simswap.errors import InputError
from simswap.faces.alignment import template_points
from simswap.models.pose import (
    PnPPose,
    PoseEstimator,
    angles,
    noise_floor,
    project_head,
    rotation,
    solve_pose,
)


def test_the_angles_have_the_projects_signs():
    face = np.array([0.0, 0.0, 1.0])  # where a frontal face looks: at the camera; x right, y down
    np.testing.assert_allclose(rotation(90, 0, 0) @ face, [1, 0, 0], atol=1e-12)  # yaw > 0: the image's right
    np.testing.assert_allclose(rotation(0, 90, 0) @ face, [0, -1, 0], atol=1e-12)  # pitch > 0: up
    np.testing.assert_allclose(rotation(0, 0, 90) @ [0, -1, 0], [1, 0, 0], atol=1e-12)  # roll > 0: top goes right


def test_angles_undo_the_rotation():
    for pose in ((30, 20, 10), (-60, -25, 40), (0, 80, -100), (89, 1, 2)):
        np.testing.assert_allclose(angles(rotation(*pose)), pose, atol=1e-9)


@pytest.mark.parametrize(
    "pose", [(0, 0, 0), (20, 0, 0), (0, 15, 0), (0, 0, 10), (-45, 25, -20), (45, -25, 20), (70, 5, 0), (-10, -35, 45)]
)
@pytest.mark.parametrize("size", [112, 512])
def test_known_turns_are_recovered(pose, size):
    assert solve_pose(project_head(*pose, image_size=size), size) == pytest.approx(pose, abs=0.1)


def test_random_turns_are_recovered_anywhere_in_the_image():
    rng = np.random.default_rng(0)
    poses = rng.uniform([-60, -35, -30], [60, 35, 30], (200, 3))
    for pose in poses:
        assert solve_pose(project_head(*pose, image_size=224), 224) == pytest.approx(tuple(pose), abs=0.1)


def test_the_solve_does_not_depend_on_the_image_size():
    points = project_head(25, -10, 5, image_size=112) + np.array([[1, 0], [0, 1], [-1, 0], [0, 0], [0, -1]])
    larger = (points + 0.5) * 4 - 0.5  # the same picture with four times the pixels
    assert solve_pose(larger, 448) == pytest.approx(solve_pose(points, 112), abs=1e-3)


def test_mirrored_points_give_mirrored_angles():
    yaw, pitch, roll = solve_pose(points := template_points("simswap", 112, 1), 112)
    mirrored = ((111 - points[:, 0])[[1, 0, 2, 4, 3]], points[[1, 0, 2, 4, 3], 1])
    assert solve_pose(np.stack(mirrored, axis=1), 112) == pytest.approx((-yaw, pitch, -roll), abs=1e-3)


def test_the_views_of_the_simswap_template_turn_from_left_to_right():
    yaws = [solve_pose(template_points("simswap", 112, view), 112)[0] for view in range(5)]
    assert yaws == sorted(yaws)
    assert yaws[0] < -60
    assert abs(yaws[2]) < 1
    assert yaws[4] > 60


def test_frontal_template_is_frontal():
    assert solve_pose(template_points("arcface", 112), 112) == pytest.approx((0, 5, 0), abs=2)


def test_points_that_no_head_fits_have_no_pose():
    assert np.isnan(solve_pose(np.full((5, 2), np.nan), 112)).all()
    with pytest.raises(ValueError, match=r"five landmarks \[5, 2\] needed, got \[4, 2\]"):
        solve_pose(np.zeros((4, 2)), 112)


def test_points_in_one_place_have_no_pose():
    assert np.isnan(solve_pose(np.full((5, 2), 56.0), 112)).all()


def test_the_noise_floor_grows_with_the_noise():
    assert noise_floor(noise=0.0, heads=50) == pytest.approx(0, abs=0.1)
    assert noise_floor(noise=2.0, heads=300) == pytest.approx(2 * noise_floor(noise=1.0, heads=300), rel=0.1)
    assert 3.0 < noise_floor() < 5.0
    with pytest.raises(InputError, match="noise -1 px"):
        noise_floor(noise=-1)


def test_an_estimator_stays_frozen():
    class Small(PoseEstimator):
        def __init__(self) -> None:
            super().__init__("small", "0" * 64, None)
            self.layer = torch.nn.Linear(2, 3)
            self.freeze()

    estimator = Small()
    assert not estimator.train().layer.training
    assert not any(p.requires_grad for p in estimator.parameters())


def test_a_missing_pack_is_named(tmp_path):
    with pytest.raises(InputError, match="none"):
        PnPPose(str(tmp_path / "none"))


@pytest.mark.real
def test_tight_crops_of_real_faces_have_a_pose(shared):
    estimator = PnPPose(str(shared / "models" / "lite"))
    images = pixels.from_uint8(aligned_faces(shared, 150, 2).flatten(0, 1), "unit")
    poses = estimator(images, "arcface", torch.zeros(len(images), dtype=torch.int64))
    assert poses.shape == (300, 3)
    assert poses.dtype == torch.float32
    found = ~poses.isnan().any(1)
    assert found.double().mean() >= 0.99
    assert poses[found][:, 2].abs().mean() < 5  # alignment has taken most of the roll away
    mirrored = estimator(images[:40].flip(3), "arcface", torch.zeros(40, dtype=torch.int64))
    signs = torch.tensor([-1.0, 1.0, -1.0])
    assert (mirrored * signs - poses[:40]).norm(dim=1).nanmedian() < 1.5 * estimator.noise_floor_deg


@pytest.mark.real
def test_turning_the_picture_turns_the_roll_alone(shared):
    estimator = PnPPose(str(shared / "models" / "lite"))
    crops = aligned_faces(shared, 20, 2).flatten(0, 1).permute(0, 2, 3, 1).numpy()
    clockwise = cv2.getRotationMatrix2D((55.5, 55.5), -15, 1)
    turned = np.stack([cv2.warpAffine(crop, clockwise, (112, 112), borderMode=cv2.BORDER_REPLICATE) for crop in crops])
    view = torch.zeros(40, dtype=torch.int64)
    before, after = (
        estimator(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255, "arcface", view)
        for images in (crops, turned)
    )
    assert (after - before).nanmedian(dim=0).values.tolist() == pytest.approx([0, 0, 15], abs=1.5)


@pytest.mark.real
def test_a_picture_without_a_face_has_no_pose(shared):
    estimator = PnPPose(str(shared / "models" / "lite"))
    face = pixels.from_uint8(aligned_faces(shared, 1, 2)[0, :1], "unit")
    poses = estimator(torch.cat([torch.zeros(1, 3, 112, 112), face]), "arcface", torch.zeros(2, dtype=torch.int64))
    assert poses.isnan().all(dim=1).tolist() == [True, False]
    assert len(estimator.sha256) == 64
    assert estimator.name == "five-point PnP (scrfd_2.5g_bnkps, 128 px)"
    assert estimator(torch.zeros(0, 3, 112, 112), "arcface", torch.zeros(0, dtype=torch.int64)).shape == (0, 3)
