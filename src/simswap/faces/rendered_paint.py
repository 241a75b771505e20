"""One photo's texture: eyes and mouth painted on a person's skin (`rendered_skin`), by gaze, blink and expression."""

from functools import lru_cache

import cv2
import numpy as np

from simswap.faces.rendered_head import Identity
from simswap.faces.rendered_skin import cells, ellipse, fill, pick, skin_colour, skin_of

IRIS = np.array([(88, 136, 190), (124, 146, 156), (104, 138, 92), (142, 108, 60), (98, 60, 34), (50, 32, 24)], float)


def _paint_eye(texture: np.ndarray, identity: Identity, p: dict[str, float], side: float, gaze: tuple[float, float],
               blink: float, glint: tuple[float, float]) -> None:  # fmt: skip
    """One eye: `side` -1 is the one on the image's left. `gaze` in degrees (to the image's right, up)."""
    x, y, wide = side * p["eye_distance"], p["eye_height"], p["eye_width"]
    s = np.linspace(-1, 1, 15)
    tone = skin_colour(identity)
    lift = 1 - np.abs(s) ** p["eye_roundness"]
    slant = -side * s * p["eye_tilt"]
    follow = gaze[1] * 0.03  # the upper lid follows the gaze
    upper = y + slant - (p["eye_open"] * (1 - 1.3 * blink) + follow * (1 - blink)) * lift
    lower = y + slant + p["eye_open"] * 0.72 * lift
    upper = np.minimum(upper, lower - 0.05)
    across = x + wide * s
    lid = np.stack([across, upper], axis=1)
    opening = np.concatenate([lid, np.stack([across, lower], axis=1)[::-1]])
    crease = np.stack([across, y + slant - (p["eye_open"] + 1.7) * lift**0.8], axis=1)
    fill(texture, np.concatenate([crease, lid[::-1]]), tone * 0.90, 0.55, blur=0.4)
    if blink < 0.9:
        columns, rows = cells(np.array([x - wide, x + wide]), np.array([y - 9.0, y + 9.0]))
        left, right, top, bottom = int(columns[0]) - 2, int(columns[1]) + 4, int(rows[0]), int(rows[1]) + 1
        patch = texture[top:bottom, left:right]
        shut = patch.copy()
        ball = np.array([238, 234, 230], np.float32) * (0.82 + 0.18 * min(1.0, tone.mean() / 170))
        fill(texture, opening, ball, blur=0.0)
        iris_x, iris_y = x + gaze[0] * 0.13, y + 0.1 - gaze[1] * 0.13
        size = p["iris_size"]
        iris = pick(IRIS, p["iris_colour"]) * (0.75 + 0.5 * p["iris_light"])
        fill(texture, ellipse(iris_x, iris_y, size, size), iris * 0.42)
        fill(texture, ellipse(iris_x, iris_y, size * 0.82, size * 0.82), iris, blur=0.2)
        fill(texture, ellipse(iris_x, iris_y, size * 0.43, size * 0.43), (14, 11, 11))
        fill(texture, lid + np.array([0, 0.8]), (60, 42, 38), 0.5, width=1.2, blur=0.5)  # the lid's shadow on the ball
        fill(texture, ellipse(iris_x + glint[0], iris_y - 1.2 + glint[1], 0.85, 0.85, 8), (255, 255, 255), 0.95)
        mask = np.zeros(patch.shape[:2], np.uint8)
        spots = np.stack(cells(opening[:, 0], opening[:, 1]), axis=1) - (left, top)
        cv2.fillPoly(mask, [np.round(spots * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
        patch[:] = shut + (patch - shut) * (mask.astype(np.float32) / 255)[..., None]
        pink = (tone[0] * 0.86, tone[1] * 0.66, tone[2] * 0.62)
        fill(texture, np.stack([across, lower], axis=1), pink, 0.6, width=0.6)
    fill(texture, lid, (34, 24, 22), 0.9, width=0.7 + 0.5 * (p["eye_roundness"] > 2.0))


def _paint_mouth(texture: np.ndarray, identity: Identity, p: dict[str, float], mouth_open: float, smile: float) -> None:
    s = np.linspace(-1, 1, 17)
    corner_x, corner_y = mouth_corner(p, mouth_open, smile)
    arc = 1 - s * s
    across, rest = corner_x * s, corner_y + (p["mouth_height"] - corner_y) * arc
    gap = 12.5 * mouth_open
    tone = skin_colour(identity)
    red = np.array([0.82, 0.44, 0.42]) + p["lip_colour"] * np.array([0.04, 0.10, 0.16])
    lip = tone + (tone * red - tone) * (0.45 + 0.55 * p["lip_strength"])
    full = 1 - 0.25 * smile
    bow = p["cupid_bow"] * (np.exp(-((s / 0.13) ** 2)) - 0.6 * np.exp(-(((np.abs(s) - 0.28) / 0.2) ** 2)))
    upper_in, lower_in = rest - 0.22 * gap * arc, rest + 0.78 * gap * arc
    upper_out = upper_in - p["upper_lip"] * full * arc**0.75 + bow
    lower_out = lower_in + p["lower_lip"] * full * arc**0.7

    def band(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
        return np.concatenate([np.stack([across, top], 1), np.stack([across, bottom], 1)[::-1]])

    fill(texture, band(upper_out, upper_in + 0.3), lip * 0.90, blur=0.25)
    fill(texture, band(lower_in - 0.3, lower_out), lip, blur=0.25)
    fill(texture, ellipse(0, lower_in[8] + 0.45 * p["lower_lip"], corner_x * 0.42, 0.8), np.minimum(lip * 1.22, 255),
          0.5, blur=0.8)  # fmt: skip
    if gap > 1.0:
        fill(texture, band(upper_in, lower_in), (52, 20, 20))
        teeth = np.minimum(upper_in + min(0.42 * gap, 3.6) * arc**0.5, lower_in)
        fill(texture, band(upper_in, teeth), (226, 218, 206), 0.95)
        if gap > 5.0:
            tongue = ellipse(0, lower_in[8] - 0.10 * gap, corner_x * 0.5, 0.16 * gap)
            fill(texture, tongue, (150, 70, 68), 0.8, blur=0.5)
    else:
        fill(texture, np.stack([across, rest], 1), lip * 0.42, 0.85, width=0.7)
    for side in (-1, 1):
        fill(texture, ellipse(side * corner_x, corner_y, 1.0, 0.8, 8), tone * 0.45, 0.5, blur=0.5)
        wing = (p["nose_width"] + 4.0, p["eye_height"] + p["nose_length"] + 11.0)
        fold = np.array([wing, (corner_x + 4.0, corner_y - 6.0), (corner_x + 5.0, corner_y)])
        fill(texture, fold * (side, 1), tone * 0.62, 0.08 + 0.32 * smile, width=0.8, blur=0.6)


def mouth_corner(p: dict[str, float], mouth_open: float, smile: float) -> tuple[float, float]:
    """Longitude (> 0) and latitude in degrees of the mouth's corners under an expression (both 0..1)."""
    return (p["mouth_width"] * (1 + 0.22 * smile - 0.12 * mouth_open),
            p["mouth_height"] - 3.4 * smile + 2.4 * mouth_open)  # fmt: skip


def paint(identity: Identity, mouth_open: float, smile: float, gaze: tuple[float, float], blink: float,
          glint: tuple[float, float], soften: float) -> np.ndarray:  # fmt: skip
    """The texture for one photo.

    Args:
        identity: whose.
        mouth_open, smile, blink: 0..1.
        gaze: degrees to the image's right and up, in the head's frame.
        glint: where the light mirrors in the eyes, degrees beside the iris's middle.
        soften: blur in texture pixels against aliasing where the photo is coarser than the texture.
    """
    p = identity.as_dict()
    sigma = round(soften, 1)
    texture = _softened_skin(identity, sigma).copy()
    # Eyes and mouth are painted on the sharp skin of a window around them, which is softened then.
    sharp = np.empty_like(texture)  # the painters know only the whole texture's places
    sharp[WINDOW] = skin_of(identity)[WINDOW]
    _paint_mouth(sharp, identity, p, mouth_open, smile)
    for side in (-1.0, 1.0):
        _paint_eye(sharp, identity, p, side, gaze, blink, glint)
    texture[WINDOW] = _soften(sharp[WINDOW], sigma)
    return texture


WINDOW = (slice(72, 220), slice(110, 274))  # latitude -35 to 57, longitude -51 to 51: all that a photo may repaint


@lru_cache(maxsize=8)
def _softened_skin(identity: Identity, sigma: float) -> np.ndarray:
    return _soften(skin_of(identity), sigma)


def _soften(texture: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(texture, (0, 0), sigma) if sigma > 0.3 else texture
