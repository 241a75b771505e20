"""arcface_torch's recognizers against a second implementation, and converted from ONNX against the native network."""

import time

import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F

from simswap.errors import InputError
from simswap.models.iresnet import DEPTHS, IResNet, iresnet_recognizer
from simswap.models.recognition import onnx_recognizer


def random_iresnet(blocks, seed=0):
    torch.manual_seed(seed)
    network = IResNet(blocks)
    for name, value in network.state_dict().items():
        if name.endswith("running_mean"):
            value.normal_(0, 0.1)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    return network.eval()


def described(state, x, blocks):
    def norm(x, name):
        return F.batch_norm(x, *(state[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")))

    x = F.prelu(norm(F.conv2d(x, state["conv1.weight"], padding=1), "bn1"), state["prelu.weight"])
    for layer, count in enumerate(blocks, start=1):
        for block in range(count):
            p, stride = f"layer{layer}.{block}", 2 if block == 0 else 1
            y = norm(F.conv2d(norm(x, f"{p}.bn1"), state[f"{p}.conv1.weight"], padding=1), f"{p}.bn2")
            y = F.conv2d(F.prelu(y, state[f"{p}.prelu.weight"]), state[f"{p}.conv2.weight"], stride=stride, padding=1)
            if block == 0:
                x = norm(F.conv2d(x, state[f"{p}.downsample.0.weight"], stride=2), f"{p}.downsample.1")
            x = norm(y, f"{p}.bn3") + x
    return norm(F.linear(norm(x, "bn2").flatten(1), state["fc.weight"], state["fc.bias"]), "features")


@pytest.mark.parametrize("blocks", [(2, 2, 2, 2), (3, 4, 14, 3)])
def test_equals_the_description(tmp_path, blocks):
    network = random_iresnet(blocks)
    torch.save({f"module.{name}": value for name, value in network.state_dict().items()}, tmp_path / "backbone.pt")
    recognizer = iresnet_recognizer(str(tmp_path / "backbone.pt"))
    assert recognizer.name == f"iresnet{DEPTHS[blocks]} (backbone)"
    images = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = F.normalize(described(network.state_dict(), images * 2 - 1, blocks))
        torch.testing.assert_close(recognizer(images), wanted, rtol=1e-4, atol=1e-5)


def test_other_depths_and_faults_are_named(tmp_path):
    state = random_iresnet((2, 2, 2, 2)).state_dict()

    def complaint(changed):
        torch.save(changed, tmp_path / "net.pt")
        with pytest.raises(InputError) as raised:
            iresnet_recognizer(str(tmp_path / "net.pt"))
        return str(raised.value)

    assert "missing features.weight" in complaint({k: v for k, v in state.items() if k != "features.weight"})
    lacking = {k: v for k, v in state.items() if not k.startswith("layer3.1.")}
    assert "(2, 2, 1, 2) blocks, which is none of iresnet18" in complaint(lacking)
    assert "not finite" in complaint(state | {"fc.bias": torch.full((512,), torch.inf)})


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """iresnet50 in insightface's form as an ONNX file (BatchNormalization, PRelu, Gemm), and the network itself."""
    network = random_iresnet((3, 4, 14, 3))
    path = tmp_path_factory.mktemp("onnx") / "w600k_r50.onnx"
    torch.onnx.export(
        network,
        (torch.rand(1, 3, 112, 112),),
        path,
        input_names=["images"],
        output_names=["vectors"],
        dynamo=False,
        dynamic_axes={"images": {0: "batch"}, "vectors": {0: "batch"}},
        do_constant_folding=False,
        training=torch.onnx.TrainingMode.PRESERVE,
    )
    return network, path


def test_a_converted_iresnet50_equals_the_native_one(exported):
    network, path = exported
    operators = {node.op_type for node in onnx.load(path).graph.node}
    assert {"Conv", "BatchNormalization", "PRelu", "Add", "Flatten", "Gemm"} <= operators
    recognizer = onnx_recognizer(str(path))
    ours = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(1), requires_grad=True)
    native = ours.detach().clone().requires_grad_()
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wanted = torch.from_numpy(session.run(None, {"images": (ours.detach() * 2 - 1).numpy()})[0])
    got = recognizer(ours)
    torch.testing.assert_close(got, F.normalize(wanted), rtol=1e-4, atol=1e-5)
    weights = torch.randn(512, generator=torch.Generator().manual_seed(2))
    (got @ weights).sum().backward()
    (F.normalize(network(native * 2 - 1)) @ weights).sum().backward()
    torch.testing.assert_close(ours.grad, native.grad, rtol=1e-3, atol=1e-4 * float(native.grad.abs().max()))


@pytest.mark.slow
def test_the_converted_network_is_as_fast_as_the_native_one(exported):
    """Forward and backward, the better of five each, in turn."""
    network, path = exported
    recognizer = onnx_recognizer(str(path))
    images = torch.rand(4, 3, 112, 112)

    def seconds(run):
        x = images.clone().requires_grad_()
        start = time.process_time()
        run(x).sum().backward()
        return time.process_time() - start

    pairs = [(seconds(recognizer), seconds(network.requires_grad_(False))) for _ in range(6)][1:]
    ours, native = (min(times) for times in zip(*pairs, strict=True))
    print(f"converted {ours:.3f} s, native {native:.3f} s, ratio {ours / native:.2f}")
    assert ours < 1.3 * native
