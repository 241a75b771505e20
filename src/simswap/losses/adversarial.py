"""Hinge adversarial loss over a pyramid of patch discriminators (SimSwap, section 3.4; Lim and Ye, 2017)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import relu

from simswap.losses.terms import DISCRIMINATOR, GENERATOR, DiscriminatorInputs, GeneratorInputs, register_term


def hinge_discriminator(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Sum over scales k of ``[mean relu(1 - D_k(real)) + mean relu(1 + D_k(fake))] / 2``.

    Args:
        real: The logits of real images, one tensor [B, 1, h_k, w_k] a scale.
        fake: The logits of swaps, in the same form.

    Returns:
        A scalar >= 0.

    Raises:
        ValueError: The two have different numbers of scales, or none.
    """
    if len(real) != len(fake) or not real:
        raise ValueError(f"real and fake logits need the same number of scales, at least 1: {len(real)}, {len(fake)}")
    terms = [(relu(1 - r).mean() + relu(1 + f).mean()) / 2 for r, f in zip(real, fake, strict=True)]
    return torch.stack(terms).sum()


def hinge_generator(fake: Sequence[Tensor]) -> Tensor:
    """Mean over scales k of ``-mean D_k(fake)``.

    Args:
        fake: The logits of swaps, one tensor [B, 1, h_k, w_k] a scale.

    Returns:
        A scalar of either sign.

    Raises:
        ValueError: There are no logits.
    """
    if not fake:
        raise ValueError("the generator's hinge loss needs the logits of at least one scale")
    return torch.stack([-logits.mean() for logits in fake]).mean()


@register_term("discriminator", DISCRIMINATOR, fixed_weight=1.0)
def discriminator_term(inputs: DiscriminatorInputs) -> Tensor:
    """`hinge_discriminator` of targets and swaps."""
    return hinge_discriminator(inputs.real_logits, inputs.fake_logits)


@register_term("adversarial", GENERATOR)
def adversarial_term(inputs: GeneratorInputs) -> Tensor:
    """`hinge_generator` of the swaps."""
    return hinge_generator(inputs.fake_logits)
