"""Gaze error: the angle between a result's gaze and its target's."""

import torch
from torch import Tensor

from simswap.metrics.per_sample import PerSampleMetric


class GazeError(PerSampleMetric):
    """The mean angle in degrees between the gaze estimated on the result and the target's true gaze.

    Both are relative to the head. The figure includes the estimator's own error: the control do_nothing, whose results
    are the targets, shows this floor. Samples without a true gaze (NaN: closed eyes, or unknown) are left out.
    ``values("gaze")`` returns every sample.
    """

    higher_is_better = False

    def __init__(self) -> None:
        super().__init__(("gaze",))

    def update(self, results: Tensor, truth: Tensor) -> None:
        """Add B gazes.

        Args:
            results: Estimated gaze, float [B, 2] in degrees: x > 0 to the image's right, y > 0 up.
            truth: True gaze, float [B, 2] in degrees.

        Raises:
            ValueError: If the shapes differ.
        """
        if results.ndim != 2 or results.shape[1] != 2 or results.shape != truth.shape:
            raise ValueError(f"two [B, 2] needed, got {list(results.shape)} and {list(truth.shape)}")
        first, second = _directions(results), _directions(truth)
        # As for rotations: the chord is exact near 0, where the arccos of a product is not.
        self.append(gaze=torch.rad2deg(2 * torch.asin(((first - second).norm(dim=1) / 2).clamp(max=1))))

    def compute(self) -> Tensor:
        """Float64 []: the mean angle; NaN before the first sample."""
        return self.mean("gaze")


def _directions(gaze: Tensor) -> Tensor:
    """Unit vectors [B, 3] of gazes [B, 2] in degrees."""
    x, y = torch.deg2rad(gaze.double()).unbind(dim=1)
    return torch.stack([x.sin() * y.cos(), y.sin(), x.cos() * y.cos()], dim=1)
