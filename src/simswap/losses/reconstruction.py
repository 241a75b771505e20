"""Reconstruction loss: ``L_Recon = mean |I_R - I_T|`` where source and target are one person (SimSwap, equation 3)."""

import torch
from torch import Tensor


def reconstruction_loss(result: Tensor, target: Tensor, same_identity: Tensor) -> Tensor:
    """Sum over same-person samples of ``mean |result - target|``, divided by the whole batch B.

    Dividing by B, not by the number of same-person samples, keeps ranks and micro-batches equal to one large batch.
    result, target: [B, C, H, W]; same_identity: bool [B]. A scalar >= 0, 0 where no pair is of one person.
    """
    if result.shape != target.shape or result.ndim != 4:
        raise ValueError(f"images must both be [B, C, H, W]: {tuple(result.shape)} and {tuple(target.shape)}")
    if same_identity.dtype != torch.bool or same_identity.shape != result.shape[:1]:
        raise ValueError(f"same_identity must be bool [B]: {same_identity.dtype} {tuple(same_identity.shape)}")
    per_sample = (result - target).abs().mean(dim=(1, 2, 3))  # [B]
    return (per_sample * same_identity).sum() / len(result)
