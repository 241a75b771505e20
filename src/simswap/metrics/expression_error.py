"""Expression error: how far the shapes of a result's eyes and mouth are from its target's, without the pose."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from simswap.faces.mean_shape import LEFT_EYE, MOUTH, POINTS, RIGHT_EYE, STEADY, mean_head
from simswap.metrics.per_sample import PerSampleMetric
from simswap.precision import to_float64

PARTS = (LEFT_EYE, RIGHT_EYE, MOUTH)


class ExpressionError(PerSampleMetric):
    """The mean distance between the expressions of result and target, in eye distances of the mean head.

    The least-squares affine map from insightface's mean head to the points of nose and eyes takes all 68 points of the
    mean head into the image. What is left between the measured points and these is the `expression`, turned upright by
    the roll: pose and size are out. Eyes and mouth are each compared around their own center, so that their places,
    which are the person's, do not count. ``values("expression")`` returns every sample, NaN where a face has no points.
    """

    higher_is_better = False

    def __init__(self) -> None:
        super().__init__(("expression",))

    def update(self, results: Tensor, targets: Tensor) -> None:
        """Add B pairs.

        Args:
            results: Landmarks of the results in pixels, float [B, 68, 2 or 3]; only x and y are used.
            targets: Landmarks of the targets, of the same shape.

        Raises:
            ValueError: For other shapes.
            InputError: insightface's mean shape cannot be read.
        """
        if results.shape != targets.shape:
            raise ValueError(f"two [B, 68, 2] needed, got {list(results.shape)} and {list(targets.shape)}")
        self.append(expression=(expression(results) - expression(targets)).norm(dim=2).mean(dim=1))

    def compute(self) -> Tensor:
        """Float64 []: the mean error in eye distances; NaN before the first sample."""
        return self.mean("expression")


def expression(points: Tensor) -> Tensor:
    """The shapes of eyes and mouth without the pose.

    Args:
        points: Landmarks in pixels in iBUG's order, float [B, 68, 2 or 3]; only x and y are used.

    Returns:
        Float64 [B, 32, 2], in eye distances of the mean head: the distances of the twelve eye points and the twenty
        mouth points from those of the mean head, each around its part's mean. NaN where a point is, or where the points
        of nose and eyes coincide.

    Raises:
        ValueError: For another shape.
    """
    if points.ndim != 3 or points.shape[1] != POINTS or points.shape[2] < 2:
        raise ValueError(f"landmarks [B, 68, 2] needed, got {list(points.shape)}")
    seen = to_float64(points[..., :2])
    head, solver = (matrix.to(seen.device) for matrix in _mean_head())
    affine = solver @ seen[:, STEADY]  # [B, 4, 2]
    scale = torch.linalg.matrix_norm(affine[:, :3].nan_to_num(0.0), ord=2)[:, None, None]  # px an eye distance
    left = (seen - head @ affine) / torch.where(scale > 1e-3, scale, torch.nan)
    # The first row is the head's axis across the face, whose direction in the image is the roll.
    cosine, sine = torch.nn.functional.normalize(affine[:, 0], dim=1)[:, None, :].unbind(dim=2)
    x, y = left.unbind(dim=2)
    left = torch.stack([x * cosine + y * sine, y * cosine - x * sine], dim=2)
    return torch.cat([left[:, part] - left[:, part].mean(dim=1, keepdim=True) for part in PARTS], dim=1)


@lru_cache(maxsize=1)
def _mean_head() -> tuple[Tensor, Tensor]:
    """The mean head with a column of ones [68, 4], and the pseudoinverse [4, 21] of its points of nose and eyes."""
    head = np.column_stack([mean_head(), np.ones(POINTS)])
    return torch.from_numpy(head), torch.from_numpy(np.linalg.pinv(head[STEADY]))
