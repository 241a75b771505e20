"""Differentiable affine warps of image batches, by which crops reach the recognizer."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from simswap.faces.alignment import RECOGNIZER_CROPS, TEMPLATES, after_shrinking, crop_to_recognizer, shrink_factor


def warp_batch(images: Tensor, matrices: Tensor, size: int, padding: str = "border") -> Tensor:
    """Warp images by one affine matrix each.

    Bilinear, and differentiable with respect to the images. It is computed in at least fp32, also under autocast: a
    bf16 grid would be off by whole pixels.

    Args:
        images: [B, C, H, W].
        matrices: [B, 2, 3], from input to output pixels, (x, y) with pixel centers at integers.
        size: Side of the output in px.
        padding: Values beyond the border: ``border`` for the nearest pixel, ``zeros`` for 0.

    Returns:
        The warped images [B, C, size, size], in the dtype of ``images``.

    Raises:
        ValueError: A shape is another.
    """
    if images.ndim != 4 or matrices.shape != (len(images), 2, 3):
        raise ValueError(
            f"expected images [B, C, H, W] and matrices [B, 2, 3], got {tuple(images.shape)} and "
            f"{tuple(matrices.shape)}"
        )
    return _sampled(images, sampling_grid(matrices, size, images), padding)


def sampling_grid(matrices: Tensor, size: int, images: Tensor) -> Tensor:
    """Where each pixel of a warped image lies in its input, in the coordinates of ``grid_sample``.

    Args:
        matrices: [B, 2, 3], as for `warp_batch`.
        size: Side of the output in px.
        images: Their height, width and device are the input's; the grid has their dtype, at least fp32.

    Returns:
        [B, size, size, 2], (x, y).
    """
    height, width = images.shape[2:]
    dtype = torch.promote_types(images.dtype, torch.float32)
    with torch.autocast(images.device.type, enabled=False):
        m = matrices.to(images.device, dtype)
        a, b, tx = m[:, 0].unbind(-1)
        c, d, ty = m[:, 1].unbind(-1)
        determinant = a * d - b * c
        # The inverse of the linear part: grid_sample needs the source of each output pixel.
        inverse = torch.stack([d, -b, -c, a], -1).view(-1, 2, 2) / determinant.view(-1, 1, 1)
        steps = torch.arange(size, device=images.device, dtype=dtype)
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        out = torch.stack([x, y], -1).view(1, -1, 2) - torch.stack([tx, ty], -1).view(-1, 1, 2)  # [B, size*size, 2]
        source = torch.bmm(out, inverse.transpose(1, 2))
        # Pixel centers at integers → grid_sample's [-1, 1] between the outer borders (align_corners=False).
        extent = torch.tensor([width, height], device=images.device, dtype=dtype)
        return ((2 * source + 1) / extent - 1).view(-1, size, size, 2)


def _sampled(images: Tensor, grid: Tensor, padding: str) -> Tensor:
    """The images at the grid's places, in their own dtype."""
    with torch.autocast(images.device.type, enabled=False):
        warped = F.grid_sample(images.to(grid.dtype), grid, mode="bilinear", padding_mode=padding, align_corners=False)
    return warped.to(images.dtype)


# How crops reach the recognizer: by the warp between the templates, or resized as in the public trainers.
VIEWS = ("warp", "nearest", "bicubic")


class RecognizerView(nn.Module):
    """The recognizer's view of a crop: the fixed, differentiable warp from the crop's template to what it takes.

    If the recognizer's crop is much smaller, the crop is averaged over blocks first: at half size, a bilinear warp
    alone reads one pixel in four, and the identity loss would reach no other. A crop that already has the recognizer's
    template and size is passed on unchanged. Resizing (``nearest``, ``bicubic``) is only for the public weights; it
    costs accuracy.

    Args:
        template: The crops' template, a name of `faces.alignment.TEMPLATES`.
        crop_size: S, side of the crops in px.
        recognizer_size: R, side of the recognizer's crops in px.
        how: One of `VIEWS`.
        crop: Which crop the recognizer takes, a name of `faces.alignment.RECOGNIZER_CROPS`.

    Raises:
        ValueError: There is no such template, view or crop, a size is below 1, or crops would be resized for a
            recognizer that takes no ``arcface`` crop.
    """

    matrices: Tensor

    def __init__(
        self, template: str, crop_size: int, recognizer_size: int, how: str = "warp", crop: str = "arcface"
    ) -> None:
        super().__init__()
        if how not in VIEWS:
            raise ValueError(f"no view {how!r}; there are {', '.join(VIEWS)}")
        self.how = how
        if template not in TEMPLATES:
            raise ValueError(f"no alignment template {template!r}; there are {', '.join(TEMPLATES)}")
        if crop not in RECOGNIZER_CROPS:
            raise ValueError(f"no recognizer's crop {crop!r}; there are {', '.join(RECOGNIZER_CROPS)}")
        if how != "warp" and crop != "arcface":
            raise ValueError(f"view {how!r} resizes arcface crops; a recognizer with the crop {crop!r} needs warp")
        if crop_size < 1 or recognizer_size < 1:
            raise ValueError(f"sizes must be at least 1, got {crop_size} and {recognizer_size}")
        self.template, self.crop_size, self.recognizer_size = template, crop_size, recognizer_size
        views = range(len(TEMPLATES[template]))
        warps = [crop_to_recognizer(template, view, crop_size, recognizer_size, crop) for view in views]
        self.is_identity = template == crop == "arcface" and crop_size == recognizer_size
        # One factor for a batch of mixed views: the smallest, so that no view is blurred.
        self.factor = min(shrink_factor(matrix) for matrix in warps)
        stacked = np.stack([after_shrinking(matrix, self.factor) for matrix in warps])
        # Not persistent: the checkpoint holds the template and the sizes, which determine it.
        self.register_buffer("matrices", torch.from_numpy(stacked).float(), persistent=False)
        self._grids: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def forward(self, images: Tensor, view: Tensor) -> Tensor:
        """Crops [B, 3, S, S] and their template views int64 [B] → [B, 3, R, R] in the same range and dtype."""
        if images.shape[-2:] != (self.crop_size, self.crop_size):
            raise ValueError(f"expected crops of {self.crop_size} px, got {tuple(images.shape)}")
        if self.how != "warp":
            return F.interpolate(images, (self.recognizer_size, self.recognizer_size), mode=self.how)
        if self.is_identity:
            return images
        if self.factor > 1:
            images = F.avg_pool2d(images, self.factor, ceil_mode=True)
        return _sampled(images, self._grids_for(images)[view], "border")

    @torch.no_grad()
    def _grids_for(self, images: Tensor) -> Tensor:
        """Each view's sampling grid [views, R, R, 2], computed once for a dtype and device, since it never changes."""
        key = torch.promote_types(images.dtype, torch.float32), images.device
        if key not in self._grids:
            with torch.inference_mode(False):  # what validation computed can then be used in training
                self._grids[key] = sampling_grid(self.matrices, self.recognizer_size, images)
        return self._grids[key]
