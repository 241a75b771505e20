"""Gradient penalty on interpolates of target and result (WGAN-GP, Gulrajani et al. 2017, equation 3; two-sided)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from simswap.errors import InputError
from simswap.precision import full_precision


def gradient_penalty(
    discriminators: Sequence[Callable[[Tensor], Tensor]],
    target: Sequence[Tensor],
    result: Sequence[Tensor],
    mix: Tensor,
    patch_reduction: str = "mean",
    trained: bool = True,
) -> Tensor:
    """Mean over scales k of ``mean over samples of (|grad_x D_k(x)|_2 - 1)^2``, ``x = mix*target + (1-mix)*result``.

    discriminators: for each scale a function of its own input [B, 3, h_k, w_k] to logits [B, 1, ., .]; they must not
    couple samples (batch norm in eval mode). target, result: each scale's inputs. mix: [B] in [0, 1], one a sample.
    patch_reduction: ``mean`` (or ``sum``) over each sample's patch logits before the gradient is taken; summing makes
    the gradient larger by the number of patches. trained: False measures it without the graph that its own gradient
    needs. In `full_precision`, whatever autocast or TF32 is on; its backward pass wants the same. A scalar >= 0.
    """
    if patch_reduction not in ("mean", "sum"):
        raise InputError(f"objective.gradient_penalty.patch_reduction={patch_reduction}: choose mean or sum")
    penalties = []
    with full_precision():
        for discriminate, real, fake in zip(discriminators, target, result, strict=True):
            a = mix.view(-1, 1, 1, 1)
            # With fp16 or bf16 inputs the squares below would lose their digits.
            precise = torch.promote_types(real.dtype, torch.float32)
            x = (a * real.detach().to(precise) + (1 - a) * fake.detach().to(precise)).requires_grad_(True)
            patches = discriminate(x).flatten(1)  # [B, patches]
            per_sample = patches.mean(dim=1) if patch_reduction == "mean" else patches.sum(dim=1)
            (gradient,) = torch.autograd.grad(per_sample.sum(), x, create_graph=trained)
            penalties.append((gradient.flatten(1).norm(dim=1) - 1).square().mean())
    return torch.stack(penalties).mean()
