"""How far a swap's face points are from its target's: mouth, brows and eyelids carry the expression."""

import torch
from torch import Tensor

from simswap.metrics.per_sample import PerSampleMetric

EYES = {5: ((0,), (1,)), 68: (tuple(range(36, 42)), tuple(range(42, 48)))}
"""The points of the left and of the right eye, by the number of points: five landmarks, or iBUG's 68."""


class LandmarkError(PerSampleMetric):
    """Mean distance between the points of result and target on the same crop, in distances between the target's eyes
    (the "inter-ocular" normalized mean error of face alignment).

    A sample with a point that is NaN on either side (no face found) stays out. ``values("error")`` gives every sample.
    """

    higher_is_better = False

    def __init__(self) -> None:
        super().__init__(("error",))

    def update(self, results: Tensor, targets: Tensor) -> None:
        """Add B pairs of points, float [B, P, 2 or 3] in pixels of which x and y count; P is 5 or 68.

        Raises ValueError for other shapes.
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
