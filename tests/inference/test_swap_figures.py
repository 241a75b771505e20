"""Figures of single swaps: with embeddings and poses that the crop's mean colors decide."""

import numpy as np
import pytest
import torch
from torch import nn

from simswap.faces.alignment import align, template_points
from simswap.faces.detection import Face
from simswap.inference.swap_figures import measure_swaps
from simswap.inference.swapper import Aligned

SIZE = 32


class MeanColor(nn.Module):
    """A crop's mean color, as a unit vector; as a pose, its 100 times in degrees."""

    def forward(self, images, view):
        return nn.functional.normalize(images.mean((2, 3)), dim=1)


class Pose(nn.Module):
    def forward(self, images, template, view):
        return 100 * images.mean((2, 3))


def face(photo):
    points = template_points("arcface", SIZE) + 8
    found = align(points, "arcface", SIZE)
    return Aligned(Face(np.array([8, 8, 40, 40.0]), points, 1.0), photo[8:40, 8:40], found)


def photo(*color):
    return np.full((48, 48, 3), color, np.uint8)


def test_the_way_from_target_to_source_is_worked_out():
    """Target red, source green, result halfway: cosine 0.7071 to both, so 70.71 % of the way."""
    targets, sources = [face(photo(255, 0, 0))], [face(photo(0, 255, 0))]
    (found,) = measure_swaps(MeanColor(), Pose(), "arcface", targets, sources, photo(102, 102, 0))
    assert found.before == 0
    assert found.to_source == found.to_target == pytest.approx(0.70711, abs=1e-5)
    assert found.share == pytest.approx(0.70711, abs=1e-5)
    assert found.pose_error_deg == pytest.approx(100 * np.hypot(0.6, 0.4), abs=1e-3)  # (1, 0, 0) → (0.4, 0.4, 0)


def test_an_unchanged_photo_has_gone_no_way():
    targets, sources = [face(photo(255, 51, 0))], [face(photo(0, 255, 0))]
    (found,) = measure_swaps(MeanColor(), Pose(), "arcface", targets, sources, photo(255, 51, 0))
    assert found.share == pytest.approx(0, abs=1e-6)
    assert found.to_target == pytest.approx(1, abs=1e-6)
    assert found.pose_error_deg == 0


def test_the_source_itself_has_gone_the_whole_way_and_a_pose_that_is_not_known_is_nan():
    class NoFace(nn.Module):
        def forward(self, images, template, view):
            return torch.full((len(images), 3), torch.nan)

    targets, sources = [face(photo(255, 0, 0))] * 2, [face(photo(0, 255, 0))] * 2
    found = measure_swaps(MeanColor(), NoFace(), "arcface", targets, sources, photo(0, 255, 0))
    assert [one.share for one in found] == pytest.approx([1, 1], abs=1e-6)
    assert np.isnan([one.pose_error_deg for one in found]).all()
