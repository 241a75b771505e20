"""The generator against the paper's counts and an independent description of its parts."""

import pytest
import torch

from simswap.errors import InputError
from simswap.models.generator import AdaIN, Generator


def parameters(**settings):
    with torch.device("meta"):
        return sum(p.numel() for p in Generator(**settings).parameters())


def test_the_public_nets_have_their_parameter_counts():
    assert parameters() == 55_051_779  # 55.05 M at 224 with 512 identity values
    assert parameters(width=64, stages=4) == 59_773_443  # Gdeep: 59.77 M
    with torch.device("meta"):
        at_512 = Generator(width=32, stages=4)
    assert [stage[0].out_channels for stage in at_512.encoder] == [64, 128, 256, 512]


def test_adain_gives_the_asked_mean_and_deviation():
    layer = AdaIN(2, 3)
    torch.nn.init.zeros_(layer.style.weight)
    with torch.no_grad():
        layer.style.bias.copy_(torch.tensor([1.0, 2.0, 5.0, -7.0]))  # scale 1, 2; shift 5, -7
    out = layer(torch.rand(4, 2, 8, 8) * 9 - 3, torch.rand(4, 3))
    torch.testing.assert_close(out.mean(dim=(2, 3)), torch.tensor([[5.0, -7.0]]).expand(4, 2))
    torch.testing.assert_close(out.std(dim=(2, 3), correction=0), torch.tensor([[2.0, 3.0]]).expand(4, 2))


def test_adain_by_hand():
    layer = AdaIN(1, 1)
    with torch.no_grad():
        layer.style.weight.copy_(torch.tensor([[1.0], [0.5]]))
        layer.style.bias.zero_()
    # x = 0, 2: mean 1, deviation 1 → -1, 1; identity 2: scale 2, shift 1 → x * 3 + 1
    out = layer(torch.tensor([[[[0.0, 2.0]]]]), torch.tensor([[2.0]]))
    assert out.flatten().tolist() == pytest.approx([-2.0, 4.0])


@pytest.mark.parametrize(("pixel_range", "low", "high"), [("unit", 0, 1), ("symmetric", -1, 1)])
def test_the_output_stays_in_its_range(pixel_range, low, high):
    net = Generator(4, 2, 1, 8, pixel_range=pixel_range)
    with torch.no_grad():
        net.last[1].weight.mul_(1000)
    out = net(torch.rand(2, 3, 16, 16), torch.rand(2, 8))
    assert out.shape == (2, 3, 16, 16)
    assert low <= out.min() < low + 0.01
    assert high - 0.01 < out.max() <= high


def test_the_imagenet_range_is_linear():
    net = Generator(4, 2, 1, 8, pixel_range="imagenet")
    with torch.no_grad():
        net.last[1].weight.mul_(1000)
    assert net(torch.rand(1, 3, 16, 16), torch.rand(1, 8)).abs().max() > 3


def test_identity_changes_the_result():
    torch.manual_seed(0)
    net = Generator(4, 2, 2, 8).eval()
    target = torch.rand(1, 3, 16, 16)
    a, b = net(target, torch.eye(8)[:1]), net(target, torch.eye(8)[1:2])
    assert (a - b).abs().max() > 1e-4


def test_a_batch_of_one_works_in_training():
    net = Generator(4, 2, 2, 8).train()
    assert torch.isfinite(net(torch.rand(1, 3, 16, 16), torch.rand(1, 8))).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"norm": "layer"}, "generator.norm=layer"),
        ({"blocks": 0}, "generator.blocks=0"),
        ({"pixel_range": "8bit"}, "8bit"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        Generator(**({"width": 4, "stages": 1, "blocks": 1, "identity_size": 4} | settings))


@pytest.mark.parametrize("size", [225, 8, 12])
def test_sizes_that_do_not_fit_are_refused(size):
    with pytest.raises(InputError, match="multiple of 8"):
        Generator(4, 3, 1, 4).check_size(size)
    Generator(4, 3, 1, 4).check_size(224)


def test_wrong_shapes_raise():
    with pytest.raises(ValueError, match="identity"):
        Generator(4, 1, 1, 4)(torch.rand(1, 3, 8, 8), torch.rand(2, 4))


def saved_bytes(network, target, identity):
    """What the graph of one forward pass holds for the backward pass, and the result."""
    storages = {}

    def note(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = network(target, identity)
    return sum(size for place, size in storages.items() if place not in weights), result


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_checkpointing_gives_the_same_gradients_and_statistics_with_less_memory(norm):
    torch.manual_seed(0)
    plain = Generator(8, 2, 3, 8, 32, norm=norm).train()
    frugal = Generator(8, 2, 3, 8, 32, norm=norm, checkpointing=True).train()
    frugal.load_state_dict(plain.state_dict())
    assert frugal.settings == plain.settings  # it is the same network
    target, identity = torch.rand(2, 3, 32, 32), torch.nn.functional.normalize(torch.randn(2, 8))
    held = {}
    for network in (plain, frugal):
        held[network], result = saved_bytes(network, target, identity)
        (result * target).sum().backward()
    for (name, p), q in zip(plain.named_parameters(), frugal.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad), name
    for (name, b), c in zip(plain.named_buffers(), frugal.buffers(), strict=True):
        assert torch.equal(b, c), name  # running statistics and their counters moved once
    assert held[frugal] < 0.45 * held[plain]


def test_checkpointing_is_for_training_alone():
    network = Generator(4, 2, 1, 8, 8, checkpointing=True)
    inputs = torch.rand(1, 3, 16, 16), torch.rand(1, 8)
    with torch.no_grad():
        network.train()(*inputs)
    plain = Generator(4, 2, 1, 8, 8)
    plain.load_state_dict(network.state_dict())
    assert saved_bytes(network.eval(), *inputs)[0] == saved_bytes(plain.eval(), *inputs)[0]
