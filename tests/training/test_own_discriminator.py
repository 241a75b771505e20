"""A discriminator class of one's own in place of the project's: what it must offer, and that it trains."""

import pytest
import torch
from torch import nn

from simswap.errors import InputError
from simswap.models.discriminator import Discriminators
from simswap.models.discriminator_contract import ScaleOutput
from tests.training.test_module import logged
from tests.training.tiny import SIZE, batches, fit, tiny_module


class PixelDiscriminator(nn.Module):
    """Judges every pixel by itself, on one scale: three 1x1 convolutions."""

    def __init__(self, image_size: int, width: int = 6) -> None:
        super().__init__()
        self.layer_count = 3
        channels = [3, width, width, width]
        self.layers = nn.ModuleList(nn.Conv2d(channels[i], channels[i + 1], 1) for i in range(3))
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, images):
        features = []
        for layer in self.layers:
            images = torch.tanh(layer(images))
            features.append(images)
        return [ScaleOutput(features, self.head(images))]

    def pyramid(self, images):
        return [images]

    def patch_functions(self):
        return [lambda images: self(images)[0].logits]


def test_it_trains_beside_the_generator():
    module = tiny_module(discriminators=PixelDiscriminator(image_size=SIZE))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    seen = logged(module)
    fit(module, batches(2), precision="32-true")
    assert {"train/feature_matching_d1_layer2", "train/gradient_penalty"} <= set(seen[1])
    assert "train/feature_matching_d2_layer0" not in seen[1]
    for name in ("discriminators.head.weight", "discriminators.layers.0.weight", "generator.last.1.weight"):
        assert not torch.equal(module.state_dict()[name], before[name]), name


def test_the_layer_range_is_checked_against_its_layers():
    class Shallow(PixelDiscriminator):
        def __init__(self) -> None:
            super().__init__(SIZE)
            self.layer_count = 2

    with pytest.raises(InputError, match=r"layers 0\.\.1"):
        tiny_module(discriminators=Shallow())


def test_what_it_lacks_is_named():
    class NoPyramid(nn.Module):
        layer_count = 3

    class NoNetwork:
        layer_count = 3

    with pytest.raises(InputError, match="discriminator NoPyramid lacks pyramid, patch_functions: see"):
        tiny_module(discriminators=NoPyramid())
    with pytest.raises(InputError, match=r"discriminator NoNetwork is not a torch\.nn\.Module"):
        tiny_module(discriminators=NoNetwork())


def test_the_projects_own_keep_the_contract():
    ours, images = Discriminators(SIZE, width=4), torch.rand(2, 3, SIZE, SIZE)
    outputs, inputs, functions = ours(images), ours.pyramid(images), ours.patch_functions()
    assert len(outputs) == len(inputs) == len(functions) == 2
    ours.eval()
    for output, scale, function in zip(ours(images), inputs, functions, strict=True):
        assert len(output.features) == ours.layer_count
        assert torch.equal(function(scale), output.logits)
