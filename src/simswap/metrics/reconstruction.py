"""How well a swap of a picture with itself gives the picture back."""

import math

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from simswap.metrics.per_sample import PerSampleMetric

ROUNDING = 1 / (12 * 255**2)
"""Mean squared error of rounding to 8 bits, unit range: no picture from a file is known better. 58.9 dB."""


class SelfReconstruction(PerSampleMetric):
    """L1, PSNR and SSIM of result and picture, in unit range, of swaps whose source is the target itself.

    ``values("l1")``: mean absolute difference, 0..1. ``values("psnr")``: -10 log10 of the mean squared error, in dB; an
    error below that of 8-bit rounding counts as that, so that a perfect copy has 58.9 dB and not infinity.
    ``values("ssim")``: structural similarity with a Gaussian window of 11 px, sigma 1.5 (Wang et al. 2004), -1..1; NaN
    for pictures smaller than the window.
    """

    higher_is_better = None

    def __init__(self) -> None:
        super().__init__(("l1", "psnr", "ssim"))

    def update(self, results: Tensor, pictures: Tensor) -> None:
        """Add B pairs of images float [B, C, H, W] in unit range. Raises ValueError for other shapes."""
        if results.ndim != 4 or results.shape != pictures.shape:
            raise ValueError(f"two [B, C, H, W] needed, got {list(results.shape)} and {list(pictures.shape)}")
        squared = (results.double() - pictures.double()).square().mean(dim=(1, 2, 3))
        self.append(
            l1=(results - pictures).abs().mean(dim=(1, 2, 3)),
            psnr=-10 * squared.clamp(min=ROUNDING).log10(),
            ssim=_ssim(results.float(), pictures.float()),
        )

    def compute(self) -> dict[str, Tensor]:
        """The means ``l1``, ``psnr``, ``ssim``, float64 []; NaN before the first sample."""
        return {column: self.mean(column) for column in self.columns}


def _ssim(results: Tensor, pictures: Tensor) -> Tensor:
    if min(results.shape[-2:]) < 11 or not len(results):
        return results.new_full((len(results),), math.nan)
    similarity = results.new_ones(len(results))
    # A picture's similarity to itself is 1: the controls, two of three rows of most tables, need no windows.
    other = (results != pictures).flatten(1).any(dim=1)
    if other.any():
        with torch.no_grad():
            found = structural_similarity_index_measure(
                results[other], pictures[other], data_range=(0.0, 1.0), reduction="none")
        assert isinstance(found, Tensor)
        similarity[other] = found.reshape(-1)
    return similarity
