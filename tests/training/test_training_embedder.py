"""The embedder of training: the same embeddings bit for bit, from weights that autocast need not cast."""

import pytest
import torch
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from simswap.models import builtin
from simswap.models.arcface import ArcFace
from simswap.models.embedder import Embedder
from simswap.models.iresnet import IResNet
from simswap.models.onnx_reader.graph import OnnxGraph
from simswap.models.recognition import Recognizer
from simswap.training import training_embedder as of_training
from simswap.training.training_embedder import Switches, training_embedder
from tests.training.test_module import logged
from tests.training.tiny import batches, fit, tiny_module


class Casts(TorchDispatchMode):
    """Counts the casts of a network's weights."""

    def __init__(self, network):
        super().__init__()
        self.weights, self.count = {id(p) for p in network.parameters()}, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._to_copy.default:
            self.count += id(args[0]) in self.weights
        return func(*args, **(kwargs or {}))


def from_onnx(folder):
    """A convolution, a batch norm, a PReLU and a product, as torch's exporter writes them."""
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, 8), nn.BatchNorm2d(4), nn.PReLU(4), nn.Flatten(), nn.Linear(4 * 14 * 14, 6)
    )
    torch.onnx.export(network.eval(), (torch.rand(2, 3, 112, 112),), folder / "r.onnx", dynamo=False,
                      dynamic_axes={"x": {0: "n"}}, input_names=["x"])  # fmt: skip
    return OnnxGraph(folder / "r.onnx")


NETWORKS = {
    "builtin": lambda folder: builtin.recognizer(),
    "iresnet": lambda folder: Recognizer(IResNet((1, 1, 1, 1)), "i", "", 112, 512, "symmetric"),
    "arcface": lambda folder: Recognizer(ArcFace((1, 1, 1, 1)), "a", "", 112, 512, "imagenet"),
    "onnx": lambda folder: Recognizer(from_onnx(folder), "o", "", 112, 6, "symmetric"),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("name", "precision"), [*((name, "bf16-mixed") for name in NETWORKS), ("builtin", "16-mixed")])
def test_embeddings_and_gradients_are_the_same_without_a_cast_of_a_weight(name, precision, tmp_path):
    torch.manual_seed(0)
    measuring = Embedder(NETWORKS[name](tmp_path), "simswap", 96)
    before = {key: value.clone() for key, value in measuring.state_dict().items()}
    training = training_embedder(measuring, precision, Switches())
    images, views, found = torch.rand(2, 3, 96, 96), torch.tensor([1, 3]), []
    for embedder, weights in ((measuring, True), (training, False)):
        x = images.clone().requires_grad_()
        with torch.autocast("cpu", of_training.COMPUTE_DTYPES[precision]), Casts(embedder) as casts:
            embedding = embedder(x, views)
            embedding.square()[:, ::2].sum().backward()
        assert embedding.dtype == torch.float32
        assert (casts.count > 0) == weights
        found.append((embedding, x.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
    assert found[0][1].abs().sum() > 0

    # The one that measures has kept its weights; what autocast leaves in fp32, such as batch norm, is shared.
    assert all(torch.equal(value, before[key]) and value.dtype == before[key].dtype
               for key, value in measuring.state_dict().items())  # fmt: skip
    kept = {id(value) for value in [*measuring.parameters(), *measuring.buffers()]}
    own = [value for value in [*training.parameters(), *training.buffers()] if id(value) not in kept]
    assert {value.dtype for value in own} == {of_training.COMPUTE_DTYPES[precision]}
    assert not any(value.requires_grad for value in training.parameters())


@pytest.mark.parametrize("precision", ["32-true", "64-true"])
def test_without_mixed_precision_it_is_the_same_embedder(precision):
    measuring = Embedder(builtin.recognizer(), "arcface", 64)
    assert training_embedder(measuring, precision, Switches(channels_last=True)) is measuring
    compiled = training_embedder(measuring, precision, Switches(compile=True))
    assert compiled.recognizer.network._compiled_call_impl is not None
    assert measuring.recognizer.network._compiled_call_impl is None
    assert {id(p) for p in compiled.parameters()} == {id(p) for p in measuring.parameters()}


def test_training_uses_it_and_changes_in_nothing(monkeypatch):
    lines, embedders = [], []
    for dtypes in (of_training.COMPUTE_DTYPES, {}):
        monkeypatch.setattr(of_training, "COMPUTE_DTYPES", dtypes)
        module = tiny_module(weights={"cycle": 1.0})
        lines.append(logged(module))
        fit(module, batches(3), precision="bf16-mixed")
        embedders.append(module)
    assert lines[0] == lines[1]
    mixed, plain = embedders
    assert plain.training_embedder is plain.embedder
    assert {p.dtype for p in mixed.embedder.parameters()} == {torch.float32}
    assert {p.dtype for p in mixed.training_embedder.parameters()} == {torch.bfloat16}
    fit(mixed, batches(1), precision="32-true")
    assert mixed.training_embedder is mixed.embedder


def test_fp16_does_too():
    module = tiny_module("instance", "instance")
    plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", 1024.0))
    fit(module, batches(1), precision="32-true", plugins=[plugin])
    assert {p.dtype for p in module.training_embedder.parameters()} == {torch.float16}


@pytest.mark.gpu
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed", "32-true"])
def test_on_a_gpu_it_embeds_as_the_one_that_measures(precision, channels_last):
    measuring = Embedder(builtin.recognizer(), "simswap", 96).to("cuda")
    training = training_embedder(measuring, precision, Switches(channels_last))
    dtype = of_training.COMPUTE_DTYPES.get(precision)
    images, views = torch.rand(4, 3, 96, 96, device="cuda"), torch.arange(4, device="cuda")
    with torch.autocast("cuda", dtype or torch.bfloat16, enabled=dtype is not None), Casts(training) as casts:
        own = training(images, views)
        expected = measuring(images, views)
    assert casts.count == 0
    assert torch.nn.functional.cosine_similarity(own, expected).min() > 0.995
    with torch.no_grad():
        exact = measuring(images, views)
    assert torch.nn.functional.cosine_similarity(own, exact).min() > (0.99 if dtype else 0.9999)
    first = next(p for p in training.recognizer.parameters() if p.dim() == 4)
    assert first.is_contiguous(memory_format=torch.channels_last) == channels_last or first.shape[1] == 1
