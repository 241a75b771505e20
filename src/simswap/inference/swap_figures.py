"""Figures of single swaps in photos: identity by a judge, and pose, on the finished photo."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from simswap.faces.alignment import warp
from simswap.faces.detection import Pixels
from simswap.inference.swapper import Aligned
from simswap.measuring.window import as_images
from simswap.metrics.similarity import identity_share
from simswap.models.embedder import Embedder
from simswap.models.pose import PoseEstimator
from simswap.precision import full_precision


class SwapFigures(NamedTuple):
    """What one swap did.

    Attributes:
        before: Cosine of target and source.
        to_source: Cosine of result and source.
        to_target: Cosine of result and target.
        share: How far identity went from the target to the source, (to_source - before) / (1 - before): 0 for an
            unchanged target, 1 for the source's own face.
        pose_error_deg: L2 distance of (yaw, pitch, roll) of result and target; NaN where no face is found.
    """

    before: float
    to_source: float
    to_target: float
    share: float
    pose_error_deg: float


@torch.no_grad()
def measure_swaps(
    judge: Embedder,
    pose: PoseEstimator,
    template: str,
    targets: Sequence[Aligned],
    sources: Sequence[Aligned],
    result: Pixels,
) -> list[SwapFigures]:
    """Measure the swaps of one photo.

    Args:
        judge: For crops as the targets have them.
        pose: Measures the head pose.
        template: Of the crops.
        targets: The faces that were swapped, as they were.
        sources: The source of each.
        result: The finished photo, uint8 [H, W, 3] in sRGB. Its faces are cut out by the targets' own alignment, so
            that a face that moved is measured as such.

    Returns:
        The figures of each face.
    """
    after = [warp(result, target.alignment.matrix, target.crop.shape[0]) for target in targets]
    views = torch.tensor([target.alignment.view for target in targets])
    source_views = torch.tensor([source.alignment.view for source in sources])
    device = torch.device("cpu")
    crops = [as_images(some, device) for some in ([face.crop for face in targets], after)]
    with full_precision():
        before, made = (judge(images, views) for images in crops)
        wanted = judge(as_images([face.crop for face in sources], device), source_views)
        poses = [pose(images, template, views) for images in crops]
    was, now, to = ((a * b).sum(1) for a, b in ((before, wanted), (made, wanted), (made, before)))
    share, moved = identity_share(now, was), (poses[0] - poses[1]).norm(dim=1)
    found = []
    for place in range(len(targets)):
        found.append(SwapFigures(*(float(one[place]) for one in (was, now, to, share, moved))))
    return found
