"""ONNX operators that move values without arithmetic: reshaping, joining, splitting, and arithmetic on shapes.

Semantics: the ONNX operator specification, opset 7 and later.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from onnx import TensorProto, numpy_helper
from torch import Tensor

from simswap.models.onnx_reader.node import Built, Node

_WHOLE = (TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64, TensorProto.UINT8,
          TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64)  # fmt: skip


def _cast(node: Node) -> Built:
    to = node.attributes["to"]
    if to in _WHOLE:
        return Tensor.long, 1
    # Casts between float types are dropped: the whole network runs in one type (float32 or float64).
    if to in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16):
        return _as_float, 1
    if to == TensorProto.BOOL:
        return Tensor.bool, 1
    node.refuse(f"casts to type {TensorProto.DataType.Name(to)}, which is not supported")


def _as_float(x: Tensor) -> Tensor:
    return x if x.is_floating_point() else x.float()


def _cast_like(x: Tensor, like: Tensor) -> Tensor:
    if like.is_floating_point():
        return _as_float(x)
    return x.bool() if like.dtype == torch.bool else x.long()


def _reshape_to(x: Tensor, *, shape: list[int], batched: bool) -> Tensor:
    sizes = [x.shape[i] if size == 0 else size for i, size in enumerate(shape)]
    if batched:  # the first axis takes what is left; if another size is open, it keeps the incoming batch
        return x.reshape(x.shape[0] if -1 in sizes else -1, *sizes[1:])
    return x.reshape(sizes)


def _reshape_by(x: Tensor, shape: Tensor, *, zero_is_size: bool = False) -> Tensor:
    return x.reshape(shape.tolist()) if zero_is_size else _reshape_to(x, shape=shape.tolist(), batched=False)


def _reshape(node: Node) -> Built:
    zero_is_size = bool(node.attributes.get("allowzero", 0))
    shape = node.constant(1)
    if shape is None:
        return partial(_reshape_by, zero_is_size=zero_is_size), 2
    sizes = [int(size) for size in shape]
    if zero_is_size and 0 in sizes:
        node.refuse(f"has allowzero set and makes an empty tensor {sizes}, which is not supported")
    # A leading 1 for data that depends on the image is the batch of one that the network was exported with.
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
        node.refuse("names no axes, so a batch of one would lose its batch axis; export it with axes")
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
    if axis % max(parts[0].dim(), 1):  # a constant part may have the batch of one of the export
        batch = max(part.shape[0] for part in parts)
        parts = tuple(p.expand(batch, *p.shape[1:]) if p.shape[0] == 1 else p for p in parts)
    return torch.cat(parts, axis)


def _shape_of(x: Tensor, *, start: int, end: int | None) -> Tensor:
    return torch.tensor(x.shape[start:end], dtype=torch.int64)


def _shape(node: Node) -> Built:
    return partial(_shape_of, start=node.attributes.get("start", 0), end=node.attributes.get("end")), 1


def _size_of(x: Tensor) -> Tensor:
    return torch.tensor(x.numel(), dtype=torch.int64)


def _gather_at(x: Tensor, index: Tensor, *, axis: int) -> Tensor:
    axis = axis % x.dim()
    index = index.to(x.device)
    index = torch.where(index < 0, index + x.shape[axis], index)
    taken = x.index_select(axis, index.flatten())
    return taken.reshape(x.shape[:axis] + index.shape + x.shape[axis + 1 :])


# --- parts of a tensor ------------------------------------------------------------------------------------------


def _cut(x: Tensor, *, cuts: dict[int, tuple[int, int, int]]) -> Tensor:
    """Slice x; cuts: axis → start, end and step, as in Python's slices."""
    for axis, cut in cuts.items():
        start, end, step = slice(*cut).indices(x.shape[axis])
        if step == 1:
            x = x.narrow(axis, start, max(0, end - start))
        else:  # torch's own slices cannot have negative steps
            x = x.index_select(
                axis,
                torch.arange(start, end, step, device=x.device)
                if (end - start) * step > 0
                else torch.zeros(0, dtype=torch.int64, device=x.device),
            )
    return x


def _cuts(
    starts: list[int], ends: list[int], axes: list[int] | None, steps: list[int] | None
) -> dict[int, tuple[int, int, int]]:
    # An end beyond any size, such as the largest or smallest 64-bit integer, means "to the end".
    limits = zip(starts, ends, steps or [1] * len(starts), strict=True)
    return dict(zip(axes or range(len(starts)), limits, strict=True))


def _cut_by(x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None) -> Tensor:
    given = [None if value is None else value.flatten().tolist() for value in (axes, steps)]
    return _cut(x, cuts=_cuts(starts.flatten().tolist(), ends.flatten().tolist(), *given))


def _slice(node: Node) -> Built:
    if "starts" not in node.attributes and any(
        node.inputs[i] and node.constant(i) is None for i in range(1, len(node.inputs))
    ):
        return _cut_by, len(node.inputs)
    starts, ends = node.setting("starts", 1) or [], node.setting("ends", 2) or []
    steps = node.setting("steps", 4)
    if steps and 0 in steps:
        node.refuse(f"has steps {steps}")
    return partial(_cut, cuts=_cuts(starts, ends, node.setting("axes", 3), steps)), 1


def _part(x: Tensor, *, axis: int, sizes: list[int] | None, count: int, index: int) -> Tensor:
    if sizes is None:  # equal parts; the last may be smaller
        size = -(-x.shape[axis] // count)
        sizes = [size] * (count - 1) + [x.shape[axis] - size * (count - 1)]
    return x.narrow(axis, sum(sizes[:index]), sizes[index])


def _split(node: Node) -> list[Built]:
    axis, sizes = node.attributes.get("axis", 0), node.setting("split", 1)
    return [
        (partial(_part, axis=axis, sizes=sizes, count=node.outputs, index=index), 1) for index in range(node.outputs)
    ]


# --- larger tensors ---------------------------------------------------------------------------------------------


def _expand_to(x: Tensor, shape: Tensor) -> Tensor:
    # ONNX broadcasts in both directions, so a batch of one from the export does not limit the batch.
    return x.expand(torch.broadcast_shapes(x.shape, shape.tolist()))


def _tile(x: Tensor, times: Tensor) -> Tensor:
    return x.repeat(times.tolist())


def _filled(shape: Tensor, *, value: Tensor) -> Tensor:
    return value.reshape(()).expand(shape.tolist()).clone()


def _constant_of_shape(node: Node) -> Built:
    given = node.attributes.get("value")
    value = torch.zeros(()) if given is None else torch.from_numpy(numpy_helper.to_array(given).copy())
    return partial(_filled, value=value.float() if value.is_floating_point() else value.long()), 1


def _range(start: Tensor, limit: Tensor, step: Tensor) -> Tensor:
    return torch.arange(start.item(), limit.item(), step.item())


_PADDED: dict[str, Callable[[Tensor, int], Tensor]] = {
    "edge": lambda at, size: at.clamp(0, size - 1),
    "reflect": lambda at, size: (size - 1) - ((at % max(2 * size - 2, 1)) - (size - 1)).abs(),
    "wrap": lambda at, size: at % size,
}


def _pad_with(x: Tensor, *, pads: dict[int, tuple[int, int]], mode: str, value: float) -> Tensor:
    """Pad x; pads: axis → number of values before and after it (negative numbers crop)."""
    pads = {axis % x.dim(): around for axis, around in pads.items()}
    if mode == "constant":
        flat = [number for axis in reversed(range(x.dim())) for number in pads.get(axis, (0, 0))]
        return F.pad(x, flat, value=value)
    for axis, (before, after) in pads.items():
        places = torch.arange(-before, x.shape[axis] + after, device=x.device)
        x = x.index_select(axis, _PADDED[mode](places, x.shape[axis]))
    return x


def _pad(node: Node) -> Built:
    mode, amounts, axes = node.attributes.get("mode", b"constant").decode(), node.setting("pads", 1), node.setting(
        "axes", 3
    )  # fmt: skip
    if amounts is None or (mode != "constant" and mode not in _PADDED):
        node.refuse(f"has mode {mode} and pads {amounts}, which is not supported")
    value = node.number("value", 2) or 0.0
    half = len(amounts) // 2
    pads = dict(zip(axes or range(half), zip(amounts[:half], amounts[half:], strict=True), strict=True))
    return partial(_pad_with, pads=pads, mode=mode, value=value), 1


BUILDERS: dict[str, Callable[[Node], Built | list[Built]]] = {
    "Cast": _cast,
    "CastLike": lambda node: (_cast_like, 2),
    "Concat": lambda node: (partial(_concat_at, axis=node.attributes["axis"]), len(node.inputs)),
    "ConstantOfShape": _constant_of_shape,
    "Expand": lambda node: (_expand_to, 2),
    "Flatten": lambda node: (partial(_flatten_at, axis=node.attributes.get("axis", 1)), 1),
    "Gather": lambda node: (partial(_gather_at, axis=node.attributes.get("axis", 0)), 2),
    "Pad": _pad,
    "Range": lambda node: (_range, 3),
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": lambda node: (_size_of, 1),
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": lambda node: (_tile, 2),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
