"""A person's shape: maps of radius and slopes in all directions, and their change by an open mouth and a smile."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from simswap.rendered.head import STYLES, Identity, directions, hair_mask

ROWS, COLUMNS = 144, 288  # cells of 1.25 degrees; smaller ones make no visible difference below 256 px
CELL = 180.0 / ROWS
EAST = ((np.arange(COLUMNS) + 0.5) * CELL - 180.0)[None]  # longitudes [1, COLUMNS] of the cells, degrees
SOUTH = ((np.arange(ROWS) + 0.5) * CELL - 90.0)[:, None]  # latitudes [ROWS, 1]
MOVING = 56  # the first row (latitude -19) that an expression moves; above, the change vanishes in float32


@dataclass(frozen=True)
class Shape:
    """A person's shape, as planes float32 of radius and its derivatives by longitude and latitude, per radian.

    One column is repeated on either side, so that interpolation can cross the back of the head.

    Attributes:
        rest: The neutral face, [3, ROWS, COLUMNS + 2].
        mouth_open: The change by an open mouth, from row `MOVING` on.
        smile: The change by a smile, from row `MOVING` on.
    """

    rest: np.ndarray
    mouth_open: np.ndarray
    smile: np.ndarray

    def maps(self, mouth_open: float, smile: float) -> np.ndarray:
        """The planes [3, ROWS, COLUMNS + 2] under an expression (both values 0..1)."""
        maps = self.rest.copy()
        for share, moved in ((mouth_open, self.mouth_open), (smile, self.smile)):
            if share:
                maps[:, MOVING:] += np.float32(share) * moved
        return maps


def radius(plane: np.ndarray, longitude: float, latitude: float) -> float:
    """The radius in one direction, in degrees, interpolated bilinearly in a plane [ROWS, COLUMNS + 2]."""
    column, row = (longitude + 180.0) * COLUMNS / 360.0 + 0.5, (latitude + 90.0) * ROWS / 180.0 - 0.5
    i, j = int(row), int(column)
    wanted_row, wanted_column = np.array([1 - (row - i), row - i]), np.array([1 - (column - j), column - j])
    return float(wanted_row @ plane[i : i + 2, j : j + 2] @ wanted_column)


def _with_slopes(radius: np.ndarray) -> np.ndarray:
    """A radius map with its central differences, padded at the back of the head."""
    step = np.float32(np.deg2rad(CELL))
    wide = np.concatenate([radius[:, -2:], radius, radius[:, :2]], axis=1).astype(np.float32)
    planes = np.empty((3, len(wide), COLUMNS + 2), np.float32)
    planes[0] = wide[:, 1:-1]
    planes[1] = (wide[:, 2:] - wide[:, :-2]) / (2 * step)
    planes[2, 1:-1] = (planes[0, 2:] - planes[0, :-2]) / (2 * step)
    planes[2, [0, -1]] = (planes[0, [1, -1]] - planes[0, [0, -2]]) / step
    return planes


class _Bumps:
    """A sum of smooth bumps; each is a column times a row, so the sum is one matrix product."""

    def __init__(self) -> None:
        self.down: list[np.ndarray] = []
        self.across: list[np.ndarray] = []

    def add(self, height: float, east: float, south: float, wide: float, high: float, power: float = 2.0) -> None:
        """Add a bump around (east, south); all but height and power in degrees."""
        self._put(height, south, high, power, np.exp(-(np.abs((EAST - east) / wide) ** power)))

    def add_pair(self, height: float, east: float, south: float, wide: float, high: float, power: float = 2.0) -> None:
        """Add two bumps, mirrored at the middle of the face."""
        both = np.exp(-(np.abs((EAST - east) / wide) ** power)) + np.exp(-(np.abs((EAST + east) / wide) ** power))
        self._put(height, south, high, power, both)

    def _put(self, height: float, south: float, high: float, power: float, across: np.ndarray) -> None:
        self.down.append(height * np.exp(-(np.abs((SOUTH - south) / high) ** power)))
        self.across.append(across)

    def sum(self) -> np.ndarray:
        """The sum, float64 [ROWS, COLUMNS]."""
        return np.hstack(self.down) @ np.vstack(self.across)


@lru_cache(maxsize=1)
def _quadrics() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions (x, y, z) of all cells: squares [ROWS * COLUMNS, 3], (y, z) [ROWS * COLUMNS, 2], y [ROWS, 1]."""
    unit = directions(*np.broadcast_arrays(EAST, SOUTH)).reshape(-1, 3)
    return unit * unit, np.ascontiguousarray(unit[:, 1:]), np.sin(np.deg2rad(SOUTH))


def _ellipsoid(center: tuple[float, float], axes: tuple[float, float, float]) -> np.ndarray:
    """Distance from the origin to an ellipsoid around (0, *center), in all directions; the origin lies inside."""
    squares, down_and_forth, _ = _quadrics()
    inverse = 1 / np.square(axes)
    a = squares @ inverse
    b = down_and_forth @ (inverse[1:] * center)
    c = float(inverse[1:] @ np.square(center)) - 1.0
    return ((b + np.sqrt(b * b - a * c)) / a).reshape(ROWS, COLUMNS)


def _sixth(x: np.ndarray) -> np.ndarray:
    x = x * x
    return x * x * x


def _nose(p: dict[str, float]) -> tuple[slice, slice, np.ndarray]:
    """The bridge of the nose: rows and columns of the maps, and its addition to the radius there."""
    eye_y = p["eye_height"]
    tip_y = eye_y + p["nose_length"] + 11.0
    rows, columns = slice(16, 120), slice(104, 184)  # latitude -70 to 60, longitude ±50
    south = SOUTH[rows]
    along = np.clip((south - eye_y) / (tip_y - eye_y), 0.0, 1.0)  # 0 between the eyes .. 1 at the tip
    bridge = p["nose_bridge"] + (p["nose_out"] - p["nose_bridge"]) * along**1.4
    ends = 1 / (1 + np.exp(-(south - eye_y + 3.0) / 2.6)) / (1 + np.exp((south - tip_y - 2.6) / 1.15))
    narrow = 4.2 + (p["nose_width"] * 0.86 - 4.2) * along**2
    return rows, columns, bridge * ends * np.exp(-((EAST[:, columns] / narrow) ** 2))


@lru_cache(maxsize=8)
def shape_of(identity: Identity) -> Shape:
    """The person's shape, cached for the last few persons, because photos are rendered person by person."""
    p = identity.as_dict()
    skull = _ellipsoid((-0.26, -0.10), (p["skull_width"], p["skull_height"], 0.94))
    face = _ellipsoid((0.17, 0.17), (p["face_width"], p["face_length"], 0.70))
    radius = np.sqrt(np.sqrt(np.cbrt(_sixth(skull * skull) + _sixth(face * face))))  # a smooth maximum of the two

    eye_x, eye_y, mouth_y = p["eye_distance"], p["eye_height"], p["mouth_height"]
    tip_y = eye_y + p["nose_length"] + 11.0
    bumps = _Bumps()
    bumps.add(p["forehead"], 0, -38, 40, 16)
    bumps.add_pair(p["brow_ridge"], 16, eye_y - 8, 16, 5)
    bumps.add_pair(p["jaw_width"], p["jaw_angle"], 38, 18, 14)
    bumps.add(p["chin_out"], 0, 47, p["chin_width"], 7)
    bumps.add_pair(p["cheekbones"], 40, 6, 14, 9)
    bumps.add_pair(p["cheek_fullness"], 33, 22, 14, 12)
    bumps.add_pair(-p["eye_depth"], eye_x, eye_y, 9.5, 6)
    bumps.add_pair(0.03, eye_x, eye_y, 6, 3.6)
    bumps.add(0.05, 0, tip_y, p["nose_tip"], 3.2)
    bumps.add_pair(0.085, p["nose_width"], tip_y + 0.6, 2.9, 3.0)
    bumps.add(0.05, 0, mouth_y, p["mouth_width"] * 1.1, 9)
    bumps.add(0.006 * p["upper_lip"], 0, mouth_y - 0.5 * p["upper_lip"], p["mouth_width"] * 0.8, 2.2)
    bumps.add(0.007 * p["lower_lip"], 0, mouth_y + 0.55 * p["lower_lip"], p["mouth_width"] * 0.7, 2.6)
    bumps.add(-0.03, 0, mouth_y + p["lower_lip"] + 4.0, 12, 2.6)
    bumps.add_pair(p["ear_size"], 88, 2, 5.5, 13, 4.0)
    radius += bumps.sum()
    rows, columns, nose = _nose(p)
    radius[rows, columns] += nose

    thick = p["hair_volume"] * np.clip(0.55 - _quadrics()[2] * 0.75, 0.25, 1.0)
    if STYLES[int(p["hair_style"])] == "cropped":
        thick = 0.03 + 0.2 * thick
    radius += hair_mask(identity, EAST, SOUTH, 7.0) * (np.maximum(radius, skull + 0.02) + thick - radius)

    jaw = _Bumps()
    jaw.add(0.13, 0, 58, 38, 15)
    jaw.add(-0.05, 0, mouth_y + 4, p["mouth_width"] * 0.7, 5)
    cheeks = _Bumps()
    cheeks.add_pair(0.055, 27, 16, 9, 7)
    cheeks.add(-0.02, 0, mouth_y, p["mouth_width"], 4)
    return Shape(_with_slopes(radius), _with_slopes(jaw.sum()[MOVING:]), _with_slopes(cheeks.sum()[MOVING:]))
