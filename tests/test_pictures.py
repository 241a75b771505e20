"""Grids and picture files, pixel by pixel."""

import numpy as np
import pytest
import torch
from PIL import Image

import simswap
from simswap.pictures import DIGITAL_SOURCE, GAP, mark_synthetic, on_white, provenance, swap_grid, write_jpeg, write_png


def flat(*values: int) -> torch.Tensor:
    """Pictures of 2 x 3 pixels, each of one gray value."""
    return torch.tensor(values, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 2, 3).contiguous()


def test_grid_puts_targets_left_and_sources_on_top():
    targets, sources = flat(10, 20), flat(1, 2, 3)
    swaps = torch.stack([flat(11, 12, 13), flat(21, 22, 23)])
    grid = swap_grid(targets, sources, swaps)
    assert grid.shape == (3 * 2 + 2 * GAP, 4 * 3 + 3 * GAP, 3)
    assert grid.dtype == np.uint8
    cells = grid[:: 2 + GAP, :: 3 + GAP, 0]
    assert cells.tolist() == [[255, 1, 2, 3], [10, 11, 12, 13], [20, 21, 22, 23]]
    assert (grid[2 : 2 + GAP] == 255).all()
    assert (grid[:, 3 : 3 + GAP] == 255).all()


def test_grid_keeps_channels_and_orientation():
    picture = torch.arange(18, dtype=torch.uint8).reshape(1, 3, 2, 3)
    grid = swap_grid(picture, picture, picture[None])
    assert (grid[:2, 3 + GAP :] == picture[0].permute(1, 2, 0).numpy()).all()


def test_grid_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"\[T, S, 3, H, W\]"):
        swap_grid(flat(1, 2), flat(1), torch.stack([flat(1, 2)]))
    with pytest.raises(ValueError, match="swaps must be uint8"):
        swap_grid(flat(1), flat(1), flat(1)[None].float())


def test_png_keeps_pixels_and_says_where_it_comes_from(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    write_png(tmp_path / "samples" / "grid.png", image, provenance("sha256:ab12"))
    with Image.open(tmp_path / "samples" / "grid.png") as read:
        assert (np.asarray(read) == image).all()
        assert DIGITAL_SOURCE in read.text.pop("XML:com.adobe.xmp")
        assert read.text == {
            "Description": "synthetic face swap",
            "Software": f"SimSwap Lab {simswap.__version__}",
            "Checkpoint": "sha256:ab12",
        }


def test_png_refuses_other_arrays(tmp_path):
    with pytest.raises(ValueError, match="uint8"):
        write_png(tmp_path / "a.png", np.zeros((4, 4, 3), dtype=np.float32))
    with pytest.raises(ValueError, match="uint8"):
        write_png(tmp_path / "a.png", np.zeros((4, 4), dtype=np.uint8))
    assert not list(tmp_path.iterdir())


def test_the_mark_is_opaque_and_hides_what_was_transparent():
    image = np.full((120, 160, 3), (0, 255, 0), np.uint8)  # hidden green
    alpha = np.zeros((120, 160), np.uint8)
    marked = mark_synthetic(image, alpha)
    under = marked[..., 3] == 255
    rows, columns = np.nonzero(under)
    assert under[rows.min() :, columns.min() :].all()  # a box in the corner
    assert 30 < (columns.max() - columns.min()) < 100
    assert (marked[under][:, 0] == marked[under][:, 1]).all()  # gray: the green does not come through
    assert np.ptp(marked[under][:, 0].astype(int)) > 60  # letters on their ground
    np.testing.assert_array_equal(marked[~under][:, :3], image[~under])
    assert (marked[~under][:, 3] == 0).all()
    # On any background it is the same, and where nothing is transparent it is what an opaque photo gets.
    plain = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    opaque = mark_synthetic(plain, np.full((90, 70), 255, np.uint8))
    np.testing.assert_array_equal(opaque[..., :3], mark_synthetic(plain))


@pytest.mark.parametrize("size", [(1, 1), (6, 6), (10, 300), (300, 10), (24, 24), (48, 48), (2000, 60)])
def test_the_mark_fits_into_tiny_pictures(size):
    marked = mark_synthetic(np.full((*size, 3), 200, np.uint8))
    assert marked.shape == (*size, 3)
    changed = (marked != 200).any(-1)
    assert changed.any()
    if min(size) >= 10:
        bright = np.argwhere(changed & (marked[..., 0] > 135))  # the ground is 114
        assert bright.size
        assert (bright > 0).all()  # no letter is cut off at the left or at the top


def test_transparent_pictures_are_laid_on_white():
    image, alpha = np.full((1, 3, 3), 100, np.uint8), np.array([[0, 128, 255]], np.uint8)
    assert on_white(image, alpha)[0, :, 0].tolist() == [255, 177, 100]


def test_a_jpeg_names_its_checkpoint_where_it_is_synthetic(tmp_path):
    image = np.full((8, 8, 3), 77, np.uint8)
    write_jpeg(tmp_path / "a.jpg", image, provenance("sha256:abc"))
    write_jpeg(tmp_path / "b.jpg", image)
    with Image.open(tmp_path / "a.jpg") as made, Image.open(tmp_path / "b.jpg") as plain:
        assert 'simswap:Checkpoint="sha256:abc"' in made.info["xmp"].decode()
        assert DIGITAL_SOURCE in made.info["xmp"].decode()
        assert "xmp" not in plain.info
        assert np.abs(np.asarray(made).astype(int) - 77).max() <= 1
