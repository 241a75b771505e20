"""A landmark network of random weights in the form of insightface's 1k3d68, as an ONNX file."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save_model


def write_network(path, outputs=3309, size=192, prefix=""):
    """Random weights with the input and output of 1k3d68; with `prefix`, it subtracts and multiplies first."""
    draw = np.random.default_rng(0)
    weights = {
        "w": draw.normal(size=(6, 3, 7, 7)) / 12, "scale": draw.random(6) + 0.5, "shift": draw.normal(size=6),
        "mean": draw.normal(size=6), "var": draw.random(6) + 0.5, "slope": draw.random((6, 1, 1)),
        "full": draw.normal(size=(outputs, 6 * 12 * 12)) / 15, "bias": draw.normal(size=outputs), "half": 127.5,
        "unit": 1 / 128,
    }  # fmt: skip
    nodes = [
        ("Conv", ["image", "w"], "a", {"strides": [8, 8], "pads": [3, 3, 3, 3]}),
        ("BatchNormalization", ["a", "scale", "shift", "mean", "var"], "b", {}),
        ("PRelu", ["b", "slope"], "c", {}), ("MaxPool", ["c"], "d", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Flatten", ["d"], "e", {}), ("Gemm", ["e", "full", "bias"], "y", {"transB": 1}),
    ]  # fmt: skip
    if prefix:
        nodes = [("Sub", ["x", "half"], "m", {}), ("Mul", ["m", "unit"], "image", {}), *nodes]
    else:
        nodes[0] = ("Conv", ["x", "w"], "a", nodes[0][3])
    made = [helper.make_node(op, i, [o], name=f"{op}_{n}", **a) for n, (op, i, o, a) in enumerate(nodes)]
    used = {name for _, inputs, _, _ in nodes for name in inputs}
    graph = helper.make_graph(
        made,
        "random",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (None, 3, size, size))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (None, outputs))],
        [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in weights.items() if k in used],
    )
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path
