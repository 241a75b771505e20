"""Reconstruction, landmarks, gaze, jitter and FID, worked out by hand."""

import math

import pytest
import torch
from scipy import linalg
from scipy.spatial.transform import Rotation

from simswap.metrics.feature_distance import FeatureDistance
from simswap.metrics.gaze_error import GazeError
from simswap.metrics.landmark_error import LandmarkError
from simswap.metrics.pose_error import PoseError, rotations
from simswap.metrics.reconstruction import SelfReconstruction
from simswap.metrics.temporal_jitter import TemporalJitter

NAN = float("nan")


def test_reconstruction_by_hand():
    picture = torch.zeros(3, 3, 16, 16)
    results = picture.clone()
    results[1] += 0.1  # everywhere: L1 0.1, mean squared error 0.01, 20 dB
    results[2, :, :8] = 0.2  # half: L1 0.1, mean squared error 0.02
    metric = SelfReconstruction()
    metric.update(results, picture)
    assert metric.values("l1").tolist() == pytest.approx([0, 0.1, 0.1], abs=1e-6)
    ceiling = 10 * math.log10(12 * 255**2)
    assert metric.values("psnr").tolist() == pytest.approx([ceiling, 20, -10 * math.log10(0.02)], abs=1e-4)
    # Flat pictures of 0 and 0.1: (2 m n + c) / (m^2 + n^2 + c) with c = 0.01^2, and structure that is the same.
    assert metric.values("ssim")[:2].tolist() == pytest.approx([1, 1e-4 / (0.01 + 1e-4)], abs=1e-4)
    assert metric.compute()["l1"] == pytest.approx(0.2 / 3, abs=1e-6)
    small = SelfReconstruction()
    small.update(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))
    assert small.values("ssim").isnan().all()


def test_landmarks_by_hand():
    target = torch.tensor([[[0.0, 0], [10, 0], [5, 5], [2, 10], [8, 10]]]).repeat(3, 1, 1)
    result = target.clone()
    result[0, 3] += torch.tensor([3.0, 4.0])  # one of five points by 5 px: 1 px on average, a tenth of the eyes' 10
    result[1] += torch.tensor([0.0, 2.0])
    result[2, 0] = NAN
    metric = LandmarkError()
    metric.update(result, target)
    values = metric.values("error")
    assert values[:2].tolist() == pytest.approx([0.1, 0.2])
    assert values[2].isnan()
    assert metric.compute() == pytest.approx(0.15)
    many = torch.randn(1, 68, 2, dtype=torch.float64)
    between = (many[0, 36:42].mean(0) - many[0, 42:48].mean(0)).norm()
    metric.reset()
    metric.update(many + torch.tensor([3.0, 4.0]), many)
    assert metric.compute() == pytest.approx(float(5 / between), rel=1e-6)
    with pytest.raises(ValueError, match="5 or 68"):
        metric.update(torch.zeros(1, 7, 2), torch.zeros(1, 7, 2))


def test_gaze_by_hand():
    metric = GazeError()
    results = torch.tensor([[10.0, 0], [0, -7], [90, 0], [0, 90], [1, 1]])
    truth = torch.tensor([[0.0, 0], [0, 0], [0, 0], [45, 90], [NAN, NAN]])
    metric.update(results, truth)
    # Straight up is straight up, whatever the other angle.
    assert metric.values("gaze")[:4].tolist() == pytest.approx([10, 7, 90, 0], abs=1e-4)
    assert metric.values("gaze")[4].isnan()
    assert metric.compute() == pytest.approx(107 / 4, abs=1e-4)


def test_jitter_by_hand():
    poses = torch.zeros(4, 3, 3)
    poses[0, :, 0] = torch.tensor([1.0, 2, 3])  # steady
    poses[1, :, 0] = torch.tensor([0.0, 3, 0])  # there and back: |0 - 6 + 0|
    poses[2, :, 2] = torch.tensor([179.0, -179, -177])  # steady over the turn
    poses[3, 2] = NAN
    embeddings = torch.zeros(4, 3, 2)
    embeddings[1, 1] = torch.tensor([0.6, 0.8])
    metric = TemporalJitter()
    metric.update(poses, embeddings)
    assert metric.values("pose")[:3].tolist() == pytest.approx([0, 6, 0], abs=1e-5)
    assert metric.values("pose")[3].isnan()
    assert metric.values("identity").tolist() == pytest.approx([0, 2, 0, 0])


def test_geodesic_is_the_turn_between_the_heads():
    poses = torch.tensor([[0.0, 0, 0], [30, -20, 10], [80, 60, -40]], dtype=torch.float64)
    others = torch.tensor([[0.0, 0, 12], [31, -20, 10], [75, 70, -20]], dtype=torch.float64)
    # scipy's intrinsic ZYX with (roll, yaw, pitch) is roll after yaw after pitch.
    one, two = (Rotation.from_euler("ZYX", p[:, [2, 0, 1]].numpy(), degrees=True) for p in (poses, others))
    torch.testing.assert_close(rotations(poses), torch.from_numpy(one.as_matrix()))
    metric = PoseError()
    metric.update(poses, others)
    expected = torch.rad2deg(torch.from_numpy((one.inv() * two).magnitude()))
    torch.testing.assert_close(metric.values("geodesic").double(), expected, atol=1e-4, rtol=1e-5)
    assert metric.values("geodesic")[0] == pytest.approx(12, abs=1e-4)
    assert metric.values("geodesic")[2] < metric.values("pose")[2]


def test_fid_by_its_formula():
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.randn(60, 4, generator=generator), 0.5 + 2 * torch.randn(50, 4, generator=generator)
    metric = FeatureDistance(4)
    for part in fake.split(17):
        metric.update(part, real=False)
    metric.update(real, real=True)
    means = [values.double().mean(0) for values in (real, fake)]
    spreads = [torch.cov(values.double().T).numpy() for values in (real, fake)]
    root = linalg.sqrtm(spreads[0] @ spreads[1]).real
    expected = float((means[0] - means[1]).square().sum()) + (spreads[0] + spreads[1] - 2 * root).trace()
    assert metric.compute() == pytest.approx(expected, rel=1e-4)
    alone = FeatureDistance(4)
    alone.update(real[:1], real=True)
    alone.update(real, real=False)
    assert alone.compute().isnan()
    with pytest.raises(ValueError, match=r"\[B, 4\]"):
        alone.update(torch.zeros(2, 3), real=True)
