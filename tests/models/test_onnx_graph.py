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
from onnx_cases import CASES, NORM, floats, save, whole

from simswap.errors import InputError
from simswap.models.onnx_graph import BUILDERS, OnnxGraph


def by_onnxruntime(path: Path, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


@pytest.mark.parametrize("case", CASES)
def test_every_operator_computes_what_onnxruntime_computes(tmp_path, case):
    nodes, weights, opset = CASES[case]
    path = save(tmp_path, nodes, weights, opset=opset)
    network = OnnxGraph(path)
    for batch in (1, 3):
        x = floats(batch, 4, 9, 8)
        expected = by_onnxruntime(path, x)
        found = network(torch.from_numpy(x)).numpy()
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_no_operator_is_left_out_above():
    tested = {op for nodes, _, _ in CASES.values() for op, *_ in nodes}
    assert tested == {*BUILDERS, "Constant"}


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
    "operator AveragePool of node 'AveragePool_0' has pads": [
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
    "operator Slice of node 'Slice_0' goes backwards": [("Slice", ["x", "w0", "w0", "w0", "minus"], ["y"], {})],
    "operator Cast of node 'Cast_0' casts to type STRING": [("Cast", ["x"], ["y"], {"to": TensorProto.STRING})],
    "operator BatchNormalization of node 'BatchNormalization_0' is in training mode": [
        ("BatchNormalization", ["x", "b", "b", "b", "b"], ["y"], {"training_mode": 1})
    ],
    "output 'y' does not depend on the image": [("Relu", ["w"], ["y"], {})],
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_not_supported_is_refused_by_name(tmp_path, message):
    weights = {"scales": floats(4), "w": floats(4, 4, 3, 3), "w1": floats(4, 4, 3), "b": floats(4)}
    weights |= {"w0": whole(0), "minus": whole(-1)}
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


def test_inputs_and_outputs_that_no_recogniser_has_are_refused(tmp_path):
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
    with pytest.raises(InputError, match="more or fewer than one input"):
        OnnxGraph(path)


def test_missing_and_broken_files_are_one_line(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        OnnxGraph(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(InputError, match=r"text\.onnx: cannot be read as an ONNX network"):
        OnnxGraph(tmp_path / "text.onnx")


@pytest.mark.real
def test_the_real_detector_is_refused_since_it_is_no_recogniser(shared):
    with pytest.raises(InputError, match=r"scrfd_2\.5g_bnkps\.onnx: has 9 outputs"):
        OnnxGraph(shared / "models" / "lite" / "scrfd_2.5g_bnkps.onnx")
