"""An ONNX file as a torch module: every operator against onnxruntime, gradients, batches, and what is refused."""

import copy
import pickle
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from onnx_cases import CASES
from onnx_files import floats, save, whole
from onnx_operators import NORM
from onnxruntime.capi import onnxruntime_pybind11_state as state
from packaging.version import Version

from simswap.errors import InputError
from simswap.models.onnx_reader.graph import BUILDERS, OnnxGraph


def by_onnxruntime(path: Path, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


@pytest.mark.parametrize("case", CASES)
def test_every_operator_computes_what_onnxruntime_computes(tmp_path, case):
    nodes, weights, opset = CASES[case]
    path = save(tmp_path, nodes, weights, opset=opset)
    network = OnnxGraph(path)
    for batch in (1, 4):
        x = floats(batch, 4, 9, 8)
        found = network(torch.from_numpy(x)).numpy()
        try:
            expected = by_onnxruntime(path, x)
        except (state.Fail, state.RuntimeException) as error:
            if Version(onnxruntime.__version__) >= Version("1.32"):
                raise
            pytest.skip(f"onnxruntime {onnxruntime.__version__}, the reference, cannot run it: {error}")
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_no_operator_is_left_out_above():
    tested = {op for nodes, _, _ in CASES.values() for op, *_ in nodes}
    assert tested == {*BUILDERS, "Constant"}


SMOOTH = [case for case in CASES if case not in ("Ceil", "Floor", "Round", "Sign", "cast", "cast to truth and back")]


@pytest.mark.parametrize("case", SMOOTH)
def test_every_operator_passes_a_gradient(tmp_path, case):
    """Against the difference that a small step along a random direction makes, in double precision."""
    nodes, weights, opset = CASES[case]
    network = OnnxGraph(save(tmp_path, nodes, weights, opset=opset)).double()
    rng = np.random.default_rng(5)
    x, step = (torch.from_numpy(rng.normal(size=(2, 4, 9, 8))) for _ in range(2))
    weight = torch.from_numpy(rng.normal(size=network(x).shape))
    x.requires_grad_()
    (gradient,) = torch.autograd.grad((network(x) * weight).sum(), x)
    eps = 1e-6
    with torch.no_grad():
        slope = ((network(x + eps * step) - network(x - eps * step)) * weight).sum() / (2 * eps)
    assert float((gradient * step).sum()) == pytest.approx(float(slope), rel=1e-4, abs=1e-4)


class Recognizer(torch.nn.Module):
    """Blocks of the kinds that face recognizers of today have, and a final normalize."""

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.BatchNorm2d(8), torch.nn.Hardswish())
        self.gate = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Conv2d(8, 8, 1), torch.nn.Hardsigmoid())
        self.norm, self.mixer = torch.nn.LayerNorm(8), torch.nn.Linear(8, 16)
        self.attention = torch.nn.MultiheadAttention(16, 2, batch_first=True)
        self.activation, self.head = torch.nn.GELU(), torch.nn.Linear(16, 12)
        self.prelu, self.dropout = torch.nn.PReLU(12), torch.nn.Dropout(0.4)

    def forward(self, x):
        x = self.stem(x)
        x = x * self.gate(x)
        x = torch.nn.functional.pad(x, (1, 1, 0, 0), mode="reflect")
        x = torch.cat([part.flip(1) for part in x.chunk(2, dim=1)], 1)[..., ::2]
        tokens = self.activation(self.mixer(self.norm(x.flatten(2).transpose(1, 2))))
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        vectors = self.prelu(self.head(self.dropout(tokens.mean(1))))
        return torch.nn.functional.normalize(vectors)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("opset", [14, 17, 18, 20])
@pytest.mark.parametrize("open_batch", [True, False])
def test_what_torch_exports_is_what_torch_computes(tmp_path, opset, open_batch):
    torch.manual_seed(0)
    network = Recognizer().eval()
    path = tmp_path / "exported.onnx"
    axes = {"x": {0: "batch"}} if open_batch else None
    torch.onnx.export(
        network,
        (torch.rand(2 if open_batch else 1, 3, 16, 16),),
        str(path),
        dynamo=False,
        opset_version=opset,
        input_names=["x"],
        output_names=["y"],
        dynamic_axes=axes,
    )
    found = OnnxGraph(path)
    for batch in (1, 4) if open_batch else (1,):
        x = torch.randn(batch, 3, 16, 16, requires_grad=True)
        torch.testing.assert_close(found(x), network(x), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(by_onnxruntime(path, x.detach().numpy()), found(x).detach().numpy(), atol=1e-5)
        weight = torch.randn(batch, 12)
        gradients = [torch.autograd.grad((net(x) * weight).sum(), x)[0] for net in (found, network)]
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


def test_a_class_token_of_a_batch_of_one_joins_any_batch(tmp_path):
    nodes = [("Reshape", ["x", "s"], ["t"], {"allowzero": 1}), ("Concat", ["token", "t"], ["c"], {"axis": 1}),
             ("ReduceMean", ["c", "axis"], ["m"], {"keepdims": 0}), ("ReduceL2", ["m", "last"], ["n"], {}),
             ("Expand", ["n", "e"], ["d"], {}), ("Div", ["m", "d"], ["y"], {})]  # fmt: skip
    weights = {"s": whole(1, 36, 8), "token": floats(1, 1, 8), "axis": whole(1), "last": whole(-1), "e": whole(1, 8)}
    path = save(tmp_path, nodes, weights, shape=(1, 4, 9, 8), opset=18)
    x = floats(4, 4, 9, 8)
    alone = np.concatenate([by_onnxruntime(path, image[None]) for image in x])
    np.testing.assert_allclose(OnnxGraph(path)(torch.from_numpy(x)).numpy(), alone, atol=1e-5)


def test_a_leading_one_that_is_no_batch_is_computed_as_written(tmp_path):
    """Attention brings its heads to the front, [heads, tokens, width], and reshapes to [1, heads, tokens, width]."""
    nodes = [("Reshape", ["x", "s"], ["t"], {}), ("Transpose", ["t"], ["u"], {"perm": [1, 0, 2]}),
             ("Reshape", ["u", "r"], ["v"], {}), ("Mul", ["v", "w"], ["y"], {})]  # fmt: skip
    weights = {"s": whole(36, 2, 4), "r": whole(1, 2, 36, 4), "w": floats(2, 36, 4)}
    path = save(tmp_path, nodes, weights, shape=(1, 4, 9, 8))
    x = floats(1, 4, 9, 8)
    np.testing.assert_allclose(OnnxGraph(path)(torch.from_numpy(x)).numpy(), by_onnxruntime(path, x), atol=1e-6)


def test_functions_in_the_file_are_unfolded(tmp_path):
    """Exporters keep composed operators as functions of a domain of their own."""
    body = [helper.make_node("Sigmoid", ["a"], ["s"]), helper.make_node("Mul", ["a", "s"], ["b"])]
    function = helper.make_function("pkg.lib", "silu", ["a"], ["b"], body, [helper.make_opsetid("", 18)])
    graph = helper.make_graph(
        [helper.make_node("silu", ["x"], ["y"], domain="pkg.lib")],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("pkg.lib", 1)]
    onnx.save(helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=8), tmp_path / "f.onnx")
    x = torch.randn(3, 4)
    torch.testing.assert_close(OnnxGraph(tmp_path / "f.onnx")(x), torch.nn.functional.silu(x))


def small_network(folder: Path, batch: int | str = 1) -> Path:
    """Conv, batch norm, PReLU, depthwise conv, a residual sum and a Reshape to a batch of one."""
    nodes = [
        ("Conv", ["x", "w1"], ["a"], {"pads": [1, 1, 1, 1]}),
        ("BatchNormalization", ["a", *NORM], ["b"], {}),
        ("PRelu", ["b", "slope"], ["c"], {}),
        ("Conv", ["c", "w2"], ["d"], {"pads": [1, 1, 1, 1], "group": 4}),
        ("Add", ["d", "c"], ["e"], {}),
        ("Reshape", ["e", "flat"], ["f"], {}),
        ("Gemm", ["f", "w3", "bias"], ["y"], {"transB": 1}),
    ]
    weights = {"w1": floats(4, 2, 3, 3), **NORM, "slope": floats(4, 1, 1), "w2": floats(4, 1, 3, 3)}
    weights |= {"flat": whole(1, -1), "w3": floats(3, 80), "bias": floats(3)}
    return save(folder, nodes, weights, shape=(batch, 2, 5, 4))


def test_a_batch_of_one_in_the_file_does_not_limit_the_batch(tmp_path):
    path = small_network(tmp_path)
    x = floats(5, 2, 5, 4)
    alone = np.concatenate([by_onnxruntime(path, image[None]) for image in x])
    np.testing.assert_allclose(OnnxGraph(path)(torch.from_numpy(x)).numpy(), alone, rtol=1e-4, atol=1e-5)


def test_the_gradient_is_that_of_finite_differences(tmp_path):
    network = OnnxGraph(small_network(tmp_path)).double()
    x = torch.from_numpy(floats(2, 2, 5, 4)).double().requires_grad_()
    assert network(x).dtype == torch.float64
    assert torch.autograd.gradcheck(network, (x,), atol=1e-7)


def test_weights_are_frozen_and_the_module_can_be_copied(tmp_path):
    network = OnnxGraph(small_network(tmp_path))
    x = torch.from_numpy(floats(2, 2, 5, 4))
    assert sum(p.numel() for p in network.parameters()) == 4 * 2 * 9 + 4 * 4 + 4 + 4 * 9 + 3 * 80 + 3
    assert not any(p.requires_grad for p in network.parameters())
    assert not network(x).requires_grad
    for copied in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(copied(x), network(x))


def test_half_precision_weights_run_in_full(tmp_path):
    weight = floats(3, 4, 1, 1).astype(np.float16)
    path = save(tmp_path, [("Conv", ["x", "w"], ["y"], {})], {"w": weight}, kind=TensorProto.FLOAT16)
    x = torch.from_numpy(floats(2, 4, 9, 8))
    expected = torch.einsum("bchw,dc->bdhw", x, torch.from_numpy(weight[:, :, 0, 0]).float())
    torch.testing.assert_close(OnnxGraph(path)(x), expected)


def test_weights_beside_the_file_are_read_and_missed_by_name(tmp_path):
    path = small_network(tmp_path)
    x = torch.from_numpy(floats(2, 2, 5, 4))
    expected = OnnxGraph(path)(x)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert torch.equal(OnnxGraph(path)(x), expected)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(InputError, match=r"network\.onnx: cannot be read"):
        OnnxGraph(path)


REFUSED = {
    "operator Resize of node 'Resize_1' is not supported": [
        ("Relu", ["x"], ["r"], {}),
        ("Resize", ["r", "", "scales"], ["y"], {}),
    ],
    "operator Conv of node 'Conv_0' has auto_pad=SAME_UPPER": [("Conv", ["x", "w"], ["y"], {"auto_pad": "SAME_UPPER"})],
    "operator Conv of node 'Conv_0' has computed weights": [("Conv", ["x", "x"], ["y"], {})],
    "operator Conv of node 'Conv_0' works on 1 spatial axes": [("Conv", ["x", "w1"], ["y"], {})],
    "operator AveragePool of node 'AveragePool_0' has uncounted pads": [
        ("AveragePool", ["x"], ["y"], {"kernel_shape": [3, 3], "pads": [0, 0, 1, 1]})
    ],
    "operator MaxPool of node 'MaxPool_0' has ceil_mode together with pads": [
        ("MaxPool", ["x"], ["y"], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "ceil_mode": 1})
    ],
    "reads a second output": [
        ("MaxPool", ["x"], ["p", "where"], {"kernel_shape": [2, 2]}),
        ("Cast", ["where"], ["y"], {"to": 1}),
    ],
    "operator Squeeze of node 'Squeeze_0' names no axes": [("Squeeze", ["x"], ["y"], {})],
    "operator Slice of node 'Slice_0' has steps [0]": [("Slice", ["x", "w0", "w0", "w0", "w0"], ["y"], {})],
    "operator Reshape of node 'Reshape_0' has allowzero set": [("Reshape", ["x", "w0"], ["y"], {"allowzero": 1})],
    "operator Dropout of node 'Dropout_0' is in training mode": [("Dropout", ["x", "", "true"], ["y"], {})],
    "operator ReduceL2 of node 'ReduceL2_0' has noop": [("ReduceL2", ["x"], ["y"], {"noop_with_empty_axes": 1})],
    "operator Pad of node 'Pad_2' takes its pads from a computed value": [
        ("Shape", ["x"], ["s"], {}),
        ("Concat", ["s", "s"], ["p"], {"axis": 0}),
        ("Pad", ["x", "p"], ["y"], {}),
    ],
    "operator Cast of node 'Cast_0' casts to type STRING": [("Cast", ["x"], ["y"], {"to": TensorProto.STRING})],
    "operator BatchNormalization of node 'BatchNormalization_0' is in training mode": [
        ("BatchNormalization", ["x", "b", "b", "b", "b"], ["y"], {"training_mode": 1})
    ],
    "output 'y' does not depend on the image": [("Relu", ["w"], ["y"], {})],
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_not_supported_is_refused_by_name(tmp_path, message):
    weights = {"scales": floats(4), "w": floats(4, 4, 3, 3), "w1": floats(4, 4, 3), "b": floats(4)}
    weights |= {"w0": whole(0), "true": np.array(True)}
    path = save(tmp_path, REFUSED[message], weights, opset=14)
    with pytest.raises(InputError) as caught:
        OnnxGraph(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_operator_of_another_domain_is_refused(tmp_path):
    path = save(tmp_path, [("Relu", ["x"], ["y"], {"domain": "com.microsoft"})], {})
    with pytest.raises(InputError, match="operator Relu of node 'Relu_0' is not supported"):
        OnnxGraph(path)


def test_inputs_and_outputs_that_no_recognizer_has_are_refused(tmp_path):
    path = save(tmp_path, [("Identity", ["x"], ["y"], {})], {}, kind=TensorProto.UINT8)
    with pytest.raises(InputError, match="input 'x' has type UINT8"):
        OnnxGraph(path)
    model = onnx.load(save(tmp_path, [("Relu", ["x"], ["y"], {})], {}))
    model.graph.output.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, None))
    onnx.save(model, path)
    with pytest.raises(InputError, match=r"has 2 outputs \(y, x\)"):
        OnnxGraph(path)
    model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    onnx.save(model, path)
    with pytest.raises(InputError, match="does not have exactly one input"):
        OnnxGraph(path)


def test_missing_and_broken_files_are_one_line(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        OnnxGraph(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(InputError, match=r"text\.onnx is a text file .no network., not an ONNX"):
        OnnxGraph(tmp_path / "text.onnx")
    (tmp_path / "cut.onnx").write_bytes(small_network(tmp_path).read_bytes()[:100])
    with pytest.raises(InputError, match=r"cut\.onnx: cannot be read as an ONNX network"):
        OnnxGraph(tmp_path / "cut.onnx")


@pytest.mark.real
def test_the_real_detector_is_refused_since_it_is_no_recognizer(shared):
    with pytest.raises(InputError, match=r"scrfd_2\.5g_bnkps\.onnx: has 9 outputs"):
        OnnxGraph(shared / "models" / "lite" / "scrfd_2.5g_bnkps.onnx")
