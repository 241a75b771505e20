"""ONNX operators that move numbers without computing: reshaping, joining, taking apart, and chains of shapes.

Semantics: the ONNX operator specification, opset 7 and later.
"""

from collections.abc import Callable
from functools import partial

import torch
from onnx import TensorProto
from torch import Tensor

from simswap.models.onnx_node import Built, Node


def _cast(node: Node) -> Built:
    to = node.attributes["to"]
    if to in (TensorProto.INT32, TensorProto.INT64):
        return Tensor.long, 1
    # Widths of floats are not kept: the whole network runs in the width that it is asked to (float32 or float64).
    if to in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16):
        return _as_float, 1
    node.refuse(f"casts to type {TensorProto.DataType.Name(to)}, which is not supported")


def _as_float(x: Tensor) -> Tensor:
    return x if x.is_floating_point() else x.float()


def _reshape_to(x: Tensor, *, shape: list[int], batched: bool) -> Tensor:
    sizes = [x.shape[i] if size == 0 else size for i, size in enumerate(shape)]
    return x.reshape(x.shape[0], *sizes[1:]) if batched else x.reshape(sizes)


def _reshape_by(x: Tensor, shape: Tensor) -> Tensor:
    return _reshape_to(x, shape=shape.tolist(), batched=False)


def _reshape(node: Node) -> Built:
    if node.attributes.get("allowzero", 0):
        node.refuse("has allowzero set, which is not supported")
    shape = node.constant(1)
    if shape is None:
        return _reshape_by, 2
    sizes = [int(size) for size in shape]
    # A leading 1 in front of data that depends on the image is the batch of one that the network was exported with.
    batched = bool(sizes) and sizes[0] == 1 and node.constant(0) is None
    return partial(_reshape_to, shape=sizes, batched=batched), 1


def _flatten_at(x: Tensor, *, axis: int) -> Tensor:
    axis = axis + x.dim() if axis < 0 else axis
    return x.reshape(x.shape[:axis].numel(), -1)


def _reversed_axes(x: Tensor) -> Tensor:
    return x.permute(*range(x.dim() - 1, -1, -1))


def _transpose(node: Node) -> Built:
    order = node.attributes.get("perm")
    return (partial(torch.permute, dims=list(order)) if order else _reversed_axes), 1


def _squeeze_axes(x: Tensor, *, axes: list[int]) -> Tensor:
    return x.squeeze(tuple(axes))


def _squeeze(node: Node) -> Built:
    axes = node.setting("axes", 1)
    if axes is None:
        node.refuse("names no axes, so that a batch of one would lose its batch axis; export it with axes")
    return partial(_squeeze_axes, axes=axes), 1


def _unsqueeze_axes(x: Tensor, *, axes: list[int]) -> Tensor:
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _unsqueeze(node: Node) -> Built:
    axes = node.setting("axes", 1)
    if not axes:
        node.refuse("names no axes")
    return partial(_unsqueeze_axes, axes=axes), 1


def _concat_at(*parts: Tensor, axis: int) -> Tensor:
    return torch.cat(parts, axis)


def _shape_of(x: Tensor, *, start: int, end: int | None) -> Tensor:
    return torch.tensor(x.shape[start:end], dtype=torch.int64)


def _gather_at(x: Tensor, index: Tensor, *, axis: int) -> Tensor:
    axis = axis % x.dim()
    index = index.to(x.device)
    index = torch.where(index < 0, index + x.shape[axis], index)
    taken = x.index_select(axis, index.flatten())
    return taken.reshape(x.shape[:axis] + index.shape + x.shape[axis + 1 :])


def _slice_of(x: Tensor, *, cuts: dict[int, slice]) -> Tensor:
    cuts = {axis % x.dim(): cut for axis, cut in cuts.items()}
    return x[tuple(cuts.get(axis, slice(None)) for axis in range(x.dim()))]


def _slice(node: Node) -> Built:
    starts, ends = node.setting("starts", 1) or [], node.setting("ends", 2) or []
    axes, steps = node.setting("axes", 3), node.setting("steps", 4)
    if steps and min(steps) < 1:
        node.refuse(f"goes backwards (steps {steps}), which is not supported")
    cuts = zip(starts, ends, steps or [1] * len(starts), strict=True)
    return partial(_slice_of, cuts=dict(zip(axes or range(len(starts)), (slice(*cut) for cut in cuts), strict=True))), 1


BUILDERS: dict[str, Callable[[Node], Built]] = {
    "Cast": _cast,
    "Concat": lambda node: (partial(_concat_at, axis=node.attributes["axis"]), len(node.inputs)),
    "Flatten": lambda node: (partial(_flatten_at, axis=node.attributes.get("axis", 1)), 1),
    "Gather": lambda node: (partial(_gather_at, axis=node.attributes.get("axis", 0)), 2),
    "Reshape": _reshape,
    "Shape": lambda node: (
        partial(_shape_of, start=node.attributes.get("start", 0), end=node.attributes.get("end")),
        1,
    ),
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
