"""Aligned crops, read from disk at the training size, and a cache of decoded ones."""

import mmap
import multiprocessing
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from simswap.data.manifest import Manifest
from simswap.data.reading import UnreadableImage, read_image
from simswap.data.workers import into_shared_memory


def read_crop(manifest: Manifest, row: int, size: int) -> np.ndarray:
    """The crop of a manifest row as uint8 [size, size, 3] RGB.

    Raises:
        UnreadableImage: the file is missing, damaged, or not as large as the manifest says.
    """
    image = read_image(manifest.path(row))
    expected = manifest.crop_size
    if image.shape[:2] != (expected, expected):
        raise UnreadableImage(f"{image.shape[1]}x{image.shape[0]} px where prepare.json says {expected}x{expected}")
    if size == expected:
        return image
    # Area averaging does not alias when shrinking; it is nearest neighbor when enlarging.
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if size < expected else cv2.INTER_CUBIC)


def into_planes(image: np.ndarray, planes: np.ndarray) -> None:
    """Write uint8 [H, W, 3] into uint8 [3, H, W]: a fifth of the time of numpy's copy of the transposed array."""
    cv2.split(image, list(planes))


class RowCrops(Dataset):
    """Lists of manifest rows as images, for one pass over a data set; unreadable rows are marked.

    Item k: images uint8 [n, 3, size, size] (black where unreadable), views int64 [n], readable bool [n].
    """

    def __init__(self, manifest: Manifest, rows: Sequence[np.ndarray], size: int) -> None:
        self.manifest, self.rows, self.size = manifest, rows, size

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        rows = self.rows[place]
        images = np.zeros((len(rows), 3, self.size, self.size), dtype=np.uint8)
        readable = np.ones(len(rows), dtype=bool)
        for item, row in enumerate(rows):
            try:
                into_planes(read_crop(self.manifest, int(row), self.size), images[item])
            except UnreadableImage:
                readable[item] = False
        view = self.manifest.view[rows].astype(np.int64)
        item_tensors = torch.from_numpy(images), torch.from_numpy(view), torch.from_numpy(readable)
        into_shared_memory(*item_tensors)
        return item_tensors


class CropCache:
    """Decoded crops up to a memory budget: the first `capacity` rows have a place, the others none.

    The cache is anonymous shared memory, whose pages are allocated when they are filled: forked worker processes (the
    default on Linux) fill and read one cache. Spawned workers each get an empty cache of their own, so that the budget
    counts per worker.

    Args:
        rows: number of rows that could be kept.
        size: crops are uint8 [size, size, 3].
        budget_mb: budget in units of 2**20 bytes; 0 keeps nothing.
    """

    def __init__(self, rows: int, size: int, budget_mb: int) -> None:
        self._arguments = (rows, size, budget_mb)
        self.capacity = min(rows, budget_mb * 2**20 // (size * size * 3))
        if self.capacity > 0:
            shape = (self.capacity, size, size, 3)
            memory = mmap.mmap(-1, self.capacity * size * size * 3)
            self._crops = np.frombuffer(memory, dtype=np.uint8).reshape(shape)
            self._filled = np.frombuffer(mmap.mmap(-1, self.capacity), dtype=np.bool_)
            # Not every processor makes another process's writes visible in order; the lock does.
            self._lock = multiprocessing.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return CropCache, self._arguments

    def get(self, place: int) -> np.ndarray | None:
        """The cached crop, uint8 [size, size, 3], read-only; None if there is none yet."""
        if place >= self.capacity:
            return None
        with self._lock:
            if not self._filled[place]:
                return None
        crop = self._crops[place]
        crop.setflags(write=False)
        return crop

    def put(self, place: int, crop: np.ndarray) -> None:
        """Keep a crop for the next `get`; places beyond the capacity are ignored."""
        if place < self.capacity:
            with self._lock:
                self._crops[place] = crop
                self._filled[place] = True
