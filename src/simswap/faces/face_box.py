"""The face box in an aligned crop, for networks that were trained on boxes: fixed by the template, not detected.

A detected box differs a little from image to image, and so would the pose: target and result need the same box.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from simswap.faces.alignment import (
    TEMPLATES,
    after_shrinking,
    apply,
    fit_similarity,
    scale_of,
    shrink_factor,
    template_points,
)
from simswap.faces.warping import warp_batch

# Center x and y, width and height in px of an `arcface` crop of 112: the median of the boxes of insightface's SCRFD
# (2.5 GFLOP, at 256 px) for 300 random LFW faces, mapped into that crop (standard deviations 7.7, 3.6, 3.5 and 5.1
# px). Only the longer side counts, because the windows are squares.
ARCFACE_BOX = (56.4, 64.5, 81.7, 111.3)


def box_matrix(template: str, view: int, crop_size: int, size: int, margin: float) -> np.ndarray:
    """The warp [2, 3] from a crop to a square around the face box.

    ``ARCFACE_BOX`` is mapped to the template by the similarity between the five points of both. The rotation is left
    out, so that the network measures the pose in the crop itself.

    Args:
        template: The crop's template, a name of `faces.alignment.TEMPLATES`.
        view: The template's view.
        crop_size: Side of the crop in px.
        size: Side of the square in px.
        margin: Side of the square over the longer side of the box.

    Raises:
        ValueError: There is no such template.
        IndexError: The template has no such view.
    """
    fit = fit_similarity(template_points("arcface", 112), template_points(template, crop_size, view))
    center = apply(fit, ARCFACE_BOX[:2])
    scale = size / (margin * max(ARCFACE_BOX[2:]) * scale_of(fit))
    shift = size / 2 - scale * center
    return np.array([[scale, 0.0, shift[0]], [0.0, scale, shift[1]]])


class FaceBoxView(nn.Module):
    """Crops of one template and size → squares around the box; differentiable, black beyond the crop.

    Args are those of `box_matrix`. Raises ValueError for an unknown template.
    """

    matrices: Tensor

    def __init__(self, template: str, crop_size: int, size: int, margin: float) -> None:
        super().__init__()
        if template not in TEMPLATES:
            raise ValueError(f"no alignment template {template!r}; there are {', '.join(TEMPLATES)}")
        warps = [box_matrix(template, view, crop_size, size, margin) for view in range(len(TEMPLATES[template]))]
        self.size = size
        # The smallest factor of all views, as in `RecognizerView`.
        self.factor = min(shrink_factor(matrix) for matrix in warps)
        stacked = np.stack([after_shrinking(matrix, self.factor) for matrix in warps])
        self.register_buffer("matrices", torch.from_numpy(stacked).float(), persistent=False)

    def forward(self, images: Tensor, view: Tensor) -> Tensor:
        """Crops [B, 3, S, S] in unit range and their template views int64 [B] → [B, 3, size, size] in unit range."""
        if self.factor > 1:
            images = F.avg_pool2d(images, self.factor, ceil_mode=True)
        return warp_batch(images, self.matrices[view.to(self.matrices.device)], self.size, padding="zeros")


class FaceBoxes(nn.Module):
    """A `FaceBoxView` for any template and crop size, built at first use."""

    def __init__(self, size: int, margin: float) -> None:
        super().__init__()
        self.size, self.margin = size, margin
        self._views: dict[tuple[str, int], FaceBoxView] = {}

    def forward(self, images: Tensor, template: str, view: Tensor) -> Tensor:
        """As `FaceBoxView.forward`, for crops of this template."""
        key = (template, images.shape[-1])
        if key not in self._views:
            self._views[key] = FaceBoxView(template, images.shape[-1], self.size, self.margin)
        return self._views[key].to(images.device)(images, view)
