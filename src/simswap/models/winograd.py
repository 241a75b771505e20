"""3x3 convolutions by Winograd's method F(2x2, 3x3): 16 products for four pixels instead of 36 (Lavin and Gray, 2016).

Each tile of 2x2 outputs comes from 4x4 inputs: ``y = A' [(G w G') * (B' x B)] A`` with the transforms of section 4.1
of "Fast Algorithms for Convolutional Neural Networks". For many channels this is 16 matrix products over all tiles,
and with far fewer additions in a row than a direct sum it also rounds less. Both gradients are the transposed maps.

`Conv3x3` is an `nn.Conv2d` with the same parameters. It takes this way only where it pays: training in fp32 on a CPU.
"""

import math
import threading
from collections.abc import Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simswap.models.memory_format import memory_format_of
from simswap.models.reflection import reflected

LEAST_TILES = {torch.channels_last: 32, torch.contiguous_format: 48}
"""The weights' memory format → number of tiles in a batch below which transforming the weights costs more than the
products save. With channels last, torch's own gradient of the weights is slower."""
LEAST_CHANNELS = 40
"""Least ``C * K / (C + K)`` for C input and K output channels: below, transforming the pixels costs more."""
CHUNK = 4 * 1024 * 1024
"""Most values of the 16 transformed tiles at once: 16 MiB."""


class Conv3x3(nn.Conv2d):
    """A 3x3 convolution of stride 1 that keeps the size; ``padding_mode`` is ``zeros`` or ``reflect``."""

    def __init__(self, before: int, after: int, padding_mode: Literal["zeros", "reflect"] = "zeros") -> None:
        super().__init__(before, after, 3, padding=1, padding_mode=padding_mode)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, K, H, W]."""
        if self.training and winograd_pays(x, self.weight):
            return winograd(x, self.weight, self.bias, self.padding_mode)
        if self.padding_mode == "reflect":
            return F.conv2d(reflected(x, 1), self.weight, self.bias)
        return super().forward(x)


def winograd_pays(x: Tensor, weight: Tensor) -> bool:
    """Whether `winograd` is faster than torch's own convolution for these inputs [B, C, H, W] and weights [K, C, 3, 3].

    Always False for what it is not made for: other devices and dtypes, autocast, odd sizes, tracing and compiling.
    """
    if x.device.type != "cpu" or x.dtype != torch.float32 or x.dim() != 4 or torch.is_autocast_enabled("cpu"):
        return False
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    (batch, before, height, width), after = x.shape, len(weight)
    tiles = batch * (height // 2) * (width // 2)
    return (
        height % 2 == width % 2 == 0
        and tiles >= LEAST_TILES[memory_format_of(weight)]
        and before * after >= LEAST_CHANNELS * (before + after)
    )


def winograd(x: Tensor, weight: Tensor, bias: Tensor | None, padding_mode: str) -> Tensor:
    """The convolution of x, padded by one pixel, with 3x3 weights.

    Args:
        x: [B, C, H, W], H and W even.
        weight: [K, C, 3, 3].
        bias: [K], or None.
        padding_mode: ``zeros`` or ``reflect``.

    Returns:
        [B, K, H, W] in the memory format of x. First and higher derivatives are defined.
    """
    return _Winograd.apply(x, weight, bias, padding_mode == "reflect")


class _Winograd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, reflect: bool) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.reflect = reflect
        u = _transformed_weights(weight)  # [16, K, C]
        y = x.new_empty(len(x), *x.shape[2:], len(weight))  # [B, H, W, K]
        for samples, rows in _chunks(x.shape, len(weight)):
            v = _transformed_inputs(_padded(x, samples, rows, reflect))
            m = torch.bmm(v, u.transpose(1, 2), out=_scratch("m", 16, v.shape[1], len(weight)))
            _outputs(m, y[samples, rows])
        if bias is not None:
            y += bias
        return _as_given(y, x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (x, weight) = gradients, ctx.saved_tensors
        *wanted, of_bias = ctx.needs_input_grad[:3]
        summed = gradient.sum((0, 2, 3)) if of_bias else None
        if torch.is_grad_enabled():  # a gradient of this gradient is wanted: torch's own has one
            return *_torch_gradients(gradient, x, weight, ctx.reflect, wanted), summed, None
        of_x = _input_gradient(gradient, x, weight, ctx.reflect) if wanted[0] else None
        of_weight = _weight_gradient(gradient, x, weight, ctx.reflect) if wanted[1] else None
        return of_x, of_weight, summed, None


def _input_gradient(gradient: Tensor, x: Tensor, weight: Tensor, reflect: bool) -> Tensor:
    g, u = gradient.permute(0, 2, 3, 1).contiguous(), _transformed_weights(weight)
    batch, channels, height, width = x.shape
    padded = x.new_zeros(batch, height + 2, width + 2, channels)
    for samples, rows in _chunks(x.shape, len(weight)):
        m = _transformed_gradients(g[samples, rows])
        v = torch.bmm(m, u, out=_scratch("v", 16, m.shape[1], channels))
        _add_input_gradients(v, padded[samples, rows.start : rows.stop + 2])
    return _as_given(_unpadded(padded, reflect), x)


def _weight_gradient(gradient: Tensor, x: Tensor, weight: Tensor, reflect: bool) -> Tensor:
    g, u = gradient.permute(0, 2, 3, 1).contiguous(), _scratch("u", 16, *weight.shape[:2])
    for number, (samples, rows) in enumerate(_chunks(x.shape, len(weight))):
        m = _transformed_gradients(g[samples, rows]).transpose(1, 2)
        v = _transformed_inputs(_padded(x, samples, rows, reflect))
        torch.baddbmm(u, m, v, beta=0 if number == 0 else 1, out=u)
    return _from_transformed_weights(u, weight)


def _torch_gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, reflect: bool, wanted: list[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Both gradients by torch's own convolution, with a graph."""
    with torch.enable_grad():
        y = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect" if reflect else "constant"), weight)
        inputs = [value for value, one in zip((x, weight), wanted, strict=True) if one]
        found = iter(torch.autograd.grad(y, inputs, gradient, create_graph=True))
    return (next(found) if wanted[0] else None, next(found) if wanted[1] else None)


def _chunks(shape: torch.Size, channels: int) -> Iterator[tuple[slice, slice]]:
    """Samples and rows (of pixels, an even number) whose transformed tiles have at most `CHUNK` values."""
    batch, before, height, width = shape
    most_rows = max(1, CHUNK // (16 * max(before, channels) * (width // 2)))  # of tiles
    samples = max(1, min(batch, most_rows // (height // 2)))
    rows = 2 * min(height // 2, most_rows)
    for first in range(0, batch, samples):
        for top in range(0, height, rows):
            yield slice(first, min(first + samples, batch)), slice(top, min(top + rows, height))


_buffers = threading.local()


def _scratch(name: str, *shape: int) -> Tensor:
    """Memory of this thread that the next call with the same name uses again: new pages cost as much as the sums."""
    size = math.prod(shape)
    kept: Tensor | None = getattr(_buffers, name, None)
    if kept is None or kept.numel() < size:
        kept = torch.empty(size)
        setattr(_buffers, name, kept)
    return kept[:size].view(shape)


def _padded(x: Tensor, samples: slice, rows: slice, reflect: bool) -> Tensor:
    """Samples and rows of x [B, C, H, W], with one more pixel on every side → [b, rows + 2, W + 2, C], in scratch."""
    height, width = x.shape[2:]
    top, bottom = rows.start == 0, rows.stop == height  # of the picture
    part = x[samples, :, max(0, rows.start - 1) : rows.stop + 1]
    p = _scratch("padded", len(part), rows.stop - rows.start + 2, width + 2, x.shape[1])
    p[:, int(top) : p.shape[1] - int(bottom), 1:-1] = part.permute(0, 2, 3, 1)
    if top:
        p[:, 0, 1:-1] = p[:, 2, 1:-1] if reflect else 0
    if bottom:
        p[:, -1, 1:-1] = p[:, -3, 1:-1] if reflect else 0
    p[:, :, 0], p[:, :, -1] = (p[:, :, 2], p[:, :, -3]) if reflect else (0, 0)
    return p


def _unpadded(p: Tensor, reflect: bool) -> Tensor:
    """The transposed map of the padding, up to the order of axes; it overwrites its argument."""
    if reflect:
        p[:, :, 2] += p[:, :, 0]
        p[:, :, -3] += p[:, :, -1]
        p[:, 2] += p[:, 0]
        p[:, -3] += p[:, -1]
    return p[:, 1:-1, 1:-1]


def _as_given(y: Tensor, x: Tensor) -> Tensor:
    """[B, H, W, K] → [B, K, H, W] in the memory format of x."""
    return y.permute(0, 3, 1, 2).contiguous(memory_format=memory_format_of(x))


def _transformed_weights(weight: Tensor) -> Tensor:
    """``G w G'``: [K, C, 3, 3] → [16, K, C], in scratch memory."""
    k, c = weight.shape[:2]
    taps = weight.permute(2, 3, 0, 1)  # [3, 3, K, C]
    if weight.is_contiguous():
        taps = _scratch("taps", 3, 3, k, c).copy_(taps)
    rows, u = _scratch("weight_rows", 4, 3, k, c), _scratch("u", 4, 4, k, c)
    _halves(taps, rows)
    _halves(rows.transpose(0, 1), u.transpose(0, 1))
    return u.view(16, k, c)


def _halves(values: Tensor, out: Tensor) -> None:
    """Of a, b, c: a, (a + b + c) / 2, (a - b + c) / 2, c."""
    a, b, c = values
    out[0], out[3] = a, c
    torch.lerp(a, c, 0.5, out=out[1])
    torch.sub(out[1], b, alpha=0.5, out=out[2])
    out[1].add_(b, alpha=0.5)


def _from_transformed_weights(u: Tensor, weight: Tensor) -> Tensor:
    """The transposed map of `_transformed_weights`, in the memory format of the weights."""
    k, c = weight.shape[:2]
    rows, taps = _scratch("weight_rows", 4, 3, k, c), _scratch("taps", 3, 3, k, c)
    _from_halves(u.view(4, 4, k, c).transpose(0, 1), rows.transpose(0, 1))
    _from_halves(rows, taps)
    return taps.permute(2, 3, 0, 1).clone(memory_format=memory_format_of(weight))


def _from_halves(values: Tensor, out: Tensor) -> None:
    a, b, c, d = values
    torch.lerp(b, c, 0.5, out=out[1])
    torch.add(a, out[1], out=out[0])
    torch.add(d, out[1], out=out[2])
    out[1].sub_(c)


def _transformed_inputs(x: Tensor) -> Tensor:
    """``B' x B`` of each 4x4 tile: [b, 2h + 2, 2w + 2, C] → [16, b * h * w, C], in scratch memory."""
    b, c = len(x), x.shape[-1]
    h, w = x.shape[1] // 2 - 1, x.shape[2] // 2 - 1
    rows, tiles = _scratch("rows", 4, b, h, 2 * w + 2, c), _scratch("v", 4, 4, b, h, w, c)
    _differences([x[:, i : i + 2 * h : 2] for i in range(4)], rows)
    _differences([rows[:, :, :, i : i + 2 * w : 2] for i in range(4)], tiles.transpose(0, 1))
    return tiles.view(16, b * h * w, c)


def _differences(values: list[Tensor], out: Tensor) -> None:
    a, b, c, d = values
    torch.sub(a, c, out=out[0])
    torch.add(b, c, out=out[1])
    torch.sub(c, b, out=out[2])
    torch.sub(b, d, out=out[3])


def _add_input_gradients(v: Tensor, x: Tensor) -> None:
    """Add the transposed map of `_transformed_inputs` to x [b, 2h + 2, 2w + 2, C]."""
    b, c = len(x), x.shape[-1]
    h, w = x.shape[1] // 2 - 1, x.shape[2] // 2 - 1
    rows = _scratch("rows", 4, b, h, 2 * w + 2, c).zero_()
    _add_differences(v.view(4, 4, b, h, w, c).transpose(0, 1), [rows[:, :, :, i : i + 2 * w : 2] for i in range(4)])
    _add_differences(rows, [x[:, i : i + 2 * h : 2] for i in range(4)])


def _add_differences(values: Tensor, out: list[Tensor]) -> None:
    (first, second, third, fourth), (a, b, c, d) = values, out
    a += first
    b += second
    b -= third
    b += fourth
    c += second
    c += third
    c -= first
    d -= fourth


def _outputs(m: Tensor, y: Tensor) -> None:
    """``A' m A`` of each tile: [16, b * h * w, K] into y [b, 2h, 2w, K]."""
    b, h, w, k = len(y), y.shape[1] // 2, y.shape[2] // 2, y.shape[3]
    tiles, rows = m.view(4, 4, b, h, w, k), _scratch("rows", 2, 4, b, h, w, k)
    torch.add(tiles[0], tiles[1], out=rows[0]).add_(tiles[2])
    torch.sub(tiles[1], tiles[2], out=rows[1]).sub_(tiles[3])
    for i in range(2):
        left, right = (y[:, i::2, j::2] for j in range(2))
        torch.add(rows[i, 0], rows[i, 1], out=left).add_(rows[i, 2])
        torch.sub(rows[i, 1], rows[i, 2], out=right).sub_(rows[i, 3])


def _transformed_gradients(g: Tensor) -> Tensor:
    """The transposed map of `_outputs`: [b, 2h, 2w, K] → [16, b * h * w, K], in scratch memory."""
    b, h, w, k = len(g), g.shape[1] // 2, g.shape[2] // 2, g.shape[3]
    rows, tiles = _scratch("rows", 4, b, h, 2 * w, k), _scratch("m", 4, 4, b, h, w, k)
    _sums(g[:, 0::2], g[:, 1::2], rows)
    _sums(rows[:, :, :, 0::2], rows[:, :, :, 1::2], tiles.transpose(0, 1))
    return tiles.view(16, b * h * w, k)


def _sums(first: Tensor, second: Tensor, out: Tensor) -> None:
    out[0] = first
    torch.add(first, second, out=out[1])
    torch.sub(first, second, out=out[2])
    torch.neg(second, out=out[3])
