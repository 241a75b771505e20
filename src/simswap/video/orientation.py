"""The display matrix of a video: quarter turns and mirroring, applied to its pictures."""

import struct
from typing import Any

import numpy as np

from simswap.errors import InputError


def orientation(frame: Any, path: object) -> tuple[int, bool]:
    """How a decoded frame is turned upright.

    Args:
        frame: ``av.VideoFrame``.
        path: of the file, for the message.

    Returns:
        (degrees clockwise: 0, 90, 180 or 270; whether it is mirrored left to right before that turn).

    Raises:
        InputError: the matrix turns by another angle.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 0, False
    return of_matrix(struct.unpack("=9i", bytes(data)[:36]), path)


def of_matrix(matrix: tuple[int, ...], path: object) -> tuple[int, bool]:
    """`orientation` of a display matrix [a b u, c d v, x y w] (ISO/IEC 14496-12, 16.16 and 2.30 fixed point).

    It takes a stored pixel (p, q) to (a·p + c·q + x, b·p + d·q + y), y downward.
    """
    a, b, _, c, d = matrix[:5]
    largest = max(abs(a), abs(b), abs(c), abs(d)) or 1
    a, b, c, d = (round(value / largest) for value in (a, b, c, d))
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    turns = {(1, 0, 0, 1): 0, (0, 1, -1, 0): 90, (-1, 0, 0, -1): 180, (0, -1, 1, 0): 270}
    if (a, b, c, d) not in turns:
        raise InputError(f"{path}: its display matrix turns it by no multiple of 90°; rotate and save it first")
    return turns[a, b, c, d], mirrored


def turned(picture: np.ndarray, rotation: int, mirrored: bool) -> np.ndarray:
    """A picture [H, W, …] mirrored left to right, if so, then turned clockwise by ``rotation`` degrees."""
    if mirrored:
        picture = picture[:, ::-1]
    return np.ascontiguousarray(np.rot90(picture, -rotation // 90))
