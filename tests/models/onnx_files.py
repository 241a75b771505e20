"""Small ONNX files that the tests write."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(0)


def floats(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def whole(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def save(folder: Path, nodes: list, weights: dict, shape=("batch", 4, 9, 8), opset: int = 13, kind=TensorProto.FLOAT):
    """A model whose nodes read `x` and the weights, and whose last node makes `y`."""
    graph = helper.make_graph(
        [
            helper.make_node(op, inputs, outputs, name=f"{op}_{i}", **a)
            for i, (op, inputs, outputs, a) in enumerate(nodes)
        ],
        "graph",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    path = folder / "network.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path)
    return path
