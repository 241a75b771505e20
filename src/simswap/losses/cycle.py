"""Cycle loss: a swap that is swapped back to the target's own identity should be the target again.

``L_cyc = mean |G(I_R, z_T) - I_T|``, z_T the target's identity embedding; the cycle consistency of CycleGAN (Zhu et
al., 2017) for identities, which later swappers such as HyperSwap train with. SimSwap has no such term: its default
weight is 0. It needs a second pass of the generator, so it is only computed while it is trained.
"""

import torch
from torch import Tensor

from simswap.losses.terms import GENERATOR, GeneratorInputs, register_term


def cycle_loss(restored: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error between the swapped-back images and the targets.

    Args:
        restored: The swaps swapped back, [B, C, H, W], unit range.
        target: The target images, [B, C, H, W], unit range.

    Returns:
        A scalar >= 0.

    Raises:
        ValueError: The shapes differ or are not [B, C, H, W].
    """
    if restored.shape != target.shape or restored.ndim != 4:
        raise ValueError(f"images must both be [B, C, H, W]: {tuple(restored.shape)} and {tuple(target.shape)}")
    return (restored - target).abs().mean()


@register_term("cycle", GENERATOR, measured_at_zero=False)
def cycle_term(inputs: GeneratorInputs) -> Tensor:
    """`cycle_loss` of the swaps, swapped back by the generator in training.

    Gradient passes through both passes to the generator. The target's embedding is a constant.
    """
    with torch.no_grad():
        target_identity = inputs.embed(inputs.target).to(inputs.source_identity.dtype)
    restored = inputs.generate(inputs.result, target_identity)
    return cycle_loss(inputs.to_unit(restored), inputs.to_unit(inputs.target))
