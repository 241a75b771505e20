"""The recognizer of an insightface-style file: frozen, differentiable, exact on real faces, and what is refused."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from real_faces import aligned_faces
from torch import nn

from simswap import pixels
from simswap.errors import InputError
from simswap.models.recognition import Recognizer, onnx_recognizer


def write_network(
    path: Path, shape: tuple = ("batch", 3, 112, 112), nodes: list | None = None, outputs=(None, 3)
) -> Path:
    """A file whose vector is the mean of each channel, or what `nodes` make of `x` (with `s`, int64 [1, -1])."""
    nodes = nodes or [("GlobalAveragePool", ["x"], ["p"]), ("Flatten", ["p"], ["y"])]
    graph = helper.make_graph(
        [helper.make_node(op, inputs, out, name=f"{op}_{i}") for i, (op, inputs, out) in enumerate(nodes)],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (None, None))],
        [numpy_helper.from_array(np.array([1, -1], dtype=np.int64), "s")],
    )
    path.parent.mkdir(exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_the_vector_is_the_networks_output_for_symmetric_pixels_at_length_one(tmp_path):
    file = write_network(tmp_path / "mean.onnx")
    recognizer = onnx_recognizer(str(file))
    images = torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1).expand(2, 3, 112, 112)  # (1, 0, -1) in [-1, 1]
    torch.testing.assert_close(recognizer(images), torch.tensor([[0.5**0.5, 0.0, -(0.5**0.5)]] * 2))
    assert (recognizer.name, recognizer.input_size, recognizer.embedding_size) == ("mean", 112, 3)
    assert recognizer.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_it_is_frozen_stays_in_eval_mode_and_passes_gradient_to_the_image():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    recognizer = Recognizer(network, "small", "0" * 64, 16, 4, "unit")
    recognizer.train()
    assert not any(module.training for module in recognizer.modules())
    before = network[1].running_mean.clone()
    images = torch.rand(2, 3, 16, 16, requires_grad=True)
    recognizer(images)[:, 0].sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in recognizer.parameters())
    assert torch.equal(network[1].running_mean, before)


def test_other_shapes_raise():
    recognizer = Recognizer(nn.Flatten(), "flat", "0" * 64, 4, 48, "unit")
    for shape in ((2, 3, 5, 4), (2, 1, 4, 4), (3, 4, 4)):
        with pytest.raises(ValueError, match=r"recognizer flat takes \[B, 3, 4, 4\]"):
            recognizer(torch.zeros(shape))


def test_the_recognizer_of_a_pack_is_found_by_its_form(tmp_path):
    write_network(tmp_path / "pack" / "detector.onnx", ("batch", 3, "h", "w"))
    write_network(tmp_path / "pack" / "landmarks.onnx", (1, 3, 192, 192))
    write_network(tmp_path / "pack" / "faces.onnx", (1, 3, 112, 112))
    assert onnx_recognizer(str(tmp_path / "pack")).name == "faces"
    write_network(tmp_path / "pack" / "second.onnx")
    with pytest.raises(InputError, match=r"several recognizers: faces\.onnx, second\.onnx"):
        onnx_recognizer(str(tmp_path / "pack"))


def test_a_pack_without_a_recognizer_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no recognizer .*: no \.onnx file"):
        onnx_recognizer(str(tmp_path))
    write_network(tmp_path / "landmarks.onnx", (1, 3, 192, 192))
    with pytest.raises(InputError, match=r"no recognizer .*: landmarks\.onnx"):
        onnx_recognizer(str(tmp_path))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.onnx: no such file or folder"):
        onnx_recognizer(str(tmp_path / "none.onnx"))


@pytest.mark.parametrize(
    ("shape", "told"), [((1, 3, 128, 128), "1x3x128x128"), (("n", 112, 112, 3), "?x112x112x3"), ((1, 37632), "1x37632")]
)
def test_another_input_size_is_refused_with_file_and_size(tmp_path, shape, told):
    file = write_network(tmp_path / "other.onnx", shape, [("Relu", ["x"], ["y"])])
    with pytest.raises(InputError) as caught:
        onnx_recognizer(str(file))
    assert (
        str(caught.value) == f"{file}: takes input {told}; a recognizer must take batches of 3x112x112 (arcface crops)"
    )


def test_a_file_that_scales_its_input_itself_is_refused(tmp_path):
    nodes = [("Sub", ["x", "x"], ["d"]), ("Flatten", ["d"], ["y"])]
    with pytest.raises(InputError, match=r"scales its input itself \(operator Sub of node 'Sub_0'"):
        onnx_recognizer(str(write_network(tmp_path / "mxnet.onnx", nodes=nodes)))


def test_a_network_that_mixes_the_images_of_a_batch_is_refused(tmp_path):
    nodes = [("ReduceMean", ["x"], ["m"]), ("Add", ["x", "m"], ["a"]), ("Reshape", ["a", "s"], ["y"])]
    with pytest.raises(InputError, match="returns other vectors for a batch than for single images"):
        onnx_recognizer(str(write_network(tmp_path / "mixing.onnx", nodes=nodes)))


def test_a_network_without_vectors_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"returns \[2, 3, 112, 112\] for two images"):
        onnx_recognizer(str(write_network(tmp_path / "picture.onnx", nodes=[("Relu", ["x"], ["y"])])))


def test_a_network_that_does_not_run_at_112_is_refused(tmp_path):
    nodes = [("Flatten", ["x"], ["f"]), ("MatMul", ["f", "f"], ["y"])]
    with pytest.raises(InputError, match="does not run on two images"):
        onnx_recognizer(str(write_network(tmp_path / "broken.onnx", nodes=nodes)))


@pytest.mark.real
def test_real_faces_give_what_onnxruntime_gives_in_batches_of_1_and_of_4(shared):
    file = shared / "models" / "lite" / "mobilefacenet.onnx"
    recognizer = onnx_recognizer(str(shared / "models" / "lite"))
    assert (recognizer.name, recognizer.embedding_size) == ("mobilefacenet", 128)
    crops = aligned_faces(shared, 6, 2).flatten(0, 1)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    eight_bit = crops.numpy().astype(np.float32)
    expected = np.concatenate([session.run(None, {"input": (one[None] - 127.5) / 127.5})[0] for one in eight_bit])
    for batch in (1, 4):
        symmetric = pixels.from_uint8(crops, "symmetric").split(batch)
        found = torch.cat([recognizer.network(images) for images in symmetric]).numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    lengths = np.linalg.norm(expected, axis=1, keepdims=True)
    vectors = recognizer(pixels.from_uint8(crops, "unit")).numpy()
    np.testing.assert_allclose(vectors, expected / lengths, rtol=0, atol=1e-4)


@pytest.mark.real
def test_the_gradient_with_respect_to_a_real_face_is_that_of_finite_differences(shared):
    # In float32, where depthwise convolutions are 100 times as fast; the small network of test_onnx_graph.py is exact.
    recognizer = onnx_recognizer(str(shared / "models" / "lite"))
    images = pixels.from_uint8(aligned_faces(shared, 2, 2)[:, 0], "unit")
    towards = recognizer(images[1:])
    face = images[:1].clone().requires_grad_()
    (gradient,) = torch.autograd.grad((recognizer(face) * towards).sum(), face)
    direction, step = gradient / gradient.norm(), 0.01
    with torch.no_grad():
        ahead, behind = ((recognizer(face + sign * step * direction) * towards).sum() for sign in (1, -1))
    slope = float((ahead - behind) / (2 * step))
    assert slope > 0.01
    assert float(gradient.norm()) == pytest.approx(slope, rel=0.02)


@pytest.mark.real
def test_real_persons_are_told_apart(shared):
    recognizer = onnx_recognizer(str(shared / "models" / "lite"))
    crops = pixels.from_uint8(aligned_faces(shared, 100, 2).flatten(0, 1), "unit")
    vectors = torch.cat([recognizer(images) for images in crops.split(50)]).view(100, 2, 128)
    same = (vectors[:, 0] * vectors[:, 1]).sum(1)
    different = (vectors[:, 0] * vectors[:, 1].roll(1, 0)).sum(1)
    scores = torch.cat([same, different])
    is_same = torch.arange(200) < 100
    accuracy = max(float(((scores >= threshold) == is_same).double().mean()) for threshold in scores)
    assert accuracy >= 0.98  # 99.28 % on LFW's own 6,000 pairs
