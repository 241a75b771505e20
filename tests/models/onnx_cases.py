"""One network for every operator and for every form that it takes."""

import numpy as np
from onnx import TensorProto, numpy_helper
from onnx_files import floats, whole
from onnx_operators import OPERATORS

_LAYER = {"g": floats(9, 8), "h": floats(9, 8)}
_INT_MAX, _INT_MIN = 2**63 - 1, -(2**63)
# name: (nodes, weights, opset)
CASES: dict[str, tuple[list, dict, int]] = OPERATORS | {
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
