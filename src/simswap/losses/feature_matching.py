"""Weak feature matching: only the discriminators' layers m..M (SimSwap, equation 8).

``L_wFM(D) = sum_{i=m..M} 1/N_i * |D_i(I_R) - D_i(I_T)|_1``, N_i the number of elements of layer i. The early layers
hold the target's appearance in detail; they are left out, so that identity may change while attributes stay.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from simswap.errors import InputError
from simswap.losses.terms import GENERATOR, GeneratorInputs, register_term


def check_layer_range(first_layer: int, last_layer: int, layers: int) -> None:
    """Raise InputError unless ``0 <= first_layer <= last_layer < layers``; the message names the valid layers."""
    if not 0 <= first_layer <= last_layer < layers:
        raise InputError(
            f"objective.feature_matching: first_layer={first_layer}, last_layer={last_layer} is not a range of the "
            f"discriminators' layers 0..{layers - 1} (0-based, inclusive); choose 0 <= first_layer <= last_layer <= "
            f"{layers - 1}, or set objective.weights.feature_matching=0 for no feature matching"
        )


def layer_distances(result: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """``1/N_i * |D_i(I_R) - D_i(I_T)|_1`` for every layer i of one discriminator.

    Args:
        result: The features of the swaps, one tensor [B, C_i, H_i, W_i] a layer.
        target: The features of the targets, in the same form; they are detached.

    Returns:
        The distances, [layers], each >= 0.

    Raises:
        ValueError: The two have different numbers of layers.
    """
    if len(result) != len(target):
        raise ValueError(f"result and target features need the same number of layers: {len(result)}, {len(target)}")
    return torch.stack([(r - t.detach()).abs().mean() for r, t in zip(result, target, strict=True)])


def feature_matching_loss(
    distances: Sequence[Tensor], first_layer: int, last_layer: int, layer_reduction: str = "sum"
) -> Tensor:
    """Sum over discriminators of the layers first_layer..last_layer (0-based, inclusive).

    Args:
        distances: `layer_distances` of each discriminator, each [layers].
        first_layer: m, the first layer that counts.
        last_layer: M, the last layer that counts.
        layer_reduction: ``sum`` is the paper's formula; ``mean`` divides by the number of layers, so that a wider
            range does not also weigh more.

    Returns:
        A scalar >= 0.

    Raises:
        InputError: The reduction is unknown, or the range does not fit the layers.
    """
    if layer_reduction not in ("sum", "mean"):
        raise InputError(f"objective.feature_matching.layer_reduction={layer_reduction}: choose sum or mean")
    for layers in distances:
        check_layer_range(first_layer, last_layer, len(layers))
    chosen = torch.stack([layers[first_layer : last_layer + 1] for layers in distances])  # [K, M - m + 1]
    return chosen.sum() if layer_reduction == "sum" else chosen.mean(dim=1).sum()


def _check(layers: int, first_layer: int, last_layer: int, layer_reduction: str) -> None:
    feature_matching_loss([torch.zeros(layers)], first_layer, last_layer, layer_reduction)


@register_term("feature_matching", GENERATOR, check=_check)
def feature_matching_term(
    inputs: GeneratorInputs, *, first_layer: int, last_layer: int, layer_reduction: str
) -> tuple[Tensor, dict[str, Tensor]]:
    """`feature_matching_loss`, and every layer's distance to log, also those outside of the range."""
    scales = zip(inputs.fake_features, inputs.real_features, strict=True)
    distances = [layer_distances(fake, real) for fake, real in scales]
    layers = {
        f"feature_matching_d{k + 1}_layer{i}": value
        for k, scale in enumerate(distances)
        for i, value in enumerate(scale)
    }
    return feature_matching_loss(distances, first_layer, last_layer, layer_reduction), layers
