"""How well a swap of a picture with itself gives the picture back."""

from torch import Tensor

from simswap.metrics.per_sample import PerSampleMetric


class SelfReconstruction(PerSampleMetric):
    """Mean absolute difference of result and picture, in unit range, of swaps whose source is the target itself.

    ``values("l1")`` gives every sample's.
    """

    higher_is_better = False

    def __init__(self) -> None:
        super().__init__(("l1",))

    def update(self, results: Tensor, pictures: Tensor) -> None:
        """Add B pairs of images float [B, C, H, W] in unit range. Raises ValueError for other shapes."""
        if results.ndim != 4 or results.shape != pictures.shape:
            raise ValueError(f"two [B, C, H, W] needed, got {list(results.shape)} and {list(pictures.shape)}")
        self.append(l1=(results - pictures).abs().mean(dim=(1, 2, 3)))

    def compute(self) -> Tensor:
        """Float64 []: the mean L1; NaN before the first sample."""
        return self.mean("l1")
