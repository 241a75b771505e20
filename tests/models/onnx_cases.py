"""Small ONNX files that the tests write: one network for every operator and for every form that it takes."""

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


W = {"w": floats(6, 4, 3, 3), "b": floats(6)}
NORM = {"scale": floats(4), "shift": floats(4), "mean": floats(4), "var": np.abs(floats(4)) + 0.5}
# name: (nodes, weights, opset)
CASES: dict[str, tuple[list, dict, int]] = {
    "conv": ([("Conv", ["x", "w", "b"], ["y"], {"pads": [1, 1, 1, 1], "strides": [2, 2]})], W, 13),
    "conv without bias": ([("Conv", ["x", "w"], ["y"], {})], {"w": W["w"]}, 13),
    "conv, other pads on each side": ([("Conv", ["x", "w", "b"], ["y"], {"pads": [0, 1, 2, 3]})], W, 13),
    "conv, depthwise": ([("Conv", ["x", "w"], ["y"], {"group": 4})], {"w": floats(4, 1, 3, 3)}, 13),
    "conv, groups and dilation": (
        [("Conv", ["x", "w"], ["y"], {"group": 2, "dilations": [2, 1]})],
        {"w": floats(6, 2, 3, 3)},
        13,
    ),
    "batch norm": ([("BatchNormalization", ["x", *NORM], ["y"], {"epsilon": 0.01})], NORM, 13),
    "batch norm of vectors": (
        [("Flatten", ["x"], ["f"], {}), ("BatchNormalization", ["f", "s", "s", "m", "v"], ["y"], {})],
        {"s": floats(288), "m": floats(288), "v": np.abs(floats(288))},
        13,
    ),
    "prelu by channel": ([("PRelu", ["x", "s"], ["y"], {})], {"s": floats(4, 1, 1)}, 13),
    "prelu, one slope": ([("PRelu", ["x", "s"], ["y"], {})], {"s": floats(1)}, 13),
    "prelu by column": ([("PRelu", ["x", "s"], ["y"], {})], {"s": floats(8)}, 13),
    "add": ([("Add", ["x", "w"], ["y"], {})], {"w": floats(4, 1, 1)}, 13),
    "sub": ([("Sub", ["w", "x"], ["y"], {})], {"w": floats(1, 4, 1, 1)}, 13),
    "mul by itself": ([("Mul", ["x", "x"], ["y"], {})], {}, 13),
    "div": ([("Div", ["x", "w"], ["y"], {})], {"w": np.float32(3)}, 13),
    "sqrt": ([("Mul", ["x", "x"], ["s"], {}), ("Sqrt", ["s"], ["y"], {})], {}, 13),
    "relu": ([("Relu", ["x"], ["y"], {})], {}, 13),
    "leaky relu": ([("LeakyRelu", ["x"], ["y"], {"alpha": 0.3})], {}, 13),
    "sigmoid": ([("Sigmoid", ["x"], ["y"], {})], {}, 13),
    "clip by inputs": ([("Clip", ["x", "a", "b"], ["y"], {})], {"a": np.float32(-0.5), "b": np.float32(0.7)}, 13),
    "clip from below alone": ([("Clip", ["x", "a"], ["y"], {})], {"a": np.float32(-0.5)}, 13),
    "clip from above alone": ([("Clip", ["x", "", "b"], ["y"], {})], {"b": np.float32(0.5)}, 13),
    "clip by attributes": ([("Clip", ["x"], ["y"], {"min": -0.2, "max": 0.3})], {}, 6),
    "identity and dropout": ([("Identity", ["x"], ["i"], {}), ("Dropout", ["i"], ["y", "mask"], {})], {}, 13),
    "global average": ([("GlobalAveragePool", ["x"], ["y"], {})], {}, 13),
    "average pool": (
        [("AveragePool", ["x"], ["y"], {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 0]})],
        {},
        13,
    ),
    "average pool, pad counted": (
        [("AveragePool", ["x"], ["y"], {"kernel_shape": [3, 3], "pads": [0, 1, 1, 0], "count_include_pad": 1})],
        {},
        13,
    ),
    "average pool, rounded up": (
        [("AveragePool", ["x"], ["y"], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1})],
        {},
        13,
    ),
    "max pool, other pads on each side": (
        [("MaxPool", ["x"], ["y"], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 1, 2, 0]})],
        {},
        13,
    ),
    "max pool, rounded up": (
        [("MaxPool", ["x"], ["y"], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1})],
        {},
        13,
    ),
    "gemm": (
        [("Flatten", ["x"], ["f"], {}), ("Gemm", ["f", "w", "b"], ["y"], {"transB": 1})],
        {"w": floats(5, 288), "b": floats(5)},
        13,
    ),
    "gemm, scaled": (
        [("Flatten", ["x"], ["f"], {}), ("Gemm", ["f", "w", "b"], ["y"], {"alpha": 0.5, "beta": 2.0})],
        {"w": floats(288, 5), "b": floats(1, 5)},
        13,
    ),
    "matmul": ([("MatMul", ["x", "w"], ["y"], {})], {"w": floats(8, 3)}, 13),
    "flatten at 2": ([("Flatten", ["x"], ["y"], {"axis": 2})], {}, 13),
    "reshape with 0 and -1": ([("Reshape", ["x", "s"], ["y"], {})], {"s": whole(0, 2, -1)}, 13),
    "concat": ([("Concat", ["x", "x", "x"], ["y"], {"axis": 1})], {}, 13),
    "transpose": ([("Transpose", ["x"], ["y"], {"perm": [0, 2, 3, 1]})], {}, 13),
    "transpose without order": ([("Transpose", ["x"], ["y"], {})], {}, 13),
    "reduce mean by attribute": ([("ReduceMean", ["x"], ["y"], {"axes": [2, 3], "keepdims": 0})], {}, 13),
    "reduce mean by input": ([("ReduceMean", ["x", "a"], ["y"], {})], {"a": whole(-1)}, 18),
    "reduce mean of all": ([("ReduceMean", ["x"], ["y"], {})], {}, 13),
    "squeeze and unsqueeze by input": (
        [("Unsqueeze", ["x", "a"], ["u"], {}), ("Squeeze", ["u", "b"], ["y"], {})],
        {"a": whole(0, -1), "b": whole(0)},
        13,
    ),
    "squeeze and unsqueeze by attribute": (
        [("Unsqueeze", ["x"], ["u"], {"axes": [2]}), ("Squeeze", ["u"], ["y"], {"axes": [2]})],
        {},
        11,
    ),
    "gather": ([("Gather", ["x", "i"], ["y"], {"axis": 2})], {"i": np.array([[0, -1], [3, 3]], dtype=np.int64)}, 13),
    "slice by input": (
        [("Slice", ["x", "a", "b", "c", "d"], ["y"], {})],
        {"a": whole(1, -7), "b": whole(9, 1000), "c": whole(2, -1), "d": whole(2, 1)},
        13,
    ),
    "slice by attribute": ([("Slice", ["x"], ["y"], {"axes": [1], "starts": [1], "ends": [3]})], {}, 9),
    "cast": (
        [("Cast", ["x"], ["i"], {"to": TensorProto.INT64}), ("Cast", ["i"], ["y"], {"to": TensorProto.FLOAT})],
        {},
        13,
    ),
    "shape chain, as exporters write a flattening": (
        [
            ("Shape", ["x"], ["s"], {}),
            ("Constant", [], ["zero"], {"value": numpy_helper.from_array(np.array(0))}),
            ("Gather", ["s", "zero"], ["n"], {}),
            ("Cast", ["n"], ["m"], {"to": TensorProto.INT64}),
            ("Unsqueeze", ["m", "axes"], ["u"], {}),
            ("Slice", ["s", "one", "four"], ["rest"], {}),
            ("Gather", ["rest", "zero"], ["channels"], {}),
            ("Unsqueeze", ["channels", "axes"], ["c"], {}),
            ("Constant", [], ["minus"], {"value_ints": [-1]}),
            ("Concat", ["u", "c", "minus"], ["to"], {"axis": 0}),
            ("Reshape", ["x", "to"], ["y"], {}),
        ],
        {"axes": whole(0), "one": whole(1), "four": whole(4)},
        13,
    ),
    "weights that are computed": (
        [
            ("Constant", [], ["two"], {"value_float": 2.0}),
            ("Mul", ["w", "two"], ["v"], {}),
            ("Reshape", ["v", "s"], ["u"], {}),
            ("Add", ["x", "u"], ["y"], {}),
        ],
        {"w": floats(4), "s": whole(1, 4, 1, 1)},
        13,
    ),
}

# operators of one tensor with their defaults, by the opset that has them
for _operator, _opset in {
    **dict.fromkeys(
        (
            "Abs",
            "Ceil",
            "Celu",
            "Cos",
            "Elu",
            "Erf",
            "Exp",
            "Floor",
            "HardSigmoid",
            "Neg",
            "Round",
            "Selu",
            "Sigmoid",
            "Sign",
            "Sin",
            "Softplus",
            "Softsign",
            "Tanh",
            "ThresholdedRelu",
        ),
        13,
    ),
    "HardSwish": 14,
    "Mish": 18,
    "Gelu": 20,
}.items():
    CASES[_operator] = ([(_operator, ["x"], ["y"], {})], {}, _opset)

for _operator in ("L1", "L2", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare", "LogSumExp"):
    _name, _newer = f"Reduce{_operator}", 13 if _operator == "Sum" else 18
    CASES[f"{_name} by input"] = ([(_name, ["x", "a"], ["y"], {"keepdims": 0})], {"a": whole(1, -1)}, _newer)
    CASES[f"{_name} by attribute"] = ([(_name, ["x"], ["y"], {"axes": [-2]})], {}, _newer - 2)
    CASES[f"{_name} of all"] = ([(_name, ["x"], ["y"], {})], {}, 18)
CASES["ReduceMean of nothing"] = ([("ReduceMean", ["x"], ["y"], {"noop_with_empty_axes": 1})], {}, 18)
CASES["ReduceLogSum"] = ([("Exp", ["x"], ["e"], {}), ("ReduceLogSum", ["e", "a"], ["y"], {})], {"a": whole(2)}, 18)

_LAYER = {"g": floats(9, 8), "h": floats(9, 8)}
_INT_MAX, _INT_MIN = 2**63 - 1, -(2**63)
CASES |= {
    "gelu by tanh": ([("Gelu", ["x"], ["y"], {"approximate": "tanh"})], {}, 20),
    "gelu as it was written before opset 20": (
        [
            ("Div", ["x", "r"], ["d"], {}),
            ("Erf", ["d"], ["e"], {}),
            ("Add", ["e", "one"], ["f"], {}),
            ("Mul", ["x", "f"], ["m"], {}),
            ("Mul", ["m", "half"], ["y"], {}),
        ],
        {"r": np.float32(2**0.5), "one": np.float32(1), "half": np.float32(0.5)},
        17,
    ),
    "hard sigmoid as torch writes it": ([("HardSigmoid", ["x"], ["y"], {"alpha": 1 / 6})], {}, 17),
    "elu": ([("Elu", ["x"], ["y"], {"alpha": 0.4})], {}, 13),
    "layer normalization": ([("LayerNormalization", ["x", "g", "h"], ["y"], {"axis": -2})], _LAYER, 17),
    "layer normalization without shift": (
        [("LayerNormalization", ["x", "s"], ["y"], {"epsilon": 0.1})],
        {"s": floats(8)},
        17,
    ),
    "rms normalization": ([("RMSNormalization", ["x", "s"], ["y"], {"axis": -1})], {"s": floats(8)}, 23),
    "instance normalization": (
        [("InstanceNormalization", ["x", "s", "b"], ["y"], {"epsilon": 0.01})],
        {"s": floats(4), "b": floats(4)},
        13,
    ),
    "group normalization": (
        [("GroupNormalization", ["x", "s", "b"], ["y"], {"num_groups": 2})],
        {"s": floats(4), "b": floats(4)},
        21,
    ),
    "a final normalize, as torch writes it": (
        [
            ("Flatten", ["x"], ["f"], {}),
            ("ReduceL2", ["f", "a"], ["n"], {"keepdims": 1}),
            ("Clip", ["n", "least"], ["c"], {}),
            ("Shape", ["f"], ["s"], {}),
            ("Expand", ["c", "s"], ["e"], {}),
            ("Div", ["f", "e"], ["y"], {}),
        ],
        {"a": whole(1), "least": np.float32(1e-12)},
        18,
    ),
    "a final normalize as one operator": ([("LpNormalization", ["x"], ["y"], {"axis": 1, "p": 2})], {}, 13),
    "softmax": ([("Softmax", ["x"], ["y"], {})], {}, 13),
    "softmax over channels": ([("Softmax", ["x"], ["y"], {"axis": 1})], {}, 17),
    "softmax of before": ([("Softmax", ["x"], ["y"], {"axis": 2})], {}, 11),
    "log softmax": ([("LogSoftmax", ["x"], ["y"], {"axis": -2})], {}, 13),
    "global maximum": ([("GlobalMaxPool", ["x"], ["y"], {})], {}, 13),
    "swish": ([("Swish", ["x"], ["y"], {"alpha": 1.5})], {}, 24),
    "power by a number": ([("Abs", ["x"], ["a"], {}), ("Pow", ["a", "p"], ["y"], {})], {"p": np.float32(0.7)}, 13),
    "power by a whole number": ([("Pow", ["x", "p"], ["y"], {})], {"p": whole(3)}, 13),
    "power by channel": (
        [("Abs", ["x"], ["a"], {}), ("Pow", ["a", "p"], ["y"], {})],
        {"p": np.abs(floats(4, 1, 1)) + 1},
        13,
    ),
    "reciprocal and log": (
        [("Exp", ["x"], ["e"], {}), ("Reciprocal", ["e"], ["r"], {}), ("Log", ["r"], ["y"], {})],
        {},
        13,
    ),
    "maximum, minimum, sum and mean of several": (
        [
            ("Max", ["x", "w", "v"], ["a"], {}),
            ("Min", ["x", "w"], ["b"], {}),
            ("Sum", ["a", "b", "w"], ["c"], {}),
            ("Mean", ["c", "a"], ["y"], {}),
        ],
        {"w": floats(4, 1, 1), "v": floats(8)},
        13,
    ),
    "comparisons": (
        [
            ("Greater", ["x", "w"], ["a"], {}),
            ("Less", ["x", "v"], ["b"], {}),
            ("LessOrEqual", ["x", "w"], ["c"], {}),
            ("GreaterOrEqual", ["x", "v"], ["d"], {}),
            ("Or", ["a", "b"], ["e"], {}),
            ("And", ["e", "d"], ["f"], {}),
            ("Not", ["c"], ["g"], {}),
            ("Equal", ["f", "g"], ["h"], {}),
            ("Where", ["h", "x", "w"], ["y"], {}),
        ],
        {"w": floats(4, 1, 1), "v": floats(8)},
        16,
    ),
    "modulo": ([("Mod", ["x", "w"], ["y"], {"fmod": 1})], {"w": np.float32(0.3)}, 13),
    "modulo of whole numbers": (
        [
            ("Shape", ["x"], ["s"], {}),
            ("Mod", ["s", "m"], ["r"], {}),
            ("Cast", ["r"], ["f"], {"to": 1}),
            ("ReduceSum", ["f"], ["t"], {}),
            ("Mul", ["x", "t"], ["y"], {}),
        ],
        {"m": whole(-3)},
        13,
    ),
    "cast to truth and back": (
        [
            ("Relu", ["x"], ["r"], {}),
            ("Cast", ["r"], ["b"], {"to": TensorProto.BOOL}),
            ("CastLike", ["b", "x"], ["y"], {}),
        ],
        {},
        15,
    ),
    "reshape with allowzero and no 0": ([("Reshape", ["x", "s"], ["y"], {"allowzero": 1})], {"s": whole(-1, 288)}, 14),
    "reshape with allowzero, computed": (
        [
            ("Shape", ["x"], ["n"], {"start": 0, "end": 1}),
            ("Concat", ["n", "minus"], ["s"], {"axis": 0}),
            ("Reshape", ["x", "s"], ["y"], {"allowzero": 1}),
        ],
        {"minus": whole(-1)},
        18,
    ),
    "expand by a computed shape": (
        [
            ("Shape", ["x"], ["n"], {"end": 1}),
            ("Concat", ["n", "rest"], ["s"], {"axis": 0}),
            ("Abs", ["s"], ["t"], {}),
            ("Expand", ["w", "t"], ["e"], {}),
            ("Concat", ["x", "e"], ["y"], {"axis": 1}),
        ],
        {"rest": whole(2, 9, 8), "w": floats(1, 2, 1, 8)},
        18,
    ),
    "expand to a smaller shape": ([("Expand", ["x", "s"], ["y"], {})], {"s": whole(4, 1, 1)}, 13),
    "tile": ([("Tile", ["x", "t"], ["y"], {})], {"t": whole(1, 2, 1, 3)}, 13),
    "constant of a computed shape": (
        [
            ("Shape", ["x"], ["s"], {}),
            ("ConstantOfShape", ["s"], ["c"], {"value": numpy_helper.from_array(np.array([0.25], np.float32))}),
            ("Add", ["x", "c"], ["y"], {}),
        ],
        {},
        13,
    ),
    "range and size": (
        [
            ("Range", ["zero", "eight", "one"], ["r"], {}),
            ("Cast", ["r"], ["f"], {"to": 1}),
            ("Size", ["x"], ["n"], {}),
            ("Cast", ["n"], ["m"], {"to": 1}),
            ("Div", ["f", "m"], ["q"], {}),
            ("Mul", ["x", "q"], ["y"], {}),
        ],
        {"zero": np.int64(0), "eight": np.int64(8), "one": np.int64(1)},
        13,
    ),
    "slice backwards": (
        [("Slice", ["x", "a", "b", "c", "d"], ["y"], {})],
        {"a": whole(-1, 6), "b": whole(_INT_MIN, 1), "c": whole(3, 2), "d": whole(-1, -2)},
        13,
    ),
    "slice to the end": (
        [("Slice", ["x", "a", "b", "c", "d"], ["y"], {})],
        {"a": whole(-5, 1), "b": whole(_INT_MAX, _INT_MAX), "c": whole(-1, 1), "d": whole(3, 1)},
        13,
    ),
    "slice, negative ends": (
        [("Slice", ["x", "a", "b", "c"], ["y"], {})],
        {"a": whole(-7, 0), "b": whole(-2, -1), "c": whole(2, 3)},
        13,
    ),
    "slice by a computed end": (
        [
            ("Shape", ["x"], ["s"], {"start": 2, "end": 3}),
            ("Div", ["s", "two"], ["h"], {}),
            ("Slice", ["x", "zero", "h", "axis"], ["y"], {}),
        ],
        {"two": whole(2), "zero": whole(0), "axis": whole(2)},
        15,
    ),
    "split by sizes": (
        [("Split", ["x", "s"], ["a", "b", "c"], {"axis": 2}), ("Concat", ["c", "a"], ["y"], {"axis": 2})],
        {"s": whole(2, 3, 4)},
        13,
    ),
    "split by sizes, as an attribute": (
        [("Split", ["x"], ["a", "b"], {"axis": -1, "split": [3, 5]}), ("Identity", ["b"], ["y"], {})],
        {},
        11,
    ),
    "split evenly": ([("Split", ["x"], ["a", "b"], {"axis": 1}), ("Sub", ["a", "b"], ["y"], {})], {}, 13),
    "split into parts with a rest": (
        [
            ("Split", ["x"], ["a", "b", "c", "d"], {"axis": 2, "num_outputs": 4}),
            ("Concat", ["d", "a"], ["y"], {"axis": 2}),
        ],
        {},
        18,
    ),
    "pad with a number": (
        [("Pad", ["x", "p", "v"], ["y"], {})],
        {"p": whole(0, 1, 2, 0, 0, 0, -1, 3), "v": np.float32(0.5)},
        13,
    ),
    "pad by attributes": ([("Pad", ["x"], ["y"], {"pads": [0, 0, 1, 1, 0, 0, 1, 1], "value": 2.0})], {}, 9),
    "pad by reflection": ([("Pad", ["x", "p"], ["y"], {"mode": "reflect"})], {"p": whole(0, 0, 3, 2, 0, 0, 1, 7)}, 13),
    "pad by the edge, some axes": (
        [("Pad", ["x", "p", "", "a"], ["y"], {"mode": "edge"})],
        {"p": whole(2, 1, 4, 0), "a": whole(-1, 1)},
        18,
    ),
    "pad by wrapping": ([("Pad", ["x", "p"], ["y"], {"mode": "wrap"})], {"p": whole(0, 0, 3, 2, 0, 0, 1, 5)}, 19),
    "einsum": ([("Einsum", ["x", "w"], ["y"], {"equation": "bchw,wd->bdch"})], {"w": floats(8, 3)}, 13),
    "dropout with its inputs": (
        [("Dropout", ["x", "r", "t"], ["y"], {})],
        {"r": np.float32(0.4), "t": np.array(False)},
        13,
    ),
}
