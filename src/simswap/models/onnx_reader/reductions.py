"""ONNX operators that reduce axes to a mean, a sum, a norm and the like, and those that normalize by one.

Semantics: the ONNX operator specification, opset 7 and later.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from simswap.models.onnx_reader.elementwise import same
from simswap.models.onnx_reader.node import Built, Node

# (x, axes, keep) → x reduced over the axes; keep: they stay with length one
Reduce = Callable[[Tensor, list[int], bool], Tensor]


def _mean(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return x.mean(axes, keepdim=keep)


def _sum(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return x.sum(axes, keepdim=keep)


def _most(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return x.amax(axes, keepdim=keep)


def _least(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return x.amin(axes, keepdim=keep)


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def _length(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return torch.linalg.vector_norm(x, 2, axes, keepdim=keep)


def _sum_of_sizes(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return x.abs().sum(axes, keepdim=keep)


def _sum_of_squares(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return x.square().sum(axes, keepdim=keep)


def _log_sum_exp(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return x.logsumexp(axes, keepdim=keep)


def _log_sum(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return x.sum(axes, keepdim=keep).log()


def _reduced(x: Tensor, *, reduce: Reduce, axes: list[int] | None, keep: bool) -> Tensor:
    return reduce(x, list(range(x.dim())) if axes is None else axes, keep)


def _reduction(reduce: Reduce) -> Callable[[Node], Built]:
    """The builder of a reduction; its axes are an attribute or, since opset 18 (ReduceSum: 13), an input."""

    def build(node: Node) -> Built:
        axes = node.setting("axes", 1)
        if not axes and node.attributes.get("noop_with_empty_axes", 0):
            if reduce not in (_mean, _sum, _most, _least, _product):
                node.refuse("has noop_with_empty_axes and no axes, which is not supported")
            return same, 1
        keep = bool(node.attributes.get("keepdims", 1))
        return partial(_reduced, reduce=reduce, axes=axes or None, keep=keep), 1

    return build


def _over_images(x: Tensor, *, reduce: Reduce) -> Tensor:
    return reduce(x, list(range(2, x.dim())), True)


def _along(x: Tensor, *, axis: int, of: Callable[..., Tensor], flat: bool) -> Tensor:
    if not flat:
        return of(x, dim=axis)
    axis = axis % x.dim()  # before opset 13, this axis and all later ones count as one
    return of(x.reshape(x.shape[:axis].numel(), -1), dim=1).reshape(x.shape)


def _softmax(of: Callable[..., Tensor]) -> Callable[[Node], Built]:
    def build(node: Node) -> Built:
        old = node.opset < 13
        return partial(_along, axis=node.attributes.get("axis", 1 if old else -1), of=of, flat=old), 1

    return build


def _of_length_one(x: Tensor, *, axis: int, p: int) -> Tensor:
    length = torch.linalg.vector_norm(x, p, axis, keepdim=True)
    return x / torch.where(length == 0, torch.ones_like(length), length)


def _lp_normalization(node: Node) -> Built:
    return partial(_of_length_one, axis=node.attributes.get("axis", -1), p=node.attributes.get("p", 2)), 1


def _layer_norm(x: Tensor, scale: Tensor, shift: Tensor | None = None, *, axis: int, eps: float) -> Tensor:
    normal = F.layer_norm(x, x.shape[axis % x.dim() :], eps=eps) * scale
    return normal if shift is None else normal + shift


def _layer_normalization(node: Node) -> Built:
    axis, eps = node.attributes.get("axis", -1), node.attributes.get("epsilon", 1e-5)
    return partial(_layer_norm, axis=axis, eps=eps), 3


def _rms_norm(x: Tensor, scale: Tensor, *, axis: int, eps: float) -> Tensor:
    axes = list(range(axis % x.dim(), x.dim()))
    return x * torch.rsqrt(x.square().mean(axes, keepdim=True) + eps) * scale


def _rms_normalization(node: Node) -> Built:
    axis, eps = node.attributes.get("axis", -1), node.attributes.get("epsilon", 1e-5)
    return partial(_rms_norm, axis=axis, eps=eps), 2


def _instance_norm(x: Tensor, scale: Tensor, shift: Tensor, *, eps: float) -> Tensor:
    return F.instance_norm(x, weight=scale, bias=shift, eps=eps)


def _group_norm(x: Tensor, scale: Tensor, shift: Tensor, *, groups: int, eps: float) -> Tensor:
    def by_channel(values: Tensor) -> Tensor:  # one value per group in opset 18, per channel in 21
        return values.repeat_interleave(x.shape[1] // len(values))

    return F.group_norm(x, groups, by_channel(scale), by_channel(shift), eps)


def _group_normalization(node: Node) -> Built:
    return partial(_group_norm, groups=node.attributes["num_groups"], eps=node.attributes.get("epsilon", 1e-5)), 3


BUILDERS: dict[str, Callable[[Node], Built]] = {
    "GlobalAveragePool": lambda node: (partial(_over_images, reduce=_mean), 1),
    "GlobalMaxPool": lambda node: (partial(_over_images, reduce=_most), 1),
    "GroupNormalization": _group_normalization,
    "InstanceNormalization": lambda node: (partial(_instance_norm, eps=node.attributes.get("epsilon", 1e-5)), 3),
    "LayerNormalization": _layer_normalization,
    "LogSoftmax": _softmax(torch.log_softmax),
    "LpNormalization": _lp_normalization,
    "RMSNormalization": _rms_normalization,
    "ReduceL1": _reduction(_sum_of_sizes),
    "ReduceL2": _reduction(_length),
    "ReduceLogSum": _reduction(_log_sum),
    "ReduceLogSumExp": _reduction(_log_sum_exp),
    "ReduceMax": _reduction(_most),
    "ReduceMean": _reduction(_mean),
    "ReduceMin": _reduction(_least),
    "ReduceProd": _reduction(_product),
    "ReduceSum": _reduction(_sum),
    "ReduceSumSquare": _reduction(_sum_of_squares),
    "Softmax": _softmax(torch.softmax),
}
