"""Painting of rendered faces: polygons in degrees, filled on textures.

Images and textures are planes here, float32 RGB [3, H, W]: NumPy applies one mask [H, W] to three planes ten times as
fast as to the last axis of [H, W, 3].
"""

from functools import lru_cache

import cv2
import numpy as np

CELL = 0.625  # degrees per texture pixel
TEXTURE_COLUMNS, TEXTURE_ROWS = 384, 256
FINE = 16  # OpenCV is given corners in sixteenths of a pixel
_MIDDLE = FINE * np.array([TEXTURE_COLUMNS / 2 - 0.5, TEXTURE_ROWS / 2 - 0.5])
Box = tuple[slice, slice]  # rows, columns
Color = tuple[float, float, float]


def blend(planes: np.ndarray, color: np.ndarray | Color, share: np.ndarray) -> None:
    """Blend a color, [3] or planes [3, H, W], into planes [3, H, W] in place; share: its weight [H, W] in 0..1."""
    color = np.asarray(color, np.float32)
    change = np.subtract(color if color.ndim == 3 else color[:, None, None], planes)
    change *= share
    planes += change


def cells(longitude: np.ndarray, latitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Angles in degrees → columns and rows of the texture, not rounded."""
    half_columns, half_rows = np.float32(TEXTURE_COLUMNS / 2 - 0.5), np.float32(TEXTURE_ROWS / 2 - 0.5)
    return longitude * np.float32(1 / CELL) + half_columns, latitude * np.float32(1 / CELL) + half_rows


def _corners(polygons: np.ndarray) -> np.ndarray:
    """Degrees [..., 2] → sixteenths of texture pixels, int32."""
    return np.rint(polygons * (FINE / CELL) + _MIDDLE).astype(np.int32)


def _box(corners: np.ndarray, margin: int) -> Box:
    """The part of the texture with all corners and a margin in pixels."""
    x, y, wide, high = cv2.boundingRect(corners.reshape(-1, 2))
    return (
        slice(max(y // FINE - margin, 0), (y + high) // FINE + 1 + margin),
        slice(max(x // FINE - margin, 0), (x + wide) // FINE + 1 + margin),
    )


def box_of(points: np.ndarray, margin: int) -> Box:
    """The part of the texture with all points [..., 2], in degrees, and a margin in pixels."""
    return _box(_corners(points), margin)


def stencil(polygons: np.ndarray, box: Box) -> np.ndarray:
    """The share of each pixel of a box, float32 in 0..1, that lies in the polygons [K, N, 2] in degrees."""
    corners = _corners(polygons) - (box[1].start * FINE, box[0].start * FINE)
    mask = np.zeros((box[0].stop - box[0].start, box[1].stop - box[1].start), np.uint8)
    cv2.fillPoly(mask, list(corners.astype(np.int32)), 255, cv2.LINE_AA, shift=4)
    return mask * np.float32(1 / 255)


def fill(
    texture: np.ndarray,
    polygons: np.ndarray,
    color: np.ndarray | Color,
    share: float = 1.0,
    blur: float = 0.0,
    width: float = 0.0,
) -> None:
    """Fill polygons on a texture in place, or stroke them as lines.

    Args:
        texture: Planes float32 [3, H, W], RGB 0..255.
        polygons: [N, 2] or [K, N, 2], (longitude, latitude) in degrees. Where those of one call overlap, they count
            once.
        color: RGB [3].
        share: Opacity, 0..1.
        blur: Standard deviation of the soft edge in degrees.
        width: Width of the lines in degrees; 0 fills.
    """
    corners = _corners(polygons if polygons.ndim == 3 else polygons[None])
    rows, columns = _box(corners, 3 + int(3 * blur / CELL + width / CELL))
    patch = texture[:, rows, columns]
    mask = np.zeros(patch.shape[1:], np.uint8)
    outlines = list(corners - np.array([columns.start * FINE, rows.start * FINE], np.int32))
    if width:
        cv2.polylines(mask, outlines, False, 255, max(1, round(width / CELL)), cv2.LINE_AA, shift=4)
    else:
        cv2.fillPoly(mask, outlines, 255, cv2.LINE_AA, shift=4)
    if blur:
        mask = cv2.GaussianBlur(mask, (0, 0), blur / CELL)  # type: ignore[assignment]
    blend(patch, color, mask * np.float32(share / 255.0))


def dots(texture: np.ndarray, spots: np.ndarray, shares: np.ndarray, color: np.ndarray) -> None:
    """Fill many small polygons of one color on a texture in place; where two overlap, the later one is visible.

    Args:
        texture: Planes float32 [3, H, W], RGB 0..255.
        spots: Polygons [K, N, 2] in degrees.
        shares: Opacities [K], 0..1.
        color: RGB [3].
    """
    mask = np.zeros(texture.shape[1:], np.uint8)
    for corners, share in zip(_corners(spots), shares.tolist(), strict=True):
        cv2.fillPoly(mask, [corners], round(255 * share), cv2.LINE_AA, shift=4)
    blend(texture, color, mask * np.float32(1 / 255))


@lru_cache(maxsize=8)
def _circle(count: int) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def ellipse(x: float, y: float, wide: float, high: float, count: int = 20) -> np.ndarray:
    """An ellipse around (x, y) with half axes ``wide`` and ``high``, as a polygon [count, 2]."""
    return _circle(count) * (wide, high) + (x, y)


def strip(across: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """Polygons [..., 2 N, 2] between two lines with heights `top` and `bottom` over `across`, all [..., N]."""
    polygon = np.empty((*top.shape[:-1], 2 * top.shape[-1], 2))
    half = top.shape[-1]
    polygon[..., :half, 0], polygon[..., :half, 1] = across, top
    polygon[..., half:, 0], polygon[..., half:, 1] = across[..., ::-1], bottom[..., ::-1]
    return polygon


def line(across: np.ndarray, height: np.ndarray) -> np.ndarray:
    """The points [..., N, 2] of a line with these heights, both [..., N]."""
    points = np.empty((*height.shape, 2))
    points[..., 0], points[..., 1] = across, height
    return points
