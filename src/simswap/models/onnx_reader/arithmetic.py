"""ONNX operators over windows and channels: convolution, pooling, batch norm, matrix products.

Semantics: the ONNX operator specification, opset 7 and later.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from simswap.models.onnx_reader.node import Built, Node

# --- convolution and pooling ------------------------------------------------------------------------------------


def _window(node: Node, kernel: list[int]) -> tuple[list[int], list[int], list[int]]:
    """Stride, dilation and pads (top, left, bottom, right) of a 2-D window."""
    if len(kernel) != 2:
        node.refuse(f"works on {len(kernel)} spatial axes; only images (2) are supported")
    auto = node.attributes.get("auto_pad", b"NOTSET").decode()
    if auto not in ("NOTSET", "VALID"):
        node.refuse(f"has auto_pad={auto}, which is not supported; export it with explicit pads")
    pads = list(node.attributes.get("pads", [0, 0, 0, 0])) if auto == "NOTSET" else [0, 0, 0, 0]
    return list(node.attributes.get("strides", [1, 1])), list(node.attributes.get("dilations", [1, 1])), pads


def _symmetric(pads: list[int]) -> bool:
    return pads[:2] == pads[2:]


def _pad(x: Tensor, pads: list[int], value: float) -> Tensor:
    return F.pad(x, (pads[1], pads[3], pads[0], pads[2]), value=value)


def _conv_padded(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, pads: list[int], **window: Any) -> Tensor:
    return F.conv2d(_pad(x, pads, 0.0), weight, bias, **window)


def _conv(node: Node) -> Built:
    weight = node.constant(1)
    if weight is None:
        node.refuse("has computed weights, which is not supported")
    stride, dilation, pads = _window(node, list(weight.shape[2:]))
    window: dict[str, Any] = {"stride": stride, "dilation": dilation, "groups": node.attributes.get("group", 1)}
    if _symmetric(pads):
        return partial(F.conv2d, padding=pads[:2], **window), 3
    return partial(_conv_padded, pads=pads, **window), 3


def _max_padded(x: Tensor, *, pads: list[int], **window: Any) -> Tensor:
    return F.max_pool2d(_pad(x, pads, float("-inf")), **window)


def _max_pool(node: Node) -> Built:
    kernel = list(node.attributes["kernel_shape"])
    stride, dilation, pads = _window(node, kernel)
    ceil = bool(node.attributes.get("ceil_mode", 0))
    if ceil and any(pads):
        node.refuse("has ceil_mode together with pads, which is not supported")
    window: dict[str, Any] = {"kernel_size": kernel, "stride": stride, "dilation": dilation, "ceil_mode": ceil}
    return partial(_max_padded, pads=pads, **window) if any(pads) else partial(F.max_pool2d, **window), 1


def _average_padded(x: Tensor, *, pads: list[int], **window: Any) -> Tensor:
    return F.avg_pool2d(_pad(x, pads, 0.0), **window)


def _average_pool(node: Node) -> Built:
    kernel = list(node.attributes["kernel_shape"])
    stride, dilation, pads = _window(node, kernel)
    counted = bool(node.attributes.get("count_include_pad", 0))
    ceil = bool(node.attributes.get("ceil_mode", 0))
    if dilation != [1, 1]:
        node.refuse(f"has dilations {dilation}, which is not supported")
    if ceil and any(pads):
        node.refuse("has ceil_mode together with pads, which is not supported")
    if counted and any(pads):
        return partial(_average_padded, pads=pads, kernel_size=kernel, stride=stride), 1
    if not _symmetric(pads):
        node.refuse(f"has uncounted pads {pads} that differ between sides, which is not supported")
    window: dict[str, Any] = {"stride": stride, "padding": pads[:2], "ceil_mode": ceil, "count_include_pad": False}
    return partial(F.avg_pool2d, kernel_size=kernel, **window), 1


def _norm(x: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor, *, eps: float) -> Tensor:
    return F.batch_norm(x, mean, variance, scale, shift, False, 0.0, eps)


def _batch_norm(node: Node) -> Built:
    if node.attributes.get("training_mode", 0):
        node.refuse("is in training mode; export the network in eval mode")
    return partial(_norm, eps=node.attributes.get("epsilon", 1e-5)), 5


# --- products -------------------------------------------------------------------------------------------------


def _gemm_of(a: Tensor, b: Tensor, c: Tensor | None = None, *, alpha: float, beta: float, ta: bool, tb: bool) -> Tensor:
    a, b = a.t() if ta else a, b.t() if tb else b
    product = a @ b if alpha == 1.0 else alpha * (a @ b)
    if c is None:
        return product
    return product + (c if beta == 1.0 else beta * c)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.linear(x, weight, bias)


def _gemm(node: Node) -> Built:
    alpha, beta = node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0)
    ta, tb = bool(node.attributes.get("transA", 0)), bool(node.attributes.get("transB", 0))
    bias = node.constant(2)
    if alpha == beta == 1.0 and tb and not ta and (len(node.inputs) < 3 or (bias is not None and bias.dim() == 1)):
        return _linear, 3
    return partial(_gemm_of, alpha=alpha, beta=beta, ta=ta, tb=tb), 3


def _einsum(node: Node) -> Built:
    return partial(torch.einsum, node.attributes["equation"].decode()), len(node.inputs)


BUILDERS: dict[str, Callable[[Node], Built]] = {
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Conv": _conv,
    "Einsum": _einsum,
    "Gemm": _gemm,
    "MatMul": lambda node: (torch.matmul, 2),
    "MaxPool": _max_pool,
}
