"""The discriminators against the table of feature sizes of the public code."""

import copy

import pytest
import torch
from torch import nn

from simswap.errors import InputError
from simswap.models.discriminator import Discriminators, layer_sizes, most_layers
from simswap.models.frozen import frozen
from simswap.models.statistics import eval_mode_batch_norm


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        (224, [112, 56, 28, 14, 13, 12]),
        (112, [56, 28, 14, 7, 6, 5]),
        (512, [256, 128, 64, 32, 31, 30]),
        (256, [128, 64, 32, 16, 15, 14]),
    ],
)
def test_feature_sizes_are_those_of_the_table(size, sizes):
    assert layer_sizes(size, 5) == sizes


def test_the_networks_have_the_sizes_that_the_table_says():
    with torch.device("meta"):
        outputs = Discriminators(224)(torch.empty(1, 3, 224, 224))
    for output, size in zip(outputs, (224, 112), strict=True):
        assert [f.shape[2] for f in output.features] + [output.logits.shape[2]] == layer_sizes(size, 5)
        assert [f.shape[1] for f in output.features] == [64, 128, 256, 512, 512]
        assert output.logits.shape[1] == 1


def test_as_many_layers_as_the_picture_allows():
    assert {size: most_layers(size, 2) for size in (512, 96, 95, 94, 64, 32, 16)} == {
        512: 5,
        96: 5,
        95: 5,
        94: 4,
        64: 4,
        32: 3,
        16: 2,
    }
    for size in (95, 94, 64, 47, 32, 16):
        outputs = Discriminators(size, width=2)(torch.rand(2, 3, size, size))
        assert len(outputs[1].features) == most_layers(size, 2)
        assert min(outputs[1].logits.shape[2:]) >= 1


@pytest.mark.parametrize(("size", "layers"), [(94, 5), (64, 5), (4, None), (224, 1)])
def test_what_does_not_fit_is_refused_with_what_does(size, layers):
    with pytest.raises(InputError, match=f"allow at most {most_layers(size, 2)};"):
        Discriminators(size, layers=layers)


def test_the_second_scale_is_halved_without_counting_the_pad():
    net = Discriminators(16, width=2)
    image = torch.arange(16.0).view(1, 1, 4, 4).expand(1, 3, 4, 4)
    # top left: mean of the 2x2 corner (0, 1, 4, 5); next: mean of rows 0-1, columns 1-3
    assert net.pyramid(image)[1][0, 0].tolist() == [[2.5, 4.0], [8.5, 10.0]]


def test_norms_start_at_the_second_layer():
    kinds = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d, "group": nn.GroupNorm}
    for norm, kind in kinds.items():
        scale = Discriminators(32, width=4, norm=norm).scales[0]
        assert [any(isinstance(m, kind) for m in layer) for layer in scale.layers] == [False, True, True]
        assert isinstance(scale.logits, nn.Conv2d)
    assert not any("orm" in type(m).__name__ for m in Discriminators(32, width=4, norm="none").modules())
    with pytest.raises(InputError, match=r"discriminator\.norm=layer"):
        Discriminators(32, norm="layer")


def test_frozen_lets_gradient_through_and_keeps_everything():
    net = Discriminators(32, width=4).train()
    before = copy.deepcopy(net.state_dict())
    image = torch.rand(2, 3, 32, 32, requires_grad=True)
    with frozen(net):
        sum(o.logits.sum() for o in net(image)).backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0
    assert all(p.grad is None for p in net.parameters())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(p.requires_grad for p in net.parameters())


def test_uncoupled_samples_do_not_see_each_other():
    net = Discriminators(32, width=4, norm="batch").train()
    image = torch.rand(3, 3, 32, 32)
    with eval_mode_batch_norm(net):
        together, alone = net(image)[0].logits[:1], net(image[:1])[0].logits
    torch.testing.assert_close(together, alone)
    coupled = net(image)[0].logits[:1]
    assert not torch.allclose(coupled, net(image[:1])[0].logits, atol=1e-3)


def test_cells_lie_in_the_middle_of_what_they_see():
    """The gradient of one cell covers its receptive field, whose middle is the cell's place."""
    network = Discriminators(192, width=2, norm="none")
    image = torch.rand(1, 3, 192, 192, requires_grad=True)
    cells, compared = network.cells(), []
    for scale, output in enumerate(network(image)):
        for layer, features in enumerate(output.features):
            place = features.shape[-1] // 2
            (gradient,) = torch.autograd.grad(features[0, :, place].abs().sum(), image, retain_graph=True)
            rows = gradient[0].abs().sum((0, 2)).nonzero().flatten()
            first, step = cells[scale][layer]
            if rows[0] > 0 and rows[-1] < 191:  # not cut off by the border
                assert (rows[0] + rows[-1]).item() / 2 == first + place * step
                compared.append((scale, layer))
    assert len(compared) == 10
    assert cells[0] == [(0.5, 2), (1.5, 4), (3.5, 8), (7.5, 16), (15.5, 16)]
    assert cells[1] == [(1, 4), (3, 8), (7, 16), (15, 32), (31, 32)]
