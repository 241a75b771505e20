"""Identity loss: ``L_ID = 1 - cos(v_R, v_S)`` (SimSwap, equation 2)."""

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
def identity_term(inputs: GeneratorInputs) -> Tensor:
    """`identity_loss` between swaps and sources."""
    return identity_loss(inputs.result_identity, inputs.source_identity)
