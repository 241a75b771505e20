"""Hinge adversarial loss over a pyramid of patch discriminators (SimSwap, section 3.4; Lim and Ye 2017)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import relu


def hinge_discriminator(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Sum over scales k of ``[mean relu(1 - D_k(real)) + mean relu(1 + D_k(fake))] / 2``.

    real, fake: one logits tensor [B, 1, h_k, w_k] a scale. Returns a scalar >= 0.
    """
    if len(real) != len(fake) or not real:
        raise ValueError(f"as many real as fake logits are needed: {len(real)} and {len(fake)}")
    terms = [(relu(1 - r).mean() + relu(1 + f).mean()) / 2 for r, f in zip(real, fake, strict=True)]
    return torch.stack(terms).sum()


def hinge_generator(fake: Sequence[Tensor]) -> Tensor:
    """Mean over scales k of ``-mean D_k(fake)``. fake: one logits tensor [B, 1, h_k, w_k] a scale. A scalar."""
    if not fake:
        raise ValueError("no logits were given")
    return torch.stack([-logits.mean() for logits in fake]).mean()
