"""The public ArcFace network against a second implementation, written from its description alone."""

import sys
import types
from collections import defaultdict

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from simswap.errors import InputError
from simswap.models.arcface import ArcFace, IRBlock, SqueezeExcitation, arcface_recognizer

BLOCKS = (1, 2, 1, 1)


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    network = ArcFace(BLOCKS)
    state = network.state_dict()
    for name, value in state.items():  # statistics and gains that matter
        if name.endswith("running_mean"):
            value.normal_(0, 0.1)
        elif name.endswith("running_var") or (".bn" in f".{name}" and name.endswith("weight")):
            value.uniform_(0.5, 1.5)
    return state


@pytest.fixture(scope="module")
def file(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("arcface") / "arcface_checkpoint.tar"
    torch.save({f"module.{name}": value for name, value in state.items()}, path)
    return path


def described(state, x):
    def norm(x, name):
        values = [state[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *values)

    def prelu(x, name):
        return torch.where(x > 0, x, x * state[f"{name}.weight"])

    x = F.max_pool2d(prelu(norm(F.conv2d(x, state["conv1.weight"]), "bn1"), "prelu"), 2)
    for layer, blocks in enumerate(BLOCKS, start=1):
        for block in range(blocks):
            p = f"layer{layer}.{block}"
            stride = 2 if layer > 1 and block == 0 else 1
            y = F.conv2d(norm(x, f"{p}.bn0"), state[f"{p}.conv1.weight"], padding=1)
            y = prelu(norm(y, f"{p}.bn1"), f"{p}.prelu")
            y = norm(F.conv2d(y, state[f"{p}.conv2.weight"], stride=stride, padding=1), f"{p}.bn2")
            gate = F.linear(y.mean((2, 3)), state[f"{p}.se.fc.0.weight"], state[f"{p}.se.fc.0.bias"])
            gate = F.linear(prelu(gate, f"{p}.se.fc.1"), state[f"{p}.se.fc.2.weight"], state[f"{p}.se.fc.2.bias"])
            y = y * torch.sigmoid(gate)[:, :, None, None]
            if f"{p}.downsample.0.weight" in state:
                x = norm(F.conv2d(x, state[f"{p}.downsample.0.weight"], stride=stride), f"{p}.downsample.1")
            x = prelu(x + y, f"{p}.prelu")
    assert x.shape[1:] == (512, 7, 7)
    return norm(F.linear(norm(x, "bn2").flatten(1), state["fc.weight"], state["fc.bias"]), "bn3")


def test_equals_the_description(state, file):
    recognizer = arcface_recognizer(str(file))
    assert (recognizer.input_size, recognizer.embedding_size, recognizer.pixel_range) == (112, 512, "imagenet")
    images = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(1), requires_grad=True)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        wanted = described(state, (images - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    got = recognizer(images)
    torch.testing.assert_close(got, F.normalize(wanted), rtol=1e-4, atol=1e-5)
    got[:, 0].sum().backward()
    assert images.grad is not None
    assert images.grad.abs().max() > 0
    assert not any(p.requires_grad for p in recognizer.parameters())


class InsightFaceOptimizer:
    """Of the module `optimizer`, as the training that made the published file has it."""

    def __init__(self, optimizer):
        self.optimizer, self.step_num, self.factor = optimizer, 3, np.float64(0.5)


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source")
@pytest.mark.parametrize("legacy", [False, True])
def test_the_file_as_published_in_2021(state, tmp_path, monkeypatch, legacy):
    """``{"model": DataParallel(ResNet), …}``: with the head of the training, its optimizer, epoch and accuracy."""
    kinds = {"models.arcface_models": [ArcFace, IRBlock, SqueezeExcitation], "optimizer": [InsightFaceOptimizer]}
    for name, those in kinds.items():
        module = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        for kind in those:
            monkeypatch.setattr(kind, "__module__", name)
            setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "models", types.ModuleType("models"))
    network = ArcFace(BLOCKS)
    network.load_state_dict(state)
    head = torch.nn.DataParallel(torch.nn.Linear(4, 2))
    inner = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9)
    head(torch.rand(1, 4)).sum().backward()
    inner.step()
    inner.state = defaultdict(dict, inner.state)
    content = {"epoch": 16, "acc": np.float64(0.998), "model": torch.nn.DataParallel(network), "metric_fc": head,
               "optimizer": InsightFaceOptimizer(inner), "where": torch.device("cuda:0")}  # fmt: skip
    path = tmp_path / "arcface_checkpoint.tar"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    for name in ("models.arcface_models", "models", "optimizer"):
        monkeypatch.delitem(sys.modules, name)
    found = arcface_recognizer(str(path)).network.state_dict()
    assert set(found) == set(state)
    for name, value in state.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("front", ["", "module.", "_orig_mod.", "model.module._orig_mod.", "state_dict.module."])
def test_wherever_the_network_stands_in_the_file(state, tmp_path, front):
    whole = {f"{front}{name}": value for name, value in state.items()}
    if front.startswith(("model.", "state_dict.")):
        whole |= {"optimizer.momentum": torch.ones(3), "head.weight": torch.ones(2, 2)}
    torch.save(whole, tmp_path / "net.pt")
    found = arcface_recognizer(str(tmp_path / "net.pt")).network.state_dict()
    assert all(torch.equal(found[name], value) for name, value in state.items())
    torch.save({f"{front}{name}": value for front in ("a.", "b.") for name, value in state.items()}, tmp_path / "2.pt")
    with pytest.raises(InputError, match=r"2\.pt holds several networks \(a, b\)"):
        arcface_recognizer(str(tmp_path / "2.pt"))


def test_faults_are_named(state, tmp_path):
    def complaint(changed):
        torch.save(changed, tmp_path / "net.tar")
        with pytest.raises(InputError) as raised:
            arcface_recognizer(str(tmp_path / "net.tar"))
        return str(raised.value)

    small = {name: value for name, value in state.items() if name != "fc.weight"}
    assert "missing fc.weight" in complaint(small)
    assert "unknown extra" in complaint(small | {"extra": torch.ones(1)})
    assert "bn3.bias is [4] and must be [512]" in complaint(state | {"bn3.bias": torch.ones(4)})
    assert "layer1 to layer4 have (0, 0, 0, 0) blocks" in complaint({"fc.weight": torch.ones(1)})
