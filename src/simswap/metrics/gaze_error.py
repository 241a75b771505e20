"""Whether the swap still looks where its target looks."""

import torch
from torch import Tensor

from simswap.metrics.per_sample import PerSampleMetric


class GazeError(PerSampleMetric):
    """Mean angle in degrees between the gaze measured on the result and the target's true gaze, relative to the head.

    It holds the estimator's own error too: what it is for results that are the targets themselves (the control
    do_nothing) is the floor. A sample without a true gaze (NaN: eyes closed, not known) stays out. ``values("gaze")``
    gives every sample.
    """

    higher_is_better = False

    def __init__(self) -> None:
        super().__init__(("gaze",))

    def update(self, results: Tensor, truth: Tensor) -> None:
        """Add B gazes, float [B, 2] (x > 0 to the image's right, y > 0 up) in degrees. ValueError for other shapes."""
        if results.ndim != 2 or results.shape[1] != 2 or results.shape != truth.shape:
            raise ValueError(f"two [B, 2] needed, got {list(results.shape)} and {list(truth.shape)}")
        first, second = _directions(results), _directions(truth)
        # As for rotations: the chord is exact where the arccos of a product is not.
        self.append(gaze=torch.rad2deg(2 * torch.asin(((first - second).norm(dim=1) / 2).clamp(max=1))))

    def compute(self) -> Tensor:
        """Float64 []: the mean angle; NaN before the first sample."""
        return self.mean("gaze")


def _directions(gaze: Tensor) -> Tensor:
    """Unit vectors [B, 3] of gazes [B, 2] in degrees."""
    x, y = torch.deg2rad(gaze.double()).unbind(dim=1)
    return torch.stack([x.sin() * y.cos(), y.sin(), x.cos() * y.cos()], dim=1)
