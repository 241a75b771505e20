"""Reconstruction loss: ``L_Recon = mean |I_R - I_T|`` where source and target are one person (SimSwap, equation 3)."""

import torch
from torch import Tensor

from simswap.losses.terms import GENERATOR, GeneratorInputs, register_term


def reconstruction_loss(result: Tensor, target: Tensor, same_identity: Tensor) -> Tensor:
    """Sum over same-person samples of ``mean |result - target|``, divided by the batch size B.

    The divisor is B, not the number of same-person samples, so that the mean over ranks or micro-batches equals the
    loss of one large batch.

    Args:
        result: The swaps, [B, C, H, W].
        target: The target images, [B, C, H, W], in the same pixel range.
        same_identity: bool [B], True where target and source show one person.

    Returns:
        A scalar >= 0; 0 where no pair shows one person.

    Raises:
        ValueError: A shape or the mask's dtype is another.
    """
    if result.shape != target.shape or result.ndim != 4:
        raise ValueError(f"images must both be [B, C, H, W]: {tuple(result.shape)} and {tuple(target.shape)}")
    if same_identity.dtype != torch.bool or same_identity.shape != result.shape[:1]:
        raise ValueError(f"same_identity must be bool [B]: {same_identity.dtype} {tuple(same_identity.shape)}")
    per_sample = (result - target).abs().mean(dim=(1, 2, 3))  # [B]
    return (per_sample * same_identity).sum() / len(result)


@register_term("reconstruction", GENERATOR)
def reconstruction_term(inputs: GeneratorInputs) -> Tensor:
    """`reconstruction_loss` in the generator's own pixel range."""
    return reconstruction_loss(inputs.result, inputs.target, inputs.same_identity)
