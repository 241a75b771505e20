"""FID on features that are there already."""

from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance


class FeatureDistance(FrechetInceptionDistance):
    """The Frechet distance of two sets of features, torchmetrics' own sums and formula (Heusel et al. 2017).

    The features come from a network of the user's (an ONNX file): torchmetrics' Inception needs a package that pulls
    torchvision. ``update(features, real)`` takes float [B, F]; ``compute()`` gives float64 [], NaN with fewer than two
    samples on either side. Small samples make it too large: compare only equal numbers of pictures.
    """

    def __init__(self, features: int, **settings: Any) -> None:
        super().__init__(feature=_AsTheyAre(features), **settings)
        self.orig_dtype = torch.float64  # set by update otherwise, which a rank without samples never calls

    def update(self, features: Tensor, real: bool) -> None:
        """Add features float [B, F] of real pictures or of the others. Raises ValueError for another shape."""
        super().update(features.double(), real=real)

    def compute(self) -> Tensor:
        if min(int(self.real_features_num_samples), int(self.fake_features_num_samples)) < 2:
            return self.real_features_sum.new_tensor(float("nan"))
        return super().compute()


class _AsTheyAre(nn.Module):
    """Stands for the network: what comes in are features."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        if features.ndim != 2 or features.shape[1] != self.num_features:
            raise ValueError(f"features must be [B, {self.num_features}], got {list(features.shape)}")
        return features
