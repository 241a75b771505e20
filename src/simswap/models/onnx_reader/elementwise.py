"""Elementwise ONNX operators: activations, arithmetic of two or more tensors, comparisons.

Semantics: the ONNX operator specification, opset 7 and later.
"""

from collections.abc import Callable
from functools import partial, reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from simswap.models.onnx_reader.node import Built, Node


def same(x: Tensor) -> Tensor:
    """The identity, for operators without effect."""
    return x


# --- activations ------------------------------------------------------------------------------------------------


def _slope_by_shape(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x >= 0, x, slope * x)


def _slope_by_channel(x: Tensor, slope: Tensor) -> Tensor:
    return F.prelu(x, slope.flatten())


def _prelu(node: Node) -> Built:
    slope = node.constant(1)
    # One slope per channel, [C, 1, 1] or [1, C, 1, 1], is torch's own PReLU; other shapes broadcast.
    shape = list(slope.shape) if slope is not None else []
    if slope is not None and (slope.numel() == 1 or (len(shape) >= 3 and shape[-3] == slope.numel())):
        return _slope_by_channel, 2
    return _slope_by_shape, 2


def _clamped(x: Tensor, *, low: float | None, high: float | None) -> Tensor:
    return torch.clamp(x, low, high).to(x.dtype)  # the limits are floats, but integers must stay integers


def _clip(node: Node) -> Built:
    low, high = node.number("min", 1), node.number("max", 2)
    if low is None and high is None:
        return same, 1
    return partial(_clamped, low=low, high=high), 1


def _hard_sigmoid(x: Tensor, *, alpha: float, beta: float) -> Tensor:
    return (alpha * x + beta).clamp(0.0, 1.0)


def _hard_swish(x: Tensor) -> Tensor:
    return x * _hard_sigmoid(x, alpha=1 / 6, beta=0.5)


def _selu(x: Tensor, *, alpha: float, gamma: float) -> Tensor:
    return gamma * F.elu(x, alpha)


def _swish(x: Tensor, *, alpha: float) -> Tensor:
    return x * torch.sigmoid(alpha * x)


def _thresholded(x: Tensor, *, alpha: float) -> Tensor:
    return torch.where(x > alpha, x, torch.zeros_like(x))


def _softsign(x: Tensor) -> Tensor:
    return x / (1 + x.abs())


def _dropout(node: Node) -> Built:
    training = node.constant(2)
    if training is None and len(node.inputs) > 2 and node.inputs[2]:
        node.refuse("may be in training mode; export the network in eval mode")
    if training is not None and bool(training):
        node.refuse("is in training mode; export the network in eval mode")
    return same, 1


def _activation(function: Callable[..., Tensor], **defaults: float) -> Callable[[Node], Built]:
    """The builder of an activation whose attributes are numbers with these defaults."""

    def build(node: Node) -> Built:
        return partial(function, **{k: node.attributes.get(k, value) for k, value in defaults.items()}), 1

    return build


def _gelu(node: Node) -> Built:
    approximate = node.attributes.get("approximate", b"none").decode()
    return partial(F.gelu, approximate=approximate), 1


def _leaky_relu(node: Node) -> Built:
    return partial(F.leaky_relu, negative_slope=node.attributes.get("alpha", 0.01)), 1


# --- two tensors and more ---------------------------------------------------------------------------------------


def _divide(a: Tensor, b: Tensor) -> Tensor:
    whole = not (a.is_floating_point() or b.is_floating_point())
    return torch.div(a, b, rounding_mode="trunc") if whole else a / b


def _power(node: Node) -> Built:
    exponent = node.constant(1)
    if exponent is not None and exponent.numel() == 1 and exponent.dim() <= 1:
        return partial(_to_power, exponent=float(exponent)), 1
    return _to_power, 2


def _to_power(x: Tensor, exponent: Tensor | float) -> Tensor:
    return torch.pow(x, exponent).to(x.dtype)


def _modulo(node: Node) -> Built:
    return (torch.fmod if node.attributes.get("fmod", 0) else torch.remainder), 2


def _all_of(*parts: Tensor, of: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    return reduce(of, parts)


def _mean_of(*parts: Tensor) -> Tensor:
    return reduce(torch.add, parts) / len(parts)


def _several(of: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Node], Built]:
    """The builder of an operator with any number of inputs."""

    def build(node: Node) -> Built:
        return partial(_all_of, of=of), len(node.inputs)

    return build


def _choose(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    device = a.device if a.device.type != "cpu" else b.device  # integers stay on the CPU
    return torch.where(condition.bool().to(device), a.to(device), b.to(device))


def _plain(function: Callable[..., Tensor], taken: int) -> Callable[[Node], Built]:
    return lambda node: (function, taken)


def _and(a: Tensor, b: Tensor) -> Tensor:
    return a.bool() & b.bool()


def _or(a: Tensor, b: Tensor) -> Tensor:
    return a.bool() | b.bool()


def _not(a: Tensor) -> Tensor:
    return ~a.bool()


_ONE: dict[str, Callable[..., Tensor]] = {
    "Abs": torch.abs, "Ceil": torch.ceil, "Cos": torch.cos, "Erf": torch.erf, "Exp": torch.exp, "Floor": torch.floor,
    "HardSwish": _hard_swish, "Identity": same, "Log": torch.log, "Mish": F.mish, "Neg": torch.neg, "Not": _not,
    "Reciprocal": torch.reciprocal, "Relu": torch.relu, "Round": torch.round, "Sigmoid": torch.sigmoid,
    "Sign": torch.sign, "Sin": torch.sin, "Softplus": F.softplus, "Softsign": _softsign, "Sqrt": torch.sqrt,
    "Tanh": torch.tanh,
}  # fmt: skip
_TWO: dict[str, Callable[..., Tensor]] = {
    "Add": torch.add, "And": _and, "Div": _divide, "Equal": torch.eq, "Greater": torch.gt, "GreaterOrEqual": torch.ge,
    "Less": torch.lt, "LessOrEqual": torch.le, "Mul": torch.mul, "Or": _or, "Sub": torch.sub,
}  # fmt: skip

BUILDERS: dict[str, Callable[[Node], Built]] = {
    **{name: _plain(function, 1) for name, function in _ONE.items()},
    **{name: _plain(function, 2) for name, function in _TWO.items()},
    "Celu": _activation(F.celu, alpha=1.0),
    "Clip": _clip,
    "Dropout": _dropout,
    "Elu": _activation(F.elu, alpha=1.0),
    "Gelu": _gelu,
    "HardSigmoid": _activation(_hard_sigmoid, alpha=0.2, beta=0.5),
    "LeakyRelu": _leaky_relu,
    "Max": _several(torch.maximum),
    "Mean": lambda node: (_mean_of, len(node.inputs)),
    "Min": _several(torch.minimum),
    "Mod": _modulo,
    "PRelu": _prelu,
    "Pow": _power,
    "Selu": _activation(_selu, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875),
    "Sum": _several(torch.add),
    "Swish": _activation(_swish, alpha=1.0),
    "ThresholdedRelu": _activation(_thresholded, alpha=1.0),
    "Where": lambda node: (_choose, 3),
}
