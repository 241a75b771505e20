"""benchmarks/faceres.py: a TensorFlow.js MobileNet becomes a recognizer in insightface's form."""

import json
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from simswap.errors import InputError
from simswap.models.recognition import onnx_recognizer
from tests.leftovers import REPOSITORY

CHANNELS = 4  # instead of 32 to 1,024


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    import faceres

    return faceres


@pytest.fixture
def model(tmp_path):
    """A model of few channels: faceres.json, and its weights in half precision."""
    random = np.random.default_rng(0)
    shapes = {"conv1/convolution/merged_input": [3, 3, 3, CHANNELS], "conv1_bn/batchnorm_1/sub": [CHANNELS]}
    for number in range(1, 14):
        deep, plain = f"conv_dw_{number}", f"conv_pw_{number}"
        shapes[f"{deep}/depthwise_kernel"] = [3, 3, CHANNELS, 1]
        shapes[f"{deep}_bn/batchnorm_1/mul"] = [CHANNELS]
        shapes[f"{deep}_bn/batchnorm_1/sub"] = [CHANNELS]
        shapes[f"{plain}/convolution/merged_input"] = [1, 1, CHANNELS, CHANNELS]
        shapes[f"{plain}_bn/batchnorm_1/sub"] = [CHANNELS]
    values = [random.uniform(0, 0.5, shape).astype("<f2") for shape in shapes.values()]
    (tmp_path / "faceres.bin").write_bytes(b"".join(each.tobytes() for each in values))
    entries = [
        {"name": name, "shape": shape, "dtype": "float32", "quantization": {"dtype": "float16"}}
        for name, shape in shapes.items()
    ]
    file = tmp_path / "faceres.json"
    file.write_text(json.dumps({"weightsManifest": [{"paths": ["faceres.bin"], "weights": entries}]}))
    return file


def test_the_enlargement_is_bilinear(script):
    images = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    wanted = F.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(script.Enlarge()(images), wanted, atol=1e-6, rtol=0)


def test_a_halving_convolution_is_padded_at_the_end_alone(script):
    layers = script.convolution(torch.full((1, 1, 3, 3), 0.5), torch.zeros(1), stride=2)
    found = torch.nn.Sequential(*layers)(torch.ones(1, 1, 4, 4))
    assert found[0, 0].tolist() == [[4.5, 3.0], [3.0, 2.0]]  # half of 9, 6 and 4 covered pixels


def test_colors_become_bgr_without_the_mean(script, model):
    colors = script.faceres(script.stored_tensors(model))[1]
    found = colors(torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1))  # red 255, green 127.5, blue 0
    torch.testing.assert_close(found.flatten(), torch.tensor([-91.4953, 127.5 - 103.8827, 255 - 131.0912]))


def test_the_file_is_a_recognizer(script, model, tmp_path, monkeypatch):
    out = tmp_path / "out.onnx"
    monkeypatch.setattr(sys, "argv", ["faceres.py", str(model), str(out)])
    script.main()
    images = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = F.normalize(script.faceres(script.stored_tensors(model))(images * 2 - 1))
        found = onnx_recognizer(str(out))(images)
    assert found.shape == (2, CHANNELS)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_a_cut_file_and_another_model_are_refused(script, model, tmp_path, monkeypatch, capsys):
    weights = tmp_path / "faceres.bin"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-2])
    with pytest.raises(InputError, match=r"not a TensorFlow\.js model"):
        script.stored_tensors(model)
    weights.write_bytes(whole + b"..")
    with pytest.raises(InputError, match=f"have {len(whole) + 2} bytes instead of {len(whole)}"):
        script.stored_tensors(model)
    weights.write_bytes(whole)
    model.write_text(model.read_text().replace("conv_dw_7/", "conv_dw_77/"))
    out = tmp_path / "out.onnx"
    monkeypatch.setattr(sys, "argv", ["faceres.py", str(model), str(out)])
    with pytest.raises(SystemExit, match="2"):
        script.main()
    assert capsys.readouterr().err == "error: no HSE-FaceRes: tensor 'conv_dw_7/depthwise_kernel' is missing\n"
    assert not out.exists()
