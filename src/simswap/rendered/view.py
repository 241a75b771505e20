"""Projection of a star-shaped head: the point of the surface that each pixel sees, exactly, without triangles.

Under parallel projection, the plane through the viewing axis and a pixel cuts the surface in a curve r(alpha), where
alpha is the angle from the axis towards the pixel. The point at alpha lies ``r sin(alpha)`` off the axis, and of all
points with the same offset, the one with the smallest alpha is in front. So the visible alpha is the inverse of the
running maximum of ``r sin(alpha)``: one accumulation and one interpolation for all directions of the image.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from simswap.rendered.brush import Box
from simswap.rendered.shape import COLUMNS, ROWS

ANGLES = 192  # directions around the image's center
STEPS = 88  # steps of alpha, 0..135 degrees
FURTHEST = np.deg2rad(135.0)
REACH = 2.3  # largest offset of any head from the axis, in head units
REPEAT = cv2.BORDER_REPLICATE


@dataclass(frozen=True)
class View:
    """The point of the head that each pixel of a box sees, as float32 planes.

    Attributes:
        box: Rows and columns of the image that contain the head.
        longitude: [h, w] in degrees.
        latitude: [h, w] in degrees.
        direction: Unit vectors [3, h, w] in the head's axes.
        slopes: [3, h, w]: radius, and its slopes by longitude and latitude.
        depth: [h, w], towards the camera, in head units.
        coverage: Share of the pixel that the head covers, [h, w] in 0..1.
    """

    box: Box
    longitude: np.ndarray
    latitude: np.ndarray
    direction: np.ndarray
    slopes: np.ndarray
    depth: np.ndarray
    coverage: np.ndarray


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """The rotation [3, 3] from the head's axes to the camera's, for angles in degrees.

    Pitch (> 0 up) is applied first, then yaw (> 0 to the image's right), then roll (> 0 clockwise in the image), so yaw
    and pitch are the azimuth and elevation of the direction of the face.
    """
    y, p, r = np.deg2rad([yaw, pitch, roll])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def _angles(direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors [3, H, W] in the head's axes → longitude and latitude in degrees, float32 [H, W]."""
    x, y, z = direction
    flat, longitude = cv2.cartToPolar(z, x, angleInDegrees=True)
    latitude = cv2.phase(flat, y, angleInDegrees=True)  # accurate to 0.01 degrees, ten times as fast as arctan2
    half, turn = np.float32(180.0), np.float32(360.0)
    return longitude - turn * (longitude > half), latitude - turn * (latitude > half)


def _cells(longitude: np.ndarray, latitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Angles in degrees → columns and rows of the shape maps, not rounded."""
    return longitude * np.float32(COLUMNS / 360) + np.float32(COLUMNS / 2 + 0.5), latitude * np.float32(
        ROWS / 180
    ) + np.float32(ROWS / 2 - 0.5)


@lru_cache(maxsize=1)
def _fan() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """View directions [3, ANGLES * STEPS], sin(alpha) [STEPS], offsets of the keys, and alphas [ANGLES, STEPS]."""
    around = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    alpha = np.linspace(0.0, FURTHEST, STEPS)
    fan = np.stack(
        [
            np.outer(np.cos(around), np.sin(alpha)),
            np.outer(np.sin(around), np.sin(alpha)),
            np.broadcast_to(np.cos(alpha), (ANGLES, STEPS)),
        ]
    )
    offsets = np.arange(ANGLES)[:, None] * 10.0 + np.arange(STEPS) * 1e-7  # the small part keeps the keys increasing
    alphas = np.tile(alpha, ANGLES)
    return fan.astype(np.float32).reshape(3, -1), np.sin(alpha).astype(np.float32), offsets, alphas


def sample(planes: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Planes [C, H, W] interpolated bilinearly at columns and rows, both [h, w]: float32 [C, h, w]."""
    found = np.empty((len(planes), *columns.shape), np.float32)
    for plane, target in zip(planes, found, strict=True):
        cv2.remap(plane, columns, rows, cv2.INTER_LINEAR, target, REPEAT)
    return found


def _visible(maps: np.ndarray, turn: np.ndarray, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """The visible alpha at each offset from the axis, in all directions of the image.

    The offsets are the first n of `samples` between 0 and `REACH`, up to the outline's largest offset.

    Returns:
        Planes [2, ANGLES + 1, n] of alpha and of the outline's distance beyond the offset; and the outline's offsets
        [ANGLES].
    """
    fan, sine, offsets, alphas = _fan()
    places = _cells(*_angles((turn.T @ fan).reshape(3, ANGLES, STEPS)))
    radius = cv2.remap(maps[0], *places, cv2.INTER_LINEAR, None, REPEAT)
    front = np.maximum.accumulate(radius * sine, axis=1)  # [ANGLES, STEPS]
    outline = front[:, -1:]
    count = min(samples, int(outline.max() * (samples - 1) / REACH) + 3)
    offset = np.arange(count, dtype=np.float32) * np.float32(REACH / (samples - 1))
    asked = np.minimum(offset, outline - 1e-5)
    alpha = np.interp((asked + offsets[:, :1]).ravel(), (front + offsets).ravel(), alphas)
    seen = np.empty((2, ANGLES + 1, count), np.float32)
    seen[0, :-1] = alpha.reshape(ANGLES, count)
    seen[1, :-1] = outline - offset
    seen[:, -1] = seen[:, 0]
    return seen, outline[:, 0]


def _box(outline: np.ndarray, center: tuple[float, float], scale: float, size: int) -> Box:
    """The part of the image that contains the outline, at least one pixel."""
    around = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    ranges = []
    for along, middle in ((np.sin(around), center[1]), (np.cos(around), center[0])):
        reach = middle + scale * outline * along
        low = min(max(int(reach.min()) - 2, 0), size - 1)
        ranges.append(slice(low, max(min(int(reach.max()) + 3, size), low + 1)))
    return ranges[0], ranges[1]


def project(maps: np.ndarray, turn: np.ndarray, center: tuple[float, float], scale: float, size: int) -> View:
    """Project a head into an image.

    Args:
        maps: Radius and slopes, float32 [3, ROWS, COLUMNS + 2].
        turn: The rotation [3, 3] from the head's axes to the camera's.
        center: (x, y) of the head's center in px.
        scale: Pixels per head unit.
        size: Side of the square image in px.
    """
    turn32, samples = turn.astype(np.float32), max(96, size)
    seen, outline = _visible(maps, turn32, samples)
    rows, columns = box = _box(outline, center, scale, size)
    steps = np.arange(size, dtype=np.float32)
    x, y = np.meshgrid(
        (steps[columns] - np.float32(center[0])) / np.float32(scale),
        (steps[rows] - np.float32(center[1])) / np.float32(scale),
    )
    away, around = cv2.cartToPolar(x, y)
    angle, inside = sample(seen, away * np.float32((samples - 1) / REACH), around * np.float32(ANGLES / (2 * np.pi)))
    camera = np.empty((3, *x.shape), np.float32)
    share = np.sin(angle) / np.maximum(away, 1e-4)
    np.multiply(share, x, out=camera[0])
    np.multiply(share, y, out=camera[1])
    np.cos(angle, out=camera[2])
    direction = (turn32.T @ camera.reshape(3, -1)).reshape(camera.shape)
    longitude, latitude = _angles(direction)
    slopes = sample(maps, *_cells(longitude, latitude))
    coverage = np.clip(inside * np.float32(scale) + 0.5, 0.0, 1.0)
    return View(box, longitude, latitude, direction, slopes, slopes[0] * camera[2], coverage)


def shade(view: View, light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosines between the surface normal ``d - (r_lon / (r cos lat)) e_lon - (r_lat / r) e_lat`` and two directions.

    Args:
        view: The projected head.
        light: Unit vectors [2, 3] in the head's axes: to the light, and the half-way vector.

    Returns:
        The cosine to each, two float32 [h, w].
    """
    x, y, z = view.direction
    radius, by_longitude, by_latitude = view.slopes
    flat = np.maximum(np.sqrt(x * x + z * z), np.float32(0.05))  # cos of the latitude
    east = by_longitude / (radius * flat)
    south = by_latitude / radius
    sin_lon, cos_lon = x / flat, z / flat
    tilt = south * y
    normal = np.empty_like(view.direction)
    normal[0] = x - east * cos_lon + tilt * sin_lon
    normal[1] = y - south * flat
    normal[2] = z + east * sin_lon + tilt * cos_lon
    normal /= np.sqrt(1 + east * east + south * south)  # d, e_lon and e_lat are orthonormal
    facing, mirrored = (light.astype(np.float32) @ normal.reshape(3, -1)).reshape(2, *flat.shape)
    return facing, mirrored
