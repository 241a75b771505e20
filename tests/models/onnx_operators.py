"""One network for every operator, by its name."""

import numpy as np
from onnx import TensorProto, numpy_helper
from onnx_files import floats, whole

W = {"w": floats(6, 4, 3, 3), "b": floats(6)}
NORM = {"scale": floats(4), "shift": floats(4), "mean": floats(4), "var": np.abs(floats(4)) + 0.5}
# name: (nodes, weights, opset)
OPERATORS: dict[str, tuple[list, dict, int]] = {
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
    OPERATORS[_operator] = ([(_operator, ["x"], ["y"], {})], {}, _opset)

for _operator in ("L1", "L2", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare", "LogSumExp"):
    _name, _newer = f"Reduce{_operator}", 13 if _operator == "Sum" else 18
    OPERATORS[f"{_name} by input"] = ([(_name, ["x", "a"], ["y"], {"keepdims": 0})], {"a": whole(1, -1)}, _newer)
    OPERATORS[f"{_name} by attribute"] = ([(_name, ["x"], ["y"], {"axes": [-2]})], {}, _newer - 2)
    OPERATORS[f"{_name} of all"] = ([(_name, ["x"], ["y"], {})], {}, 18)
OPERATORS["ReduceMean of nothing"] = ([("ReduceMean", ["x"], ["y"], {"noop_with_empty_axes": 1})], {}, 18)
OPERATORS["ReduceLogSum"] = ([("Exp", ["x"], ["e"], {}), ("ReduceLogSum", ["e", "a"], ["y"], {})], {"a": whole(2)}, 18)
