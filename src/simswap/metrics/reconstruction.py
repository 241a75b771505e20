"""Self-reconstruction: how well swapping an image with itself reproduces it."""

import math

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from simswap.metrics.per_sample import PerSampleMetric

ROUNDING = 1 / (12 * 255**2)
"""The mean squared error of rounding to 8 bits in unit range, 58.9 dB; no image from a file is more exact."""


class SelfReconstruction(PerSampleMetric):
    """L1, PSNR and SSIM between result and image in unit range, for swaps whose source is the target itself.

    ``values("l1")`` is the mean absolute difference, 0..1. ``values("psnr")`` is -10 log10 of the mean squared error in
    dB; an error below that of 8-bit rounding counts as 8-bit rounding, so a perfect copy has 58.9 dB instead of
    infinity. ``values("ssim")`` is the structural similarity, -1..1, with a Gaussian window of 11 px and sigma 1.5
    (Wang et al. 2004); NaN for images smaller than the window.
    """

    higher_is_better = None

    def __init__(self) -> None:
        super().__init__(("l1", "psnr", "ssim"))

    def update(self, results: Tensor, pictures: Tensor) -> None:
        """Add B pairs of images, each float [B, C, H, W] in unit range. Raises ValueError for other shapes."""
        if results.ndim != 4 or results.shape != pictures.shape:
            raise ValueError(f"two [B, C, H, W] needed, got {list(results.shape)} and {list(pictures.shape)}")
        squared = (results.double() - pictures.double()).square().mean(dim=(1, 2, 3))
        self.append(
            l1=(results - pictures).abs().mean(dim=(1, 2, 3)),
            psnr=-10 * squared.clamp(min=ROUNDING).log10(),
            ssim=_ssim(results.float(), pictures.float()),
        )


class PairsReconstruction(PerSampleMetric):
    """The self-reconstruction of a protocol's pairs, in which each distinct target counts once over all ranks.

    A target swapped with itself gives the same result in all of its pairs. It counts at its first pair with a usable
    result, because some of its pairs may be missed.

    Args:
        target: int64 [pairs], the row of every pair's target.
    """

    higher_is_better = None
    kept: tuple[str, ...] = ("l1", "psnr", "ssim")

    def __init__(self, target: np.ndarray) -> None:
        super().__init__((*self.kept, "place"))
        self._target = target

    def update(self, l1: Tensor, psnr: Tensor, ssim: Tensor, place: Tensor) -> None:
        """Add what `SelfReconstruction` measured for B pairs, float [B] each, and their places, int64 [B].

        The places are kept as float32, which is exact up to 16 million pairs.
        """
        self.append(l1=l1, psnr=psnr, ssim=ssim, place=place)

    def in_pairs(self, column: str, chosen: np.ndarray | None = None) -> Tensor:
        """A column's values per pair.

        Args:
            column: ``l1``, ``psnr`` or ``ssim``.
            chosen: Bool [pairs], the pairs to use; None for all.

        Returns:
            Float32 [pairs], the value at the first usable pair of each target, NaN at all others.
        """
        values = self.values(column)
        whole = values.new_full((len(self._target),), torch.nan)
        if len(values):
            whole[self.values("place").long()] = values
        if chosen is not None:
            whole[torch.from_numpy(~chosen).to(whole.device)] = torch.nan
        first = first_of_each(self._target, whole.isnan().logical_not().cpu().numpy())
        return whole.masked_fill(torch.from_numpy(~first).to(whole.device), torch.nan)

    def compute(self) -> dict[str, Tensor]:
        """The means ``l1``, ``psnr``, ``ssim`` over distinct targets, float64 []; NaN before the first sample."""
        return {column: self.in_pairs(column).double().nanmean() for column in self.kept}


class PairsPerceptual(PairsReconstruction):
    """LPIPS of every pair's self-swap, counted once per distinct target.

    Args:
        target: int64 [pairs], the row of every pair's target.
    """

    kept = ("self_lpips",)

    def update(self, self_lpips: Tensor, place: Tensor) -> None:  # type: ignore[override]
        """Add the distances of B pairs, float [B], and their places, int64 [B]."""
        self.append(self_lpips=self_lpips, place=place)


def first_of_each(target: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Mark the first pair of each distinct target among the pairs that are ``there``; all three are [pairs]."""
    places = np.flatnonzero(there)
    _, first = np.unique(target[places], return_index=True)
    found = np.zeros(len(target), dtype=bool)
    found[places[first]] = True
    return found


def _ssim(results: Tensor, pictures: Tensor) -> Tensor:
    if min(results.shape[-2:]) < 11 or not len(results):
        return results.new_full((len(results),), math.nan)
    similarity = results.new_ones(len(results))
    # An image's similarity to itself is 1, so that the controls, two of three rows in most tables, are skipped.
    other = (results != pictures).flatten(1).any(dim=1)
    if other.any():
        with torch.no_grad():
            found = structural_similarity_index_measure(
                results[other], pictures[other], data_range=(0.0, 1.0), reduction="none"
            )
        assert isinstance(found, Tensor)
        similarity[other] = found.reshape(-1)
    return similarity
