"""Grids of swaps to look at, with the same unseen faces in training and evaluation."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from simswap import pixels
from simswap.measuring.gallery import ProtocolPairs, choose_pairs
from simswap.measuring.swappers import Faces, FaceSource, PreparedFaces
from simswap.pictures import swap_grid

if TYPE_CHECKING:
    from simswap.data.datamodule import SwapDataModule


@torch.no_grad()
def unseen_grid(
    data: "SwapDataModule",
    split: str,
    faces: int,
    seed: int,
    swap: Callable[[Faces, Faces], Faces],
    device: torch.device,
) -> np.ndarray:
    """A grid with ``faces`` targets down the left and as many sources of other persons along the top.

    It shows one image each of 2 x ``faces`` persons of the split, drawn by seed; fewer if the split has fewer.

    Returns:
        uint8 [H, W, 3].
    """
    rows = choose_pairs(data, split, 2 * faces, 1, 1, seed).gallery
    half = len(rows) // 2
    return grid_of(PreparedFaces(data), rows[:half], rows[half : 2 * half], swap, device)


@torch.no_grad()
def grid_of(
    faces: FaceSource,
    targets: np.ndarray,
    sources: np.ndarray,
    swap: Callable[[Faces, Faces], Faces],
    device: torch.device,
    landmarks: bool = False,
) -> np.ndarray:
    """A grid, uint8 [H, W, 3], with the targets' rows [n] down the left and the sources' rows [n] along the top.

    landmarks: Whether the swap needs them (`Swapper.landmarks`).
    """
    half = len(targets)
    shown = faces.load(np.concatenate([targets, sources]), device, landmarks)
    crops = pixels.to_uint8(shown.images).cpu()
    source = shown.at(range(half, len(crops)))
    swaps: list[Tensor] = []
    for t in range(half):
        target = shown.at([t] * half)
        swaps.append(pixels.to_uint8(swap(target, source).images).cpu())
    return swap_grid(crops[:half], crops[half:], torch.stack(swaps))


def grid_rows(faces: FaceSource, pairs: ProtocolPairs, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose rows of targets and sources for `grid_of`, all of different persons, in the order of the pairs.

    There are up to ``count`` of each; fewer, or none, if there are not enough persons.
    """
    count = min(count, len(np.unique(faces.person[np.concatenate([pairs.target, pairs.source])])) // 2)
    seen: set[int] = set()
    chosen: list[list[int]] = []
    for rows in (pairs.target, pairs.source):
        column: list[int] = []
        for row in rows:
            if len(column) < count and int(faces.person[row]) not in seen:
                column.append(int(row))
                seen.add(int(faces.person[row]))
        chosen.append(column)
    half = min(len(column) for column in chosen)
    return np.array(chosen[0][:half], dtype=np.int64), np.array(chosen[1][:half], dtype=np.int64)
