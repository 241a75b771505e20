"""Identity loss: ``L_ID = 1 - cos(v_R, v_S)`` (SimSwap, equation 2).

With several recognizers, or another one than the generator is conditioned on, it is their weighted mean ``sum_i w_i
(1 - cos(v_R,i, v_S,i)) / sum_i w_i``, so that ``objective.weights.identity`` keeps its meaning. HyperSwap too has a
recognizer in its loss that is not the one of its conditioning.
"""

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from simswap.losses.terms import GENERATOR, GeneratorInputs, register_term


def identity_loss(result: Tensor, source: Tensor) -> Tensor:
    """Mean over samples of ``1 - cos(result, source)``.

    Args:
        result: Embeddings of the swaps, [B, E], of any length.
        source: Embeddings of the sources, [B, E].

    Returns:
        A scalar in [0, 2].

    Raises:
        ValueError: The shapes differ or are not [B, E].
    """
    if result.shape != source.shape or result.ndim != 2:
        raise ValueError(f"embeddings must both be [B, E]: {tuple(result.shape)} and {tuple(source.shape)}")
    return (1 - cosine_similarity(result, source, dim=1)).mean()


@register_term("identity", GENERATOR)
def identity_term(inputs: GeneratorInputs) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
    """`identity_loss` between swaps and sources, or the weighted mean over ``inputs.recognized``.

    With ``recognized``, the loss by each recognizer is logged too, as ``identity/<name>``.
    """
    if not inputs.recognized:
        return identity_loss(inputs.result_identity, inputs.source_identity)
    losses = {name: identity_loss(one.result, one.source) for name, one in inputs.recognized.items()}
    weights = sum(one.weight for one in inputs.recognized.values())
    mean = torch.stack([one.weight / weights * losses[name] for name, one in inputs.recognized.items()]).sum()
    return mean, {f"identity/{name}": loss for name, loss in losses.items()}
