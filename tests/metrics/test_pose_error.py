"""Pose error against differences worked out on paper."""

import pytest
import torch

from simswap.metrics.pose_error import PoseError

NAN = float("nan")


def test_worked_out_distances_and_axes():
    metric = PoseError()
    metric.update(
        torch.tensor([[13.0, 4.0, 12.0], [0.0, 0.0, 0.0]]), torch.tensor([[10.0, 0.0, 0.0], [0.0, 0.0, -2.0]])
    )
    figures = metric.compute()
    assert metric.values("pose").tolist() == [13, 2]  # sqrt(9 + 16 + 144) and 2
    assert figures["pose_error_deg"] == 7.5
    assert figures["yaw_error_deg"] == 1.5
    assert figures["pitch_error_deg"] == 2
    assert figures["roll_error_deg"] == 7
    assert figures["missed"] == 0
    assert figures["samples"] == 2


def test_angles_go_the_short_way_round():
    metric = PoseError()
    metric.update(torch.tensor([[179.0, 0.0, -175.0]]), torch.tensor([[-178.0, 0.0, 181.0]]))
    assert metric.values("yaw").tolist() == [3]
    assert metric.values("roll").tolist() == [4]
    assert metric.compute()["pose_error_deg"] == 5


def test_faces_not_found_are_missed_and_left_out():
    metric = PoseError()
    metric.update(
        torch.tensor([[NAN, NAN, NAN], [3.0, 0.0, 0.0], [1.0, NAN, 0.0]]),
        torch.tensor([[0.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 0.0]]),
    )
    metric.update(torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[NAN, NAN, NAN]]))
    figures = metric.compute()
    assert figures["missed"] == 3
    assert figures["samples"] == 4
    assert figures["pose_error_deg"] == 5
    assert figures["yaw_error_deg"] == 3  # the third sample's yaw is not counted either
    assert metric.values("pose").isnan().tolist() == [True, False, True, True]


def test_all_missed_is_nan_not_zero():
    metric = PoseError()
    metric.update(torch.full((2, 3), NAN), torch.zeros(2, 3))
    assert metric.compute()["pose_error_deg"].isnan()
    assert metric.compute()["missed"] == 2


@pytest.mark.parametrize("shapes", [((2, 2), (2, 2)), ((2, 3), (3, 3)), ((3,), (3,))])
def test_wrong_shapes_raise(shapes):
    with pytest.raises(ValueError, match=r"two \[B, 3\]"):
        PoseError().update(torch.zeros(shapes[0]), torch.zeros(shapes[1]))
