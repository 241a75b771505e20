"""Landmark error: how far a result's face landmarks are from its target's, which shows changes of expression."""

import torch
from torch import Tensor

from simswap.metrics.per_sample import PerSampleMetric

EYES = {5: ((0,), (1,)), 68: (tuple(range(36, 42)), tuple(range(42, 48)))}
"""The indices of the left and right eye's points, by the number of points: five landmarks, or iBUG's 68."""


class LandmarkError(PerSampleMetric):
    """The inter-ocular normalized mean error of face alignment.

    The mean distance between the landmarks of result and target on the same crop, divided by the distance between the
    target's eyes. Samples with a NaN on either side (no face found) are left out. ``values("error")`` returns every
    sample.
    """

    higher_is_better = False

    def __init__(self) -> None:
        super().__init__(("error",))

    def update(self, results: Tensor, targets: Tensor) -> None:
        """Add B pairs.

        Args:
            results: Landmarks of the results in pixels, float [B, P, 2 or 3] with P = 5 or 68; only x and y are used.
            targets: Landmarks of the targets, of the same shape.

        Raises:
            ValueError: For other shapes.
        """
        if results.ndim != 3 or results.shape != targets.shape or results.shape[1] not in EYES or results.shape[2] < 2:
            raise ValueError(f"two [B, 5 or 68, 2] needed, got {list(results.shape)} and {list(targets.shape)}")
        result, target = results[..., :2].double(), targets[..., :2].double()
        left, right = (target[:, list(eye)].mean(dim=1) for eye in EYES[results.shape[1]])
        between = (left - right).norm(dim=1)
        error = (result - target).norm(dim=2).mean(dim=1) / between
        self.append(error=torch.where(between > 0, error, torch.nan))

    def compute(self) -> Tensor:
        """Float64 []: the mean error in eye distances; NaN before the first sample."""
        return self.mean("error")
