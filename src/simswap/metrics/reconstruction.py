"""How well a swap of a picture with itself gives the picture back."""

import math

import numpy as np
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


class PairsReconstruction(PerSampleMetric):
    """The self-reconstruction of a protocol's pairs, in which each distinct target counts once, over all ranks.

    A target swapped with itself gives the same whatever the pair's source is. It counts at its first pair that has a
    usable result: another pair of it may be missed.
    target: int64 [pairs], the row of every pair's target. ``place``: which pair a sample is of (float32 holds the
    whole numbers up to 16 million).
    """

    higher_is_better = None
    kept = ("l1", "psnr", "ssim")

    def __init__(self, target: np.ndarray) -> None:
        super().__init__((*self.kept, "place"))
        self._target = target

    def update(self, l1: Tensor, psnr: Tensor, ssim: Tensor, place: Tensor) -> None:
        """Add what `SelfReconstruction` found of B pairs, float [B] each, and which pairs they are, int64 [B]."""
        self.append(l1=l1, psnr=psnr, ssim=ssim, place=place)

    def in_pairs(self, column: str, chosen: np.ndarray | None = None) -> Tensor:
        """Float32 [pairs]: a column at the first pair of each target that has it, NaN at all others.

        chosen: bool [pairs], the pairs that are looked at, None for all.
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


def first_of_each(target: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Bool [pairs]: the first pair of each distinct target, any values [pairs], among those that are ``there``."""
    places = np.flatnonzero(there)
    _, first = np.unique(target[places], return_index=True)
    found = np.zeros(len(target), dtype=bool)
    found[places[first]] = True
    return found


def _ssim(results: Tensor, pictures: Tensor) -> Tensor:
    if min(results.shape[-2:]) < 11 or not len(results):
        return results.new_full((len(results),), math.nan)
    similarity = results.new_ones(len(results))
    # A picture's similarity to itself is 1: the controls, two of three rows of most tables, need no windows.
    other = (results != pictures).flatten(1).any(dim=1)
    if other.any():
        with torch.no_grad():
            found = structural_similarity_index_measure(
                results[other], pictures[other], data_range=(0.0, 1.0), reduction="none"
            )
        assert isinstance(found, Tensor)
        similarity[other] = found.reshape(-1)
    return similarity
