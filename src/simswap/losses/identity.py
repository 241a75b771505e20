"""Identity loss: ``L_ID = 1 - cos(v_R, v_S)`` (SimSwap, equation 2)."""

from torch import Tensor
from torch.nn.functional import cosine_similarity


def identity_loss(result: Tensor, source: Tensor) -> Tensor:
    """Mean over samples of 1 - cosine. result, source: embeddings [B, E]. A scalar in [0, 2]."""
    if result.shape != source.shape or result.ndim != 2:
        raise ValueError(f"embeddings must both be [B, E]: {tuple(result.shape)} and {tuple(source.shape)}")
    return (1 - cosine_similarity(result, source, dim=1)).mean()
