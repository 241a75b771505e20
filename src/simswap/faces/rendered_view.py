"""Projection of a star-shaped head: which part of the surface every pixel sees, exactly, without triangles.

Under parallel projection the plane through the viewing axis and a pixel cuts the surface in a curve r(alpha), alpha
being the angle from the axis towards the pixel. The point at alpha lies ``r sin(alpha)`` off the axis, and of all
points at the same offset the one with the least alpha is in front. So the visible alpha is the inverse of the running
maximum of ``r sin(alpha)``: one accumulate and one interpolation for all directions of the image at once.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from simswap.faces.rendered_head import COLUMNS, ROWS

ANGLES = 192  # directions around the image's centre
STEPS = 88  # steps of alpha, 0..135 degrees
FURTHEST = np.deg2rad(135.0)
REACH = 2.3  # no head reaches further off the axis, in head units
REPEAT = cv2.BORDER_REPLICATE


@dataclass(frozen=True)
class View:
    """What each pixel sees, all float32 [S, S]: angles in degrees, `depth` towards the camera, `coverage` 0..1.

    `slopes` [S, S, 3] is (radius, its slopes by longitude and latitude); `direction` [S, S, 3] is in the head's frame.
    """

    longitude: np.ndarray
    latitude: np.ndarray
    direction: np.ndarray
    slopes: np.ndarray
    depth: np.ndarray
    coverage: np.ndarray


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Head frame → camera frame, [3, 3]; degrees. First pitch (> 0 up), then yaw (> 0 to the image's right), then roll
    (> 0 clockwise in the image), so that yaw and pitch are the azimuth and elevation of the direction of the face."""
    y, p, r = np.deg2rad([yaw, pitch, roll])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def _angles(direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude in degrees of unit vectors [H, W, 3] in the head's frame, float32."""
    x, y, z = (np.ascontiguousarray(direction[..., k]) for k in range(3))
    flat, longitude = cv2.cartToPolar(z, x, angleInDegrees=True)
    latitude = cv2.phase(flat, y, angleInDegrees=True)  # within 0.01 degrees, ten times as fast as arctan2
    half, turn = np.float32(180.0), np.float32(360.0)
    return longitude - turn * (longitude > half), latitude - turn * (latitude > half)


def _cells(longitude: np.ndarray, latitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Angles in degrees → columns and rows of the shape maps."""
    return longitude * np.float32(COLUMNS / 360) + np.float32(COLUMNS / 2 + 0.5), latitude * np.float32(
        ROWS / 180
    ) + np.float32(ROWS / 2 - 0.5)


@lru_cache(maxsize=1)
def _fan() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """View directions [ANGLES * STEPS, 3], sin(alpha) [STEPS], the keys' offsets and alphas [ANGLES, STEPS]."""
    around = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    alpha = np.linspace(0.0, FURTHEST, STEPS)
    fan = np.stack(
        [np.outer(np.cos(around), np.sin(alpha)), np.outer(np.sin(around), np.sin(alpha)),
         np.broadcast_to(np.cos(alpha), (ANGLES, STEPS))], axis=-1)  # fmt: skip
    offsets = np.arange(ANGLES)[:, None] * 10.0 + np.arange(STEPS) * 1e-7  # the small part keeps the keys increasing
    alphas = np.tile(alpha, ANGLES)
    return fan.astype(np.float32).reshape(-1, 3), np.sin(alpha).astype(np.float32), offsets, alphas


def project(maps: np.ndarray, turn: np.ndarray, centre: tuple[float, float], scale: float, size: int) -> View:
    """Look at a head.

    Args:
        maps: float32 [ROWS, COLUMNS + 2, 3], radius and slopes.
        turn: head → camera rotation [3, 3].
        centre: pixel (x, y) of the head's centre.
        scale: pixels for one head unit.
        size: side of the square image in pixels.
    """
    fan, sine, offsets, alphas = _fan()
    turn32 = turn.astype(np.float32)
    longitude, latitude = _angles((fan @ turn32).reshape(ANGLES, STEPS, 3))
    radius = cv2.remap(np.ascontiguousarray(maps[..., 0]), *_cells(longitude, latitude), cv2.INTER_LINEAR, None, REPEAT)
    front = np.maximum.accumulate(radius * sine, axis=1)  # [ANGLES, STEPS]
    outline = front[:, -1:]
    samples = max(96, size)
    offset = np.linspace(0.0, REACH, samples, dtype=np.float32)
    asked = np.minimum(offset, outline - 1e-5)
    alpha = np.interp((asked + offsets[:, :1]).ravel(), (front + offsets).ravel(), alphas)
    seen = np.empty((ANGLES + 1, samples, 2), np.float32)
    seen[:-1, :, 0] = alpha.reshape(ANGLES, samples)
    seen[:-1, :, 1] = outline - offset
    seen[-1] = seen[0]

    steps = np.arange(size, dtype=np.float32)
    x = np.broadcast_to((steps - np.float32(centre[0])) / np.float32(scale), (size, size))
    y = np.broadcast_to(((steps - np.float32(centre[1])) / np.float32(scale))[:, None], (size, size))
    away, around = cv2.cartToPolar(np.ascontiguousarray(x), np.ascontiguousarray(y))
    polar = cv2.remap(seen, away * np.float32((samples - 1) / REACH), around * np.float32(ANGLES / (2 * np.pi)),
                      cv2.INTER_LINEAR, None, REPEAT)  # fmt: skip
    angle = polar[..., 0]
    sine_here, cosine_here = np.sin(angle), np.cos(angle)
    share = sine_here / np.maximum(away, 1e-4)
    direction = (cv2.merge([share * x, share * y, cosine_here]).reshape(-1, 3) @ turn32).reshape(size, size, 3)
    longitude, latitude = _angles(direction)
    slopes = cv2.remap(maps, *_cells(longitude, latitude), cv2.INTER_LINEAR, None, REPEAT)
    coverage = np.clip(polar[..., 1] * np.float32(scale) + 0.5, 0.0, 1.0)
    return View(longitude, latitude, direction, slopes, slopes[..., 0] * cosine_here, coverage)


def shade(view: View, light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosines to the light and to the half-way vector: `light` is a [2, 3] stack of these unit vectors in the head's
    frame; the surface normal is ``d - (r_lon / (r cos lat)) e_lon - (r_lat / r) e_lat``. Two float32 [S, S]."""
    d = view.direction
    flat = np.maximum(np.sqrt(d[..., 0] ** 2 + d[..., 2] ** 2), 0.05)  # cos of the latitude
    east = view.slopes[..., 1] / (view.slopes[..., 0] * flat)
    south = view.slopes[..., 2] / view.slopes[..., 0]
    sin_lon, cos_lon = d[..., 0] / flat, d[..., 2] / flat
    tilt = south * d[..., 1]
    normal_x = d[..., 0] - east * cos_lon + tilt * sin_lon
    normal_y = d[..., 1] - south * flat
    normal_z = d[..., 2] + east * sin_lon + tilt * cos_lon
    shorten = 1 / np.sqrt(1.0 + east * east + south * south)  # d, e_lon and e_lat are orthonormal
    (ax, ay, az), (bx, by, bz) = light.astype(np.float32)
    facing = (normal_x * ax + normal_y * ay + normal_z * az) * shorten
    return facing, (normal_x * bx + normal_y * by + normal_z * bz) * shorten
