"""Maps of the layers' distances: they add up to what the loss term says, and lie where the network looks."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from simswap import checkpoint, pixels
from simswap.errors import InputError
from simswap.inference.layer_maps import LayerMaps, layer_maps, maps_of_swap
from simswap.losses.feature_matching import feature_matching_term
from simswap.measuring.swappers import Faces, swap_faces
from simswap.models.builtin import recognizer
from simswap.models.discriminator import Cells, Discriminators
from simswap.models.discriminator_contract import ScaleOutput, outputs
from simswap.models.embedder import Embedder

RECORDED = Path(__file__).parents[1] / "recorded" / "run" / "checkpoints" / "last.ckpt"
"""A complete checkpoint of an earlier version."""


class Known(torch.nn.Module):
    """Two scales, two layers; the features of an image are its value times a power of two."""

    layer_count = 2

    def forward(self, images):
        value = images.mean()
        return [
            ScaleOutput([torch.full((1, 2, 4, 4), a) * value, torch.full((1, 8, 2, 2), b) * value], torch.zeros(1))
            for a, b in ((1.0, 4.0), (0.5, 16.0))
        ]


def pair(seed=0, size=96):
    torch.manual_seed(seed)
    return torch.rand(3, size, size), torch.rand(3, size, size)


def term(network, result, target, first_layer, last_layer, layer_reduction):
    """The loss term itself, on the same two images."""
    judged = outputs(network(target[None]), network(result[None]))
    inputs = SimpleNamespace(fake_features=judged["fake_features"], real_features=judged["real_features"])
    return feature_matching_term(
        inputs, first_layer=first_layer, last_layer=last_layer, layer_reduction=layer_reduction
    )


def test_numbers_worked_out_by_hand():
    # |3 - 1| = 2: D1 has 2 and 8, D2 1 and 32
    found = layer_maps(Known(), torch.full((3, 8, 8), 3.0), torch.full((3, 8, 8), 1.0))
    assert found.distances.tolist() == [[2, 8], [1, 32]]
    assert [[one.shape for one in scale] for scale in found.maps] == [[(4, 4), (2, 2)]] * 2
    assert found.loss(0, 1) == 2 + 8 + 1 + 32
    assert found.loss(1, 1) == 8 + 32
    assert found.loss(0, 1, "mean") == 5 + 16.5
    assert found.loss(0, 1, scale=1) == 33
    assert (found.summed(0, 1) == 43).all()
    assert (found.summed(0, 1, "mean", 0) == 5).all()
    assert found.ceiling() == 32
    assert found.cells[0] == [Cells(0.5, 2), Cells(1.5, 4)]  # a network that says nothing: spread evenly


@pytest.mark.parametrize("layer_reduction", ["sum", "mean"])
@pytest.mark.parametrize(("first", "last"), [(0, 4), (2, 4), (0, 1), (3, 3)])
def test_the_maps_of_a_range_add_up_to_the_loss_term(first, last, layer_reduction):
    torch.manual_seed(1)
    network = Discriminators(96, width=4).eval().double()
    result, target = (image.double() for image in pair())
    found = layer_maps(network, result, target)
    value, layers = term(network, result, target, first, last, layer_reduction)
    assert found.loss(first, last, layer_reduction) == value.item()  # the same functions: equal to the bit
    assert found.distances.flatten().tolist() == [layers[f"feature_matching_d{k}_layer{i}"].item()
                                                  for k in (1, 2) for i in range(5)]  # fmt: skip
    chosen = [scale[first : last + 1] for scale in found.maps]
    means = [[float(one.astype(np.float64).mean()) for one in scale] for scale in chosen]
    summed = sum(sum(scale) / (len(scale) if layer_reduction == "mean" else 1) for scale in means)
    assert summed == pytest.approx(value.item(), rel=1e-6)


def test_maps_are_exact_where_numbers_are():
    """Differences that are multiples of 1/8 and counts that are powers of two leave nothing to rounding."""

    class Grid(torch.nn.Module):
        layer_count = 1

        def forward(self, images):
            torch.manual_seed(int(images.sum()))
            return [ScaleOutput([torch.randint(-40, 40, (1, 4, 8, 8)) / 8], torch.zeros(1)) for _ in range(2)]

    found = layer_maps(Grid(), torch.ones(3, 8, 8), torch.zeros(3, 8, 8))
    assert sum(float(scale[0].mean()) for scale in found.maps) == found.loss(0, 0) > 0


def test_a_range_outside_of_the_layers_is_refused():
    found = layer_maps(Known(), torch.ones(3, 8, 8), torch.zeros(3, 8, 8))
    for first, last in ((1, 0), (0, 2), (-1, 1)):
        with pytest.raises(InputError, match="is not a range of the discriminators' layers"):
            found.summed(first, last)
    with pytest.raises(InputError, match="choose sum or mean"):
        found.loss(0, 1, "median")


def test_features_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="not finite"):
        layer_maps(Known(), torch.full((3, 8, 8), torch.inf), torch.zeros(3, 8, 8))


def test_every_pixel_has_the_value_of_the_nearest_cell():
    values = np.array([[1, 2], [3, 4]], np.float32)
    found = LayerMaps([[values]], torch.ones(1, 1), [[Cells(1.5, 4.0)]], 8)
    expected = np.kron(values, np.ones((4, 4), np.float32))
    np.testing.assert_array_equal(found.over_face(0, 0), expected)
    # cells in the middle, with a margin of two pixels: the margin has the value of its nearest cell
    found = LayerMaps([[values]], torch.ones(1, 1), [[Cells(2.5, 3.0)]], 8)
    assert found.over_face(0, 0)[0].tolist() == [1, 1, 1, 1, 2, 2, 2, 2]


def test_a_change_of_the_image_shows_where_it_is():
    torch.manual_seed(0)
    network = Discriminators(96, width=4, norm="none").eval()
    target = torch.full((3, 96, 96), 0.5)
    result = target.clone()
    result[:, 20:28, 60:68] = 1.0
    found = layer_maps(network, result, target)
    for k in range(2):
        for i in range(3):  # later layers see half of the image with every cell
            row, column = np.unravel_index(found.maps[k][i].argmax(), found.maps[k][i].shape)
            first, step = found.cells[k][i]
            assert abs(first + step * row - 23.5) <= 4 + step
            assert abs(first + step * column - 63.5) <= 4 + step  # the square is 8 px wide


def test_a_complete_checkpoint_of_an_earlier_version_swaps_and_judges_a_pair():
    trained, discriminators = checkpoint.load(RECORDED), checkpoint.load_discriminators(RECORDED)
    embedder = Embedder(recognizer(), trained.template, trained.image_size)
    torch.manual_seed(0)
    images = torch.rand(2, 3, trained.image_size, trained.image_size)
    target, source = (Faces(images[k : k + 1], torch.zeros(1, dtype=torch.int64)) for k in (0, 1))
    found, result = maps_of_swap(trained, discriminators, embedder, target, source)
    expected = swap_faces(trained.generator, embedder, target, source).images[0]
    torch.testing.assert_close(result, expected)
    made, wanted = (pixels.to_range(one, trained.generator.pixel_range) for one in (expected, images[0]))
    value, _ = term(discriminators.network, made, wanted, 0, discriminators.layers - 1, "sum")
    assert found.loss(0, discriminators.layers - 1) == pytest.approx(value.item(), rel=1e-5)
    assert found.loss(0, discriminators.layers - 1) > 0


def test_a_source_that_cannot_be_embedded_is_refused():
    trained, discriminators = checkpoint.load(RECORDED), checkpoint.load_discriminators(RECORDED)
    embedder = Embedder(recognizer(), trained.template, trained.image_size)
    images = torch.rand(1, 3, trained.image_size, trained.image_size)
    view = torch.zeros(1, dtype=torch.int64)
    with pytest.raises(InputError, match="no swap can be made of these faces"):
        maps_of_swap(trained, discriminators, embedder, Faces(images, view), Faces(images * torch.nan, view))
