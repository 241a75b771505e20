"""The part of a photo around a face: all that any template's crop of it reads, and all that a paste changes."""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from simswap.faces.alignment import BASE_SIZES, align, apply, scale_of, warp
from simswap.faces.detection import Pixels

FloatArray = npt.NDArray[np.float64]

# Around each crop, in its side: where a warp shrinks, it reads two blocks more on each side (`alignment.warp`), and a
# block of the smallest crop, 16 px, is a 16th of the side.
MARGIN = 0.2


class PhotoPart(NamedTuple):
    """A face with its surroundings, cut out of its photo or frame.

    Attributes:
        pixels: uint8 [h, w, 3] RGB, at the photo's own resolution.
        landmarks: float64 [5, 2] in px of this part.
    """

    pixels: Pixels
    landmarks: FloatArray

    def crop(self, template: str, size: int) -> Pixels:
        """The face's crop, uint8 [size, size, 3]; the photo's own, but for one gray level in a few of 1,000 values."""
        return warp(self.pixels, align(self.landmarks, template, size).matrix, size)


def part_around(landmarks: npt.ArrayLike, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of a photo that hold the crops of every template, whatever their size, with a margin.

    Args:
        landmarks: [5, 2] in px of the photo, inside it.
        shape: Of the photo, [H, W, …].

    Raises:
        ValueError: The landmarks determine no crop (`alignment.align`).
    """
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for template, size in BASE_SIZES.items():
        matrix = align(landmarks, template, size).matrix
        corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64) - 0.5
        back = apply(cv2.invertAffineTransform(matrix), corners)  # type: ignore[arg-type]
        margin = MARGIN * size / scale_of(matrix) + 4
        low, high = np.minimum(low, back.min(0) - margin), np.maximum(high, back.max(0) + margin)
    extent = np.array([shape[1], shape[0]])
    x0, y0 = np.clip(np.floor(low).astype(int), 0, extent - 1)
    x1, y1 = np.clip(np.ceil(high).astype(int) + 1, [x0 + 1, y0 + 1], extent)
    return slice(int(y0), int(y1)), slice(int(x0), int(x1))


def cut_part(photo: Pixels, landmarks: npt.ArrayLike) -> PhotoPart:
    """The part of a photo, uint8 [H, W, 3], that `part_around` gives. Raises the same ValueError."""
    rows, columns = part_around(landmarks, photo.shape)
    shift = np.array([columns.start, rows.start], np.float64)
    return PhotoPart(np.ascontiguousarray(photo[rows, columns]), np.asarray(landmarks, np.float64) - shift)
