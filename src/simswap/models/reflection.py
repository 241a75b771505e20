"""Reflection padding that keeps the memory format.

On a GPU, torch's own copies a channels-last tensor to the other format, and the convolution after it copies it back.
Padding is linear, so the gradient of each of the two functions is the other one.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simswap.models.memory_format import memory_format_of


class ReflectionPad(nn.Module):
    """``nn.ReflectionPad2d(padding)``; channels-last tensors on a GPU stay channels-last."""

    def __init__(self, padding: int) -> None:
        super().__init__()
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C, H + 2 padding, W + 2 padding]."""
        return reflected(x, self.padding)


def reflected(x: Tensor, padding: int) -> Tensor:
    """X [B, C, H, W] with ``padding`` reflected pixels on each side, fewer than H and W."""
    if x.device.type == "cuda" and memory_format_of(x) == torch.channels_last and not torch.compiler.is_compiling():
        return _Reflect.apply(x, padding)
    return F.pad(x, [padding] * 4, mode="reflect")


class _Reflect(torch.autograd.Function):
    """[B, C, H, W], padding p → [B, C, H + 2p, W + 2p], channels-last."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, padding: int) -> Tensor:
        ctx.padding = p = padding
        b, c, height, width = x.shape
        size = (b, c, height + 2 * p, width + 2 * p)
        y = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        y[:, :, p : p + height, p : p + width] = x
        for i in range(p):
            y[:, :, i, p : p + width], y[:, :, -1 - i, p : p + width] = x[:, :, p - i], x[:, :, -1 - p + i]
        for i in range(p):
            y[..., i], y[..., -1 - i] = y[..., 2 * p - i], y[..., -1 - 2 * p + i]
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Fold.apply(gradients[0], ctx.padding), None


class _Fold(torch.autograd.Function):
    """The transposed map: each padded pixel is added to the pixel that it reflects."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, padding: int) -> Tensor:
        ctx.padding = p = padding
        rows = gradient[..., p : gradient.shape[3] - p].clone(memory_format=torch.channels_last)
        for i in range(p):
            rows[..., p - i] += gradient[..., i]
            rows[..., -1 - p + i] += gradient[..., -1 - i]
        folded = rows[:, :, p : rows.shape[2] - p]
        for i in range(p):
            folded[:, :, p - i] += rows[:, :, i]
            folded[:, :, -1 - p + i] += rows[:, :, -1 - i]
        return folded.contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Reflect.apply(gradients[0], ctx.padding), None
