"""Figures from face points: with 68 there is an expression error, with five only a landmark error."""

import numpy as np
import pytest
import torch

from simswap.data.datamodule import SwapDataModule
from simswap.faces.mean_shape import mean_head
from simswap.measuring.evaluator import Evaluator
from simswap.measuring.gallery import choose_pairs
from simswap.measuring.instruments import Instruments
from simswap.measuring.swappers import COPY_SOURCE, DO_NOTHING, PreparedFaces
from simswap.models.embedder import Embedder
from simswap.models.pose import PoseEstimator
from tests.training.tiny import tiny_recognizer


class BrightnessPoints(PoseEstimator):
    """Points of the mean head in every crop, whose lower lip is as far down as the crop is bright."""

    def __init__(self, count):
        super().__init__("brightness", "0" * 64, None)
        self.count = count

    def forward(self, images, template, view):
        return images.mean(dim=(2, 3)) * 10

    def pose_and_points(self, images, template, view):
        points = torch.from_numpy(mean_head()[:, :2] * 10 + 16).float().repeat(len(images), 1, 1)
        points[:, 55:60, 1] += 10 * images.mean(dim=(1, 2, 3))[:, None]
        return self(images, template, view), points if self.count == 68 else points[:, [36, 45, 30, 48, 57]]


@pytest.mark.parametrize("count", [68, 5])
def test_the_expression_error_needs_68_points(crops, count):
    data = SwapDataModule(crops, batch_size=1, fractions={"train": 0.5, "val": 0.25, "test": 0.25})
    pairs = choose_pairs(data, "train", 6, 2, 12, seed=1)
    faces = PreparedFaces(data)
    instruments = Instruments(Embedder(tiny_recognizer(), "arcface", 32), BrightnessPoints(count))
    evaluator = Evaluator(faces, pairs, instruments, 7, torch.device("cpu"))
    nothing, copied = (evaluator.measure(swapper).samples() for swapper in (DO_NOTHING, COPY_SOURCE))
    assert nothing["landmark_error"].abs().max() == 0
    assert copied["landmark_error"].min() > 0
    assert ("expression_error" in copied) == (count == 68)
    if count == 68:
        assert nothing["expression_error"].abs().max() == 0
        both = (faces.load(rows, torch.device("cpu")).images for rows in (pairs.source, pairs.target))
        bright = [images.mean(dim=(1, 2, 3)) for images in both]
        # Around the mouth's center, five of twenty points move by 3/4 and fifteen by 1/4 of the difference, of 32.
        expected = (bright[0] - bright[1]).abs() * (5 * 0.75 + 15 * 0.25) / 32
        np.testing.assert_allclose(copied["expression_error"].numpy(), expected.numpy(), atol=1e-5)
        assert evaluator.measure(COPY_SOURCE).figures()["expression_error"].n == 12
