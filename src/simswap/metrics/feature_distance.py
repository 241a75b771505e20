"""FID on features that are already computed."""

from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance


class FeatureDistance(FrechetInceptionDistance):
    """The Fréchet distance of two sets of features (Heusel et al. 2017), with torchmetrics' sums and formula.

    The features come from `simswap.models.inception` or from an ONNX file, because torchmetrics' Inception needs a
    package that depends on torchvision. Small samples make the distance too large: compare equal numbers of images
    only.
    """

    def __init__(self, features: int, **settings: Any) -> None:
        super().__init__(feature=_AsTheyAre(features), **settings)
        self.orig_dtype = torch.float64  # otherwise set by update, which a rank without samples never calls

    def update(self, features: Tensor, real: bool) -> None:
        """Add features, float [B, F], of real images (targets) or of results. Raises ValueError for another shape."""
        super().update(features.double(), real=real)

    def compute(self) -> Tensor:
        """The distance, float64 [], at least 0; NaN with fewer than two samples on either side."""
        if min(int(self.real_features_num_samples), int(self.fake_features_num_samples)) < 2:
            return self.real_features_sum.new_tensor(float("nan"))
        return super().compute().clamp(min=0)  # equal sets give a little less by rounding


class _AsTheyAre(nn.Module):
    """Stands in for the network, because the input already is features."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        if features.ndim != 2 or features.shape[1] != self.num_features:
            raise ValueError(f"features must be [B, {self.num_features}], got {list(features.shape)}")
        return features
