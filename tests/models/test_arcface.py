"""The public ArcFace network against a second implementation, written from its description alone."""

import pytest
import torch
import torch.nn.functional as F

from simswap.errors import InputError
from simswap.models.arcface import ArcFace, arcface_recogniser

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
    recogniser = arcface_recogniser(str(file))
    assert (recogniser.input_size, recogniser.embedding_size, recogniser.pixel_range) == (112, 512, "imagenet")
    images = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(1), requires_grad=True)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        wanted = described(state, (images - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    got = recogniser(images)
    torch.testing.assert_close(got, F.normalize(wanted), rtol=1e-4, atol=1e-5)
    got[:, 0].sum().backward()
    assert images.grad is not None
    assert images.grad.abs().max() > 0
    assert not any(p.requires_grad for p in recogniser.parameters())


def test_faults_are_named(state, tmp_path):
    def complaint(changed):
        torch.save(changed, tmp_path / "net.tar")
        with pytest.raises(InputError) as raised:
            arcface_recogniser(str(tmp_path / "net.tar"))
        return str(raised.value)

    small = {name: value for name, value in state.items() if name != "fc.weight"}
    assert "missing fc.weight" in complaint(small)
    assert "unknown extra" in complaint(small | {"extra": torch.ones(1)})
    assert "bn3.bias is [4] and must be [512]" in complaint(state | {"bn3.bias": torch.ones(4)})
    assert "layer1 to layer4 have (0, 0, 0, 0) blocks" in complaint({"fc.weight": torch.ones(1)})
