"""Gradient penalty on interpolates of target and result (WGAN-GP, Gulrajani et al., 2017, equation 3; two-sided)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from simswap.errors import InputError
from simswap.losses.second_order import input_gradient
from simswap.losses.terms import DISCRIMINATOR, DiscriminatorInputs, register_term
from simswap.precision import full_precision


def gradient_penalty(
    discriminators: Sequence[Callable[[Tensor], Tensor]],
    target: Sequence[Tensor],
    result: Sequence[Tensor],
    mix: Tensor,
    patch_reduction: str = "mean",
) -> Tensor:
    """Mean over scales k of ``mean over samples of (|grad_x D_k(x)|_2 - 1)^2``, ``x = mix*target + (1-mix)*result``.

    It runs in `full_precision`, also under autocast or TF32; its backward pass should too. Under ``torch.no_grad()``
    it is only measured, without the graph that its own gradient needs.

    Args:
        discriminators: For each scale a function from its own input [B, 3, h_k, w_k] to logits [B, 1, ., .]. Samples
            must not influence each other (batch norm in eval mode).
        target: Each scale's input made of the targets.
        result: Each scale's input made of the swaps.
        mix: [B] in [0, 1], one value a sample, shared by all scales.
        patch_reduction: How a sample's patch logits become one number before the gradient is taken: ``mean`` or
            ``sum``. ``sum`` makes the gradient larger by the number of patches.

    Returns:
        A scalar >= 0.

    Raises:
        InputError: The reduction is unknown.
    """
    if patch_reduction not in ("mean", "sum"):
        raise InputError(f"objective.gradient_penalty.patch_reduction={patch_reduction}: choose mean or sum")
    trained = torch.is_grad_enabled()
    penalties = []
    with full_precision(), torch.enable_grad():
        for discriminate, real, fake in zip(discriminators, target, result, strict=True):
            a = mix.view(-1, 1, 1, 1)
            # With fp16 or bf16 inputs the squares below would lose their digits.
            precise = torch.promote_types(real.dtype, torch.float32)
            x = (a * real.detach().to(precise) + (1 - a) * fake.detach().to(precise)).requires_grad_(True)
            patches = discriminate(x).flatten(1)  # [B, patches]
            per_sample = patches.mean(dim=1) if patch_reduction == "mean" else patches.sum(dim=1)
            with input_gradient():
                (gradient,) = torch.autograd.grad(per_sample.sum(), x, create_graph=trained)
            penalties.append((gradient.flatten(1).norm(dim=1) - 1).square().mean())
    return torch.stack(penalties).mean()


@register_term("gradient_penalty", DISCRIMINATOR, second_derivative=True)
def gradient_penalty_term(inputs: DiscriminatorInputs, *, patch_reduction: str) -> Tensor:
    """`gradient_penalty` between targets and swaps."""
    return gradient_penalty(
        inputs.patch_functions, inputs.real_pyramid, inputs.fake_pyramid, inputs.mix, patch_reduction
    )
