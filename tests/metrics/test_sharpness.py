"""Sharpness of pictures for which it can be worked out."""

import pytest
import torch
import torch.nn.functional as F

from simswap.metrics.sharpness import sharpness


def gray(plane):
    return plane.expand(3, -1, -1)[None].float()


def test_by_hand():
    side = torch.arange(112)
    board = (side[:, None] + side[None]) % 2  # Laplacian +4 or -4 (variance 16), steps of 1 both ways (gradient 2)
    stripes = (side % 2)[None].expand(112, 112)  # Laplacian +2 or -2 (variance 4), steps of 1 one way
    ramp = (side / 112)[None].expand(112, 112)
    pictures = torch.cat([gray(board), gray(stripes), gray(ramp)])
    assert sharpness(pictures).tolist() == pytest.approx([8, 4, 0], abs=1e-3)
    noise = gray(torch.randn(112, 112, generator=torch.Generator().manual_seed(0)) / 10)
    assert sharpness(noise).item() == pytest.approx(5, rel=0.05)  # 20 times the variance over 4 times the variance
    assert sharpness(torch.full((1, 3, 112, 112), 0.3)).isnan().all()


def test_contrast_changes_nothing_and_blur_much():
    noise = F.avg_pool2d(torch.rand(1, 3, 226, 226, generator=torch.Generator().manual_seed(0)), 3, 2)
    sharp = sharpness(noise).item()
    assert sharpness(0.4 + noise / 5).item() == pytest.approx(sharp, rel=1e-3)
    assert sharpness(F.avg_pool2d(noise, 3, 1, 1)).item() < 0.5 * sharp
    large = F.interpolate(noise, scale_factor=2, mode="bilinear")
    small = F.interpolate(large, (112, 112), mode="bilinear", antialias=True)
    assert sharpness(large).item() == pytest.approx(sharpness(small).item(), rel=1e-5)  # both are seen at 112 px
