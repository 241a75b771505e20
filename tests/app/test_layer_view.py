"""The tab of layers: what it computes once, and what it shows for a range without the networks."""

import re

import numpy as np
import pytest
import torch

from simswap import checkpoint
from simswap.app.examples import ExampleFinder, rendered_examples
from simswap.app.layer_view import Compared, Range, compare, range_html, total_words, where
from simswap.app.networks import Networks, Settings
from simswap.errors import InputError
from simswap.faces.paste import PasteSettings
from simswap.inference.layer_maps import LayerMaps
from simswap.inference.layer_pictures import LAYERS_CHECKPOINT
from simswap.models.discriminator import Cells
from simswap.models.recorded import judge_of, pose_of


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    return rendered_examples(tmp_path_factory.mktemp("examples"))


@pytest.fixture(scope="module")
def networks(examples):
    settings = Settings(
        ExampleFinder(examples, None), judge_of, pose_of, None, 24.0, 8, torch.device("cpu"), PasteSettings()
    )
    return Networks(LAYERS_CHECKPOINT, settings)


@pytest.fixture(scope="module")
def pair(networks, examples):
    return compare(networks, LAYERS_CHECKPOINT, str(examples[0].path), str(examples[1].path))


@pytest.fixture
def known():
    """Two discriminators with two layers of known distances."""
    maps = [[np.full((4, 4), value, np.float32) for value in scale] for scale in ((1, 2), (4, 8))]
    found = LayerMaps(maps, torch.tensor([[1.0, 2], [4, 8]]), [[Cells(0.5, 2)] * 2] * 2, 8)
    face = np.full((8, 8, 3), 99, np.uint8)
    return Compared(found, face, {"source": face, "target": face, "result": face}, Range(1, 1, "sum"), 10.0)


def test_the_sentence_has_the_numbers_of_the_range(known):
    assert total_words(known, Range(0, 1, "sum")) == (
        "Layers 0 to 1 of 0 to 1, sum: D1 3.000 + D2 12.000 = 15.000, times the weight 10 = 150.00 in the loss. It was "
        "trained with layers 1 to 1, sum."
    )
    assert "D1 1.500 + D2 6.000 = 7.500" in total_words(known, Range(0, 1, "mean"))
    assert total_words(known, Range(1, 1, "sum")).endswith("This is the range of its training.")


def test_every_picture_says_what_it_shows_and_whether_it_counts(known):
    shown = range_html(known, Range(1, 1, "sum"), own_scale=False)
    words = re.findall(r'<img [^>]*alt="([^"]*)"', shown)
    assert len(words) == shown.count("<img ") == 3 + 2 * 3 + 1
    assert "D1, layer 0, 4 × 4 cells, left out: distance 1.000, largest at the upper left of the face" in words
    assert "D2, layer 1, 4 × 4 cells, counts: distance 8.000, largest at the upper left of the face" in words
    assert shown.count('class="layer in"') == 2
    assert "0 to 8.00 for layers, 0 to 12.00 for the range" in shown
    assert 'role="status"' in shown
    # 2 + 8 of the range's 10
    assert re.search(r"layer 1</th><td>2.0000</td><td>8.0000</td><td>100 %", shown)
    assert re.search(r"layer 0</th><td>1.0000</td><td>4.0000</td><td>left out", shown)


def test_colors_of_its_own_show_a_layer_as_its_largest_value(known):
    alike, own = (range_html(known, Range(0, 1, "sum"), own_scale) for own_scale in (False, True))
    assert known.layer(0, 0, True) == known.layer(1, 1, False)  # each is all at the end of its scale
    assert known.layer(0, 0, False) != known.layer(0, 0, True)
    assert known.layer(0, 0, True) in own
    assert known.layer(0, 0, False) in alike
    assert "0 to the largest value of each layer" in own


@pytest.mark.parametrize(
    ("row", "column", "word"), [(0, 0, "upper left"), (4, 4, "middle"), (8, 4, "bottom"), (4, 8, "right")]
)
def test_the_place_of_the_largest_values_in_words(row, column, word):
    values = np.zeros((9, 9), np.float32)
    values[row, column] = 1
    assert where(values) == word


def test_a_range_that_does_not_fit_is_refused(known):
    with pytest.raises(InputError, match="is not a range"):
        range_html(known, Range(1, 2, "sum"), own_scale=False)


def test_a_pair_is_compared_once_and_holds_no_network(pair):
    found = checkpoint.load_discriminators(LAYERS_CHECKPOINT)
    assert pair.trained == Range(found.first_layer, found.last_layer, found.layer_reduction)
    assert pair.maps.layers == found.layers
    assert pair.maps.loss(0, found.layers - 1) > pair.maps.loss(found.first_layer, found.last_layer) > 0
    assert not [one for one in (*vars(pair).values(), *vars(pair.maps).values()) if isinstance(one, torch.nn.Module)]
    for first in range(found.layers):
        for last in range(first, found.layers):
            total = pair.maps.loss(first, last)
            assert f"= {total:.3f}, times the weight" in range_html(pair, Range(first, last, "sum"), own_scale=False)


def test_the_result_is_marked_and_the_faces_are_the_photos(pair):
    assert set(pair.faces) == {"source", "target", "result"}
    result, target = (pair.faces[name].astype(int) for name in ("result", "target"))
    assert result.shape == target.shape
    assert 2 < np.abs(result - target).mean() < 60


def test_a_checkpoint_without_discriminators_and_a_missing_photo_are_refused(networks, examples):
    with pytest.raises(InputError, match="holds no discriminators"):
        compare(networks, LAYERS_CHECKPOINT.parent / "demo.ckpt", str(examples[0].path), str(examples[1].path))
    with pytest.raises(InputError, match="there is no target photo"):
        compare(networks, LAYERS_CHECKPOINT, str(examples[0].path), None)
