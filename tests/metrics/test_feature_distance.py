"""The Fréchet distance of features."""

import torch

from simswap.metrics.feature_distance import FeatureDistance


def test_equal_sets_are_at_distance_zero_and_not_below():
    """torchmetrics' formula gives a little below zero for some equal sets: the trace of a root is rounded."""
    found = []
    for seed in range(8):
        features = torch.randn(40, 24, generator=torch.Generator().manual_seed(seed))
        metric = FeatureDistance(24)
        metric.update(features, real=True)
        metric.update(features, real=False)
        found.append(float(metric.compute()))
    assert 0 <= min(found) <= max(found) < 1e-6
