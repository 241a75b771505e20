"""Temporal jitter: how unsteady pose and identity are from frame to frame."""

import torch
from torch import Tensor

from simswap.metrics.per_sample import PerSampleMetric


class TemporalJitter(PerSampleMetric):
    """The mean length of the second difference over three consecutive frames, |x(t-1) - 2 x(t) + x(t+1)|.

    Motion at constant speed has none. ``pose`` is that of (yaw, pitch, roll) in degrees per frame squared, each
    difference taken the short way around; ``identity`` is that of the judge's embeddings. All three frames are cropped
    in one window, so that alignment adds no jitter. The control do_nothing shows the video's own jitter. A sample is
    NaN if a frame is missing or has no pose.
    """

    higher_is_better = False

    def __init__(self) -> None:
        super().__init__(("pose", "identity"))

    def update(self, poses: Tensor, embeddings: Tensor) -> None:
        """Add B triples of frames.

        Args:
            poses: Float [B, 3, 3] (sample, frame, angle) in degrees.
            embeddings: Float [B, 3, E], of unit length.

        Raises:
            ValueError: For other shapes.
        """
        if (
            poses.ndim != 3
            or poses.shape[1:] != (3, 3)
            or embeddings.ndim != 3
            or embeddings.shape[:2] != (len(poses), 3)
        ):
            raise ValueError(f"[B, 3, 3] and [B, 3, E] needed, got {list(poses.shape)} and {list(embeddings.shape)}")
        steps = torch.remainder(poses.double().diff(dim=1) + 180.0, 360.0) - 180.0
        self.append(
            pose=steps.diff(dim=1)[:, 0].norm(dim=1), identity=embeddings.double().diff(n=2, dim=1)[:, 0].norm(dim=1)
        )
