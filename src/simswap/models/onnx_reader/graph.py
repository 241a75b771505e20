"""An ONNX file of a feed-forward image network → a frozen, differentiable torch module.

Face recognizers are distributed as ONNX files for inference runtimes, which compute no gradient, but the identity loss
needs the gradient with respect to the image. Files in insightface's form and of torch's exporters are supported.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import helper, inliner, numpy_helper
from torch import Tensor, nn

from simswap.errors import InputError
from simswap.models.onnx_reader import arithmetic as onnx_arithmetic
from simswap.models.onnx_reader import elementwise as onnx_elementwise
from simswap.models.onnx_reader import reductions as onnx_reductions
from simswap.models.onnx_reader import shapes as onnx_shapes
from simswap.models.onnx_reader.node import Built, Node
from simswap.stand_ins import refuse_stand_in

BUILDERS: dict[str, Callable[[Node], Built | list[Built]]] = {
    **onnx_arithmetic.BUILDERS, **onnx_elementwise.BUILDERS, **onnx_reductions.BUILDERS, **onnx_shapes.BUILDERS
}  # fmt: skip

# (function, slots that it reads, slot that it writes, slots that no later step reads)
Step = tuple[Callable[..., Tensor], tuple[int, ...], int, tuple[int, ...]]


class OnnxGraph(nn.Module):
    """The network of an ONNX file as a list of torch calls, one per node; weights are frozen parameters.

    Float weights of any type become float32, and follow `.double()` and `.to(device)`. Nodes that do not depend on the
    image are computed once, at construction. A fixed batch of one from the export (a Reshape to [1, ...]) does not
    limit the batch.

    Args:
        path: The .onnx file; external weights beside it are read too.

    Attributes:
        input_shape: The sizes of the input as the file gives them, None where open.

    Raises:
        InputError: The file is missing or unreadable, does not have exactly one float input and one output, or uses an
            operator that is not supported, or not in this way; the message names the operator and its node.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        model = read_onnx(path)
        self._file = str(path)
        constants = {w.name: _as_tensor(numpy_helper.to_array(w)) for w in model.graph.initializer}
        name, self.input_shape = _only_input(model, self._file)
        output = _only_output(model, self._file)
        calls = self._build(model, constants)
        self._steps = self._allot(calls, constants, name, output)

    def _build(
        self, model: onnx.ModelProto, constants: dict[str, Tensor]
    ) -> list[tuple[Callable[..., Tensor], list[str], str]]:
        """The torch calls in the file's order; results that need no image are added to `constants` instead."""
        opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
        calls: list[tuple[Callable[..., Tensor], list[str], str]] = []
        side_outputs: set[str] = set()
        nodes = list(model.graph.node)
        unknown = [n for n in nodes if n.domain not in ("", "ai.onnx") or n.op_type not in {*BUILDERS, "Constant"}]
        if unknown:
            more = sorted({n.op_type for n in unknown[1:]} - {unknown[0].op_type})
            raise InputError(
                f"{self._file}: operator {unknown[0].op_type} of node {unknown[0].name!r} is not supported"
                + (f" (nor are {', '.join(more)})" if more else "")
            )
        for proto in nodes:
            attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
            node = Node(
                self._file,
                proto.op_type,
                proto.name,
                opset,
                attributes,
                list(proto.input),
                constants,
                len(proto.output),
            )
            if proto.op_type == "Constant":
                constants[proto.output[0]] = _constant(node)
                continue
            if side_outputs.intersection(proto.input):
                node.refuse("reads a second output of another node, which is not supported")
            built = BUILDERS[proto.op_type](node)
            made = built if isinstance(built, list) else [built]
            for (function, taken), result in zip(made, proto.output, strict=False):
                inputs = node.inputs[:taken]
                if all(i in constants or not i for i in inputs):
                    constants[result] = function(*(constants[i] if i else None for i in inputs))
                else:
                    calls.append((function, inputs, result))
            side_outputs.update(name for name in proto.output[len(made) :] if name)
        return calls

    def _allot(
        self,
        calls: list[tuple[Callable[..., Tensor], list[str], str]],
        constants: dict[str, Tensor],
        image: str,
        output: str,
    ) -> list[Step]:
        """Assign every value a slot, and return the steps.

        Weights come first, then integers, which determine shapes and stay on the CPU, then the image and what is
        computed from it.
        """
        used = {name for _, inputs, _ in calls for name in inputs if name in constants}
        weights = [name for name in constants if name in used and constants[name].is_floating_point()]
        for i, name in enumerate(weights):
            self.register_parameter(f"weight_{i}", nn.Parameter(constants[name].clone(), requires_grad=False))
        steering = [name for name in constants if name in used and not constants[name].is_floating_point()]
        self._steering: list[Tensor | None] = [None, *(constants[name] for name in steering)]
        slots = {name: i for i, name in enumerate([*weights, "", *steering, image])}
        kept = len(slots) - 1
        last_reader = {name: i for i, (_, inputs, _) in enumerate(calls) for name in inputs}
        steps: list[Step] = []
        for i, (function, inputs, result) in enumerate(calls):
            missing = next((name for name in inputs if name not in slots), None)
            if missing is not None:
                raise InputError(
                    f"{self._file}: no node before node {i} computes its input {missing!r}; the file is damaged"
                )
            slots[result] = len(slots)
            spent = {slots[n] for n in inputs if last_reader[n] == i and n != output and slots[n] >= kept}
            steps.append((function, tuple(slots[n] for n in inputs), slots[result], tuple(spent)))
        if output not in slots:
            raise InputError(f"{self._file}: output {output!r} does not depend on the image")
        self._image_slot, self._output_slot, self._slot_count = kept, slots[output], len(slots)
        return steps

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] in the file's own range → its output, differentiable with respect to the images."""
        slots: list[Tensor | None] = [*self._parameters.values(), *self._steering]
        slots += [None] * (self._slot_count - len(slots))
        slots[self._image_slot] = images
        for function, inputs, result, spent in self._steps:
            made = function(*[slots[i] for i in inputs])
            if made.is_floating_point() and made.device != images.device:  # computed from shapes, which are on the CPU
                made = made.to(images.device)
            slots[result] = made
            for i in spent:  # without a gradient, this frees layers that are no longer needed
                slots[i] = None
        value = slots[self._output_slot]
        assert value is not None
        return value


def read_onnx(path: str | Path, weights: bool = True) -> onnx.ModelProto:
    """Parse an ONNX file.

    Args:
        path: The file.
        weights: Whether to read external weights beside it.

    Raises:
        InputError: The file is missing or unreadable.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; give an ONNX network")
    refuse_stand_in(Path(path), "an ONNX network", "onnx")
    try:
        model = onnx.load(str(path), load_external_data=weights)
        # Some versions of torch's exporter write their composite operators as functions.
        return inliner.inline_local_functions(model) if weights and model.functions else model
    except Exception as error:
        # protobuf, onnx and the file system raise different errors for a damaged file or missing external weights.
        _refuse_weights_beside(Path(path))
        raise InputError(f"{path}: cannot be read as an ONNX network ({str(error).splitlines()[0]})") from error


def _refuse_weights_beside(path: Path) -> None:
    """Raise InputError if a file of external weights exists, but is recognizably something else."""
    try:
        tensors = onnx.load(str(path), load_external_data=False).graph.initializer
    except Exception:  # the network itself is unreadable, and the caller reports that
        return
    places = {entry.value for tensor in tensors for entry in tensor.external_data if entry.key == "location"}
    for place in sorted(places):
        refuse_stand_in(path.parent / place, f"the weights of {path.name}", "onnx")


def image_input(model: onnx.ModelProto) -> tuple[str, int, list[int | None]] | None:
    """Name, element type and sizes (None where open) of the only input that is not a weight; None if not one."""
    weights = {w.name for w in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in weights]
    if len(inputs) != 1:
        return None
    kind = inputs[0].type.tensor_type
    return inputs[0].name, kind.elem_type, [d.dim_value or None for d in kind.shape.dim]


def _only_input(model: onnx.ModelProto, file: str) -> tuple[str, list[int | None]]:
    found = image_input(model)
    if found is None:
        raise InputError(f"{file}: does not have exactly one input; a network that takes images only is needed")
    name, kind, shape = found
    if kind not in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE):
        type_name = onnx.TensorProto.DataType.Name(kind)
        raise InputError(f"{file}: input {name!r} has type {type_name}; a network that takes floats is needed")
    return name, shape


def _only_output(model: onnx.ModelProto, file: str) -> str:
    names = [o.name for o in model.graph.output]
    if len(names) != 1:
        raise InputError(f"{file}: has {len(names)} outputs ({', '.join(names)}); a network with one is needed")
    return names[0]


def _as_tensor(value: npt.ArrayLike) -> Tensor:
    """Integers and booleans as int64; floats of any type, bfloat16 included, as float32."""
    array = np.asarray(value)
    return torch.from_numpy(np.array(array, dtype=np.int64 if array.dtype.kind in "iub" else np.float32))


def _constant(node: Node) -> Tensor:
    for key in ("value_float", "value_floats", "value_int", "value_ints"):
        if key in node.attributes:
            return _as_tensor(node.attributes[key])
    if "value" in node.attributes:
        return _as_tensor(numpy_helper.to_array(node.attributes["value"]))
    node.refuse("holds neither numbers nor a tensor")
