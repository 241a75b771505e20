"""Image files out, with a word on where they come from, and the grid that shows swaps side by side."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from simswap import __version__
from simswap.files import whole_file

GAP = 4
"""White pixels between the pictures of a grid."""


def provenance(checkpoint_sha256: str) -> dict[str, str]:
    """What every picture with generated faces says of itself: that it is synthetic, made by what, with which weights.

    Keys are PNG's registered keywords where there are any.
    """
    return {
        "Description": "synthetic face swap",
        "Software": f"SimSwap Lab {__version__}",
        "Checkpoint": f"sha256:{checkpoint_sha256}",
    }


def write_png(path: Path, image: np.ndarray, text: Mapping[str, str] | None = None) -> None:
    """Write uint8 RGB [H, W, 3] as PNG, whole or not at all; ``text`` goes into its text chunks (see provenance()).

    Raises ValueError for another shape or dtype, InputError for a path that cannot be written.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"uint8 [H, W, 3] needed, got {image.dtype} {list(image.shape)}")
    chunks = PngInfo()
    for key, value in (text or {}).items():
        chunks.add_text(key, value)
    with whole_file(path) as part:
        Image.fromarray(image).save(part, format="PNG", pnginfo=chunks)


def swap_grid(targets: Tensor, sources: Tensor, swaps: Tensor) -> np.ndarray:
    """Targets down the left, sources along the top, and where they meet the swap; white between and in the corner.

    Args:
        targets: uint8 [T, 3, H, W].
        sources: uint8 [S, 3, H, W].
        swaps: uint8 [T, S, 3, H, W]; ``swaps[t, s]`` puts the identity of source s on target t.

    Returns:
        uint8 RGB [(T + 1) * H + T * GAP, (S + 1) * W + S * GAP, 3].

    Raises:
        ValueError: shapes or dtypes that do not fit.
    """
    rows, columns = len(targets), len(sources)
    size = targets.shape[1:]
    if targets.ndim != 4 or size[0] != 3 or sources.shape[1:] != size or swaps.shape != (rows, columns, *size):
        raise ValueError(f"[T, 3, H, W], [S, 3, H, W] and [T, S, 3, H, W] needed, got {list(targets.shape)}, "
                         f"{list(sources.shape)} and {list(swaps.shape)}")
    names = {"targets": targets, "sources": sources, "swaps": swaps}
    pictures = {name: tensor.detach().movedim(-3, -1).cpu().numpy() for name, tensor in names.items()}
    for name, picture in pictures.items():
        if picture.dtype != np.uint8:
            raise ValueError(f"{name} must be uint8, got {picture.dtype}")
    height, width = size[1], size[2]
    grid = np.full(((rows + 1) * (height + GAP) - GAP, (columns + 1) * (width + GAP) - GAP, 3), 255, dtype=np.uint8)

    def paste(row: int, column: int, picture: np.ndarray) -> None:
        top, left = row * (height + GAP), column * (width + GAP)
        grid[top : top + height, left : left + width] = picture

    for column in range(columns):
        paste(0, column + 1, pictures["sources"][column])
    for row in range(rows):
        paste(row + 1, 0, pictures["targets"][row])
        for column in range(columns):
            paste(row + 1, column + 1, pictures["swaps"][row, column])
    return grid
