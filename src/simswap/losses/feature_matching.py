"""Weak feature matching: only the discriminators' layers m..M (SimSwap, equation 8).

``L_wFM(D) = sum_{i=m..M} 1/N_i * |D_i(I_R) - D_i(I_T)|_1``, N_i the number of elements of layer i: the early layers,
which hold the looks of the target in detail, are left out, so that identity may change while attributes stay.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from simswap.errors import InputError


def check_layer_range(first_layer: int, last_layer: int, layers: int) -> None:
    """Raise InputError unless ``0 <= first_layer <= last_layer < layers``; the message names the layers there are."""
    if not 0 <= first_layer <= last_layer < layers:
        raise InputError(
            f"objective.feature_matching: first_layer={first_layer}, last_layer={last_layer} is no range of the "
            f"discriminators' layers 0..{layers - 1} (0-based, inclusive); choose 0 <= first_layer <= last_layer <= "
            f"{layers - 1}, or set objective.weights.feature_matching=0 for no feature matching"
        )


def layer_distances(result: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """``1/N_i * |D_i(I_R) - D_i(I_T)|_1`` for every layer i of one discriminator: [layers].

    result, target: one feature tensor [B, C_i, H_i, W_i] a layer; the target's are detached.
    """
    if len(result) != len(target):
        raise ValueError(f"as many result as target layers are needed: {len(result)} and {len(target)}")
    return torch.stack([(r - t.detach()).abs().mean() for r, t in zip(result, target, strict=True)])


def feature_matching_loss(
    distances: Sequence[Tensor], first_layer: int, last_layer: int, layer_reduction: str = "sum"
) -> Tensor:
    """Sum over discriminators of the layers first_layer..last_layer (0-based, inclusive).

    distances: `layer_distances` of each discriminator, each [layers]. layer_reduction: ``sum`` is the article's
    formula; ``mean`` divides by the number of layers, so that a wider range does not also weigh more. A scalar >= 0.
    """
    if layer_reduction not in ("sum", "mean"):
        raise InputError(f"objective.feature_matching.layer_reduction={layer_reduction}: choose sum or mean")
    for layers in distances:
        check_layer_range(first_layer, last_layer, len(layers))
    chosen = torch.stack([layers[first_layer : last_layer + 1] for layers in distances])  # [K, M - m + 1]
    return chosen.sum() if layer_reduction == "sum" else chosen.mean(dim=1).sum()
