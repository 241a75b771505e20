"""How much a swapped video trembles."""

import torch
from torch import Tensor

from simswap.metrics.per_sample import PerSampleMetric


class TemporalJitter(PerSampleMetric):
    """Mean length of the second difference over three consecutive frames: |x(t-1) - 2 x(t) + x(t+1)|.

    Steady motion has none. ``pose``: of (yaw, pitch, roll), degrees a frame squared, each difference taken the short
    way round; ``identity``: of the judge's unit embeddings. The crop of the three frames is the same window, so that
    the alignment's own trembling is left out. A video's own jitter is that of the control do_nothing. NaN where a frame
    is not there or no pose was found.
    """

    higher_is_better = False

    def __init__(self) -> None:
        super().__init__(("pose", "identity"))

    def update(self, poses: Tensor, embeddings: Tensor) -> None:
        """Add B triples of frames: poses float [B, 3, 3] (frame, angle) in degrees, embeddings float [B, 3, E].

        Raises ValueError for other shapes.
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
