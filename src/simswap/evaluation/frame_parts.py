"""The parts of a video's frames around the faces, as arrays in the file of the video's crops, and back."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from simswap.faces.photo_part import PhotoPart
from simswap.measuring.transfer import Arrays

PARTS = {-1: "part_before", 0: "part", 1: "part_after"}
"""Arrays of frames around the faces, by their offset in frames: one after the other in uint8 [bytes]."""


def stored_parts(around: Sequence[Mapping[int, PhotoPart]], jitter: bool) -> Arrays:
    """Parts of n frames and of their neighbors as arrays.

    ``part`` (and ``part_before``, ``part_after``) uint8 [bytes], one part behind the other; their ``part_shape`` int64
    [n, 2], and ``part_landmarks`` [n, 5, 2] in pixels of the part.
    """
    none = [np.zeros(0, np.uint8)]
    pictures = {
        PARTS[offset]: np.concatenate(none + [parts[offset].pixels.reshape(-1) for parts in around])
        for offset in ((-1, 0, 1) if jitter else (0,))
    }
    shape = np.array([parts[0].pixels.shape[:2] for parts in around], dtype=np.int64).reshape(-1, 2)
    points = np.array([parts[0].landmarks for parts in around], dtype=np.float64).reshape(-1, 5, 2)
    return {**pictures, "part_shape": shape, "part_landmarks": points}


@lru_cache(maxsize=16)
def parts_of(file: Path, offset: int) -> list[PhotoPart]:
    """The parts of a video's frames, ``offset`` frames later."""
    with np.load(file, allow_pickle=False) as stored:
        pixels, shape, points = stored[PARTS[offset]], stored["part_shape"], stored["part_landmarks"]
    pieces = np.split(pixels, np.cumsum(3 * shape.prod(1))[:-1])
    return [
        PhotoPart(piece.reshape(height, width, 3), landmarks)
        for piece, (height, width), landmarks in zip(pieces, shape, points, strict=True)
    ]
