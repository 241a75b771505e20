"""Grids and picture files, pixel by pixel."""

import numpy as np
import pytest
import torch
from PIL import Image

import simswap
from simswap.pictures import DIGITAL_SOURCE, GAP, provenance, swap_grid, write_png


def flat(*values: int) -> torch.Tensor:
    """Pictures of 2 x 3 pixels, each of one grey value."""
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
