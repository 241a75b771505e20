"""Pictures of swaps for people to look at: the same unseen faces for training, validation and evaluation."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from simswap import pixels
from simswap.data.datamodule import SwapDataModule
from simswap.measuring import Faces, choose_pairs, load_faces
from simswap.pictures import swap_grid


@torch.no_grad()
def unseen_grid(
    data: SwapDataModule,
    split: str,
    faces: int,
    seed: int,
    swap: Callable[[Faces, Faces], Faces],
    device: torch.device,
) -> np.ndarray:
    """uint8 picture [H, W, 3]: ``faces`` targets down the left, as many other persons' sources along the top.

    One image each of 2 x ``faces`` persons of the split, drawn by seed; fewer where the split has fewer.
    """
    rows = choose_pairs(data, split, 2 * faces, 1, 1, seed).gallery
    half = len(rows) // 2
    images, views, _ = load_faces(data, rows, device)
    crops = pixels.to_uint8(images).cpu()
    source = Faces(images[half : 2 * half], views[half : 2 * half])
    swaps: list[Tensor] = []
    for t in range(half):
        target = Faces(images[t : t + 1].expand(half, -1, -1, -1), views[t : t + 1].expand(half))
        swaps.append(pixels.to_uint8(swap(target, source).images).cpu())
    return swap_grid(crops[:half], crops[half : 2 * half], torch.stack(swaps))
