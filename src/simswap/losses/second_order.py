"""Layers whose gradient with respect to the input can itself be differentiated fast, for the gradient penalty.

Torch's own second derivatives are right and slow. A convolution's becomes one with a kernel as large as the picture,
and LeakyReLU's sends a gradient of zeros back through all earlier layers. Here a convolution's second derivative is one
convolution and one ordinary weight gradient, and LeakyReLU passes nothing back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_inputs_only = False


@contextmanager
def input_gradient() -> Iterator[None]:
    """Within this block, a backward pass through `twice_differentiable` leaves out the gradients of the weights.

    Torch does not tell a function of Python that only the input's gradient was asked for. For one thread at a time.
    """
    global _inputs_only
    before, _inputs_only = _inputs_only, True
    try:
        yield
    finally:
        _inputs_only = before


def twice_differentiable(layer: nn.Module, x: Tensor) -> Tensor:
    """``layer(x)``, for a layer or an `nn.Sequential` of layers.

    Convolutions, LeakyReLU and batch norm in eval mode are computed so that the penalty's own gradient is fast; other
    layers, and all of them under autocast, are torch's.
    """
    if torch.is_autocast_enabled(x.device.type):
        return layer(x)
    if isinstance(layer, nn.Sequential):
        for part in layer:
            x = twice_differentiable(part, x)
        return x
    if type(layer) is nn.Conv2d and layer.padding_mode == "zeros" and layer.groups == 1 and layer.dilation == (1, 1):
        return _Convolution.apply(x, layer.weight, layer.bias, list(layer.stride), list(layer.padding))
    if type(layer) is nn.LeakyReLU and layer.negative_slope > 0:
        return _LeakyReLU.apply(x, layer.negative_slope)
    if isinstance(layer, nn.BatchNorm2d) and not layer.training and layer.affine and layer.running_var is not None:
        assert layer.running_mean is not None
        scale = torch.rsqrt(layer.running_var + layer.eps) * layer.weight
        shift = layer.bias - layer.running_mean * scale
        return torch.addcmul(shift[:, None, None], x, scale[:, None, None])
    return layer(x)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: list[int], padding: list[int]
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.bias, ctx.stride, ctx.padding = None if bias is None else len(bias), stride, padding
        return F.conv2d(x, weight, bias, stride, padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        (gradient,), (x, weight) = gradients, ctx.saved_tensors
        if _inputs_only:
            of_x = _InputGradient.apply(gradient, weight, x.detach(), ctx.stride, ctx.padding)
            return of_x, None, None, None, None
        bias = None if ctx.bias is None else [ctx.bias]
        wanted = [*ctx.needs_input_grad[:2], ctx.bias is not None and ctx.needs_input_grad[2]]
        return *_gradients(gradient, x, weight, bias, ctx.stride, ctx.padding, wanted), None, None


class _InputGradient(torch.autograd.Function):
    """The gradient of a convolution with respect to its input, linear in ``gradient`` and in the weights."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, weight: Tensor, x: Tensor, stride: list[int], padding: list[int]) -> Tensor:
        ctx.save_for_backward(gradient, weight)
        ctx.stride, ctx.padding = stride, padding
        return _gradients(gradient, x, weight, None, stride, padding, [True, False, False])[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        (second,), (gradient, weight) = gradients, ctx.saved_tensors
        of_gradient = of_weight = None
        if ctx.needs_input_grad[0]:
            of_gradient = F.conv2d(second, weight, None, ctx.stride, ctx.padding)
        if ctx.needs_input_grad[1]:
            of_weight = _gradients(gradient, second, weight, None, ctx.stride, ctx.padding, [False, True, False])[1]
        return of_gradient, of_weight, None, None, None


def _gradients(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: list[int] | None,
    stride: list[int],
    padding: list[int],
    wanted: list[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.ops.aten.convolution_backward(
        gradient, x, weight, bias, stride, padding, [1, 1], False, [0, 0], 1, wanted
    )


class _LeakyReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float) -> Tensor:
        y = F.leaky_relu(x, slope)
        ctx.save_for_backward(y)
        ctx.slope = slope
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        (y,) = ctx.saved_tensors
        return _LeakyGradient.apply(gradients[0], y.detach(), ctx.slope), None


class _LeakyGradient(torch.autograd.Function):
    """The gradient of LeakyReLU. It is linear; its derivative with respect to the input is 0 almost everywhere."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, y: Tensor, slope: float) -> Tensor:
        ctx.save_for_backward(y)
        ctx.slope = slope
        return torch.ops.aten.leaky_relu_backward(gradient, y, slope, True)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        (y,) = ctx.saved_tensors
        return _LeakyGradient.apply(gradients[0], y, ctx.slope), None, None
