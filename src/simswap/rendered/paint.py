"""The texture of one photo: eyes and mouth, by gaze, blink and expression, on the person's skin (`rendered.skin`)."""

import math
from functools import lru_cache

import cv2
import numpy as np

from simswap.rendered.brush import blend, box_of, ellipse, fill, line, stencil, strip
from simswap.rendered.head import Identity
from simswap.rendered.skin import MIRRORED, pick, skin_color, skin_of

IRIS = np.array([(88, 136, 190), (124, 146, 156), (104, 138, 92), (142, 108, 60), (98, 60, 34), (50, 32, 24)], float)
SIDES = np.array([[-1.0], [1.0]])  # [2, 1]: the eye on the image's left, then the one on its right
LIDS = np.linspace(-1, 1, 15)  # positions along the lids of an eye
LIPS = np.linspace(-1, 1, 17)  # positions along the lips


def _paint_eyes(
    texture: np.ndarray,
    identity: Identity,
    p: dict[str, float],
    gaze: tuple[float, float],
    blink: float,
    glint: tuple[float, float],
) -> None:
    """Paint both eyes at once; gaze: degrees to the image's right and up."""
    x, y, wide = p["eye_distance"], p["eye_height"], p["eye_width"]
    tone = skin_color(identity)
    lift = 1 - np.abs(LIDS) ** p["eye_roundness"]
    corners = y - SIDES * LIDS * p["eye_tilt"]  # [2, N], as everything with two sides
    follow = gaze[1] * 0.03  # the upper lid follows the gaze
    lower = corners + p["eye_open"] * 0.72 * lift
    upper = np.minimum(corners - (p["eye_open"] * (1 - 1.3 * blink) + follow * (1 - blink)) * lift, lower - 0.05)
    across = SIDES * x + wide * LIDS
    lid = line(across, upper)
    fill(texture, strip(across, corners - (p["eye_open"] + 1.7) * lift**0.8, upper), tone * 0.90, 0.55, blur=0.4)
    if blink < 0.9:
        # The eyeball is painted on a copy, of which only the part between the lids is kept.
        rows, columns = box = box_of(np.array([[-x - wide, y - 9.0], [x + wide, y + 9.0]]), 2)
        inside = stencil(strip(across, upper, lower), box)
        shut = texture[:, rows, columns].copy()
        ball = np.array([238, 234, 230], np.float32) * (0.82 + 0.18 * min(1.0, tone.mean() / 170))
        blend(texture[:, rows, columns], ball, inside)
        middle = np.array([gaze[0] * 0.13, y + 0.1 - gaze[1] * 0.13]) + SIDES[..., None] * (x, 0.0)  # [2, 1, 2]
        size = p["iris_size"]
        disc = ellipse(0.0, 0.0, size, size)
        iris = _iris_color(identity)
        fill(texture, disc + middle, iris * 0.42)
        fill(texture, disc * 0.82 + middle, iris, blur=0.2)
        fill(texture, disc * 0.43 + middle, (14, 11, 11))
        fill(
            texture, lid + np.array([0, 0.8]), (60, 42, 38), 0.5, width=1.2, blur=0.5
        )  # the lid's shadow on the eyeball
        fill(texture, ellipse(glint[0], glint[1] - 1.2, 0.85, 0.85, 8) + middle, (255, 255, 255), 0.95)
        blend(shut, texture[:, rows, columns], inside)
        texture[:, rows, columns] = shut
        pink = (tone[0] * 0.86, tone[1] * 0.66, tone[2] * 0.62)
        fill(texture, line(across, lower), pink, 0.6, width=0.6)
    fill(texture, lid, (34, 24, 22), 0.9, width=0.7 + 0.5 * (p["eye_roundness"] > 2.0))


def _paint_mouth(texture: np.ndarray, identity: Identity, p: dict[str, float], mouth_open: float, smile: float) -> None:
    corner_x, corner_y = mouth_corner(p, mouth_open, smile)
    arc = 1 - LIPS * LIPS
    across, rest = corner_x * LIPS, corner_y + (p["mouth_height"] - corner_y) * arc
    gap = 12.5 * mouth_open
    tone = skin_color(identity)
    red = np.array([0.82, 0.44, 0.42]) + p["lip_color"] * np.array([0.04, 0.10, 0.16])
    lip = tone + (tone * red - tone) * (0.45 + 0.55 * p["lip_strength"])
    full = 1 - 0.25 * smile
    bow = p["cupid_bow"] * (np.exp(-((LIPS / 0.13) ** 2)) - 0.6 * np.exp(-(((np.abs(LIPS) - 0.28) / 0.2) ** 2)))
    upper_in, lower_in = rest - 0.22 * gap * arc, rest + 0.78 * gap * arc
    upper_out = upper_in - p["upper_lip"] * full * arc**0.75 + bow
    lower_out = lower_in + p["lower_lip"] * full * arc**0.7

    fill(texture, strip(across, upper_out, upper_in + 0.3), lip * 0.90, blur=0.25)
    fill(texture, strip(across, lower_in - 0.3, lower_out), lip, blur=0.25)
    fill(
        texture,
        ellipse(0, lower_in[8] + 0.45 * p["lower_lip"], corner_x * 0.42, 0.8),
        np.minimum(lip * 1.22, 255),
        0.5,
        blur=0.8,
    )
    if gap > 1.0:
        fill(texture, strip(across, upper_in, lower_in), (52, 20, 20))
        teeth = np.minimum(upper_in + min(0.42 * gap, 3.6) * arc**0.5, lower_in)
        fill(texture, strip(across, upper_in, teeth), (226, 218, 206), 0.95)
        if gap > 5.0:
            tongue = ellipse(0, lower_in[8] - 0.10 * gap, corner_x * 0.5, 0.16 * gap)
            fill(texture, tongue, (150, 70, 68), 0.8, blur=0.5)
    else:
        fill(texture, line(across, rest), lip * 0.42, 0.85, width=0.7)
    fill(texture, ellipse(corner_x, corner_y, 1.0, 0.8, 8) * MIRRORED, tone * 0.45, 0.5, blur=0.5)
    wing = (p["nose_width"] + 4.0, p["eye_height"] + p["nose_length"] + 11.0)
    fold = np.array([wing, (corner_x + 4.0, corner_y - 6.0), (corner_x + 5.0, corner_y)])
    fill(texture, fold * MIRRORED, tone * 0.62, 0.08 + 0.32 * smile, width=0.8, blur=0.6)


def mouth_corner(p: dict[str, float], mouth_open: float, smile: float) -> tuple[float, float]:
    """Longitude (> 0) and latitude in degrees of the corners of the mouth under an expression (both values 0..1)."""
    return (
        p["mouth_width"] * (1 + 0.22 * smile - 0.12 * mouth_open),
        p["mouth_height"] - 3.4 * smile + 2.4 * mouth_open,
    )


def paint(
    identity: Identity,
    mouth_open: float,
    smile: float,
    gaze: tuple[float, float],
    blink: float,
    glint: tuple[float, float],
    soften: float,
) -> np.ndarray:
    """The texture for one photo, planes as in `skin.skin_of`.

    Args:
        identity: The person.
        mouth_open: 0..1.
        smile: 0..1.
        gaze: Degrees to the image's right and up, relative to the head.
        blink: 0..1.
        glint: Offset of the light's reflection from the middle of the iris, in degrees.
        soften: Blur in texture pixels, against aliasing in a photo that is coarser than the texture.
    """
    p = identity.as_dict()
    sigma = round(soften, 1)
    texture = _softened_skin(identity, sigma).copy()
    # Eyes and mouth are painted on sharp skin, in windows around them that are softened afterwards.
    sharp = np.empty_like(texture)  # the painters use positions in the complete texture
    for window in (MOUTH, EYES):
        sharp[window] = skin_of(identity)[window]
    _paint_mouth(sharp, identity, p, mouth_open, smile)
    _paint_eyes(sharp, identity, p, gaze, blink, glint)
    for window in (MOUTH, EYES):
        _soften(sharp[window], sigma, texture[window])
    return texture


# Everything that a photo may repaint: latitude 7 to 57 and longitude ±38; latitude -35 to 7 and longitude ±45.
MOUTH = (slice(None), slice(139, 220), slice(131, 253))
EYES = (slice(None), slice(72, 139), slice(120, 264))


@lru_cache(maxsize=8)
def _softened_skin(identity: Identity, sigma: float) -> np.ndarray:
    skin = skin_of(identity)
    return _soften(skin, sigma, np.empty_like(skin))


def _soften(sharp: np.ndarray, sigma: float, soft: np.ndarray) -> np.ndarray:
    """Blur planes [3, H, W] into `soft`, and return it."""
    if sigma <= 0.3:
        soft[:] = sharp
        return soft
    taps = 2 * math.ceil(3 * sigma) + 1
    for plane, target in zip(sharp, soft, strict=True):
        target[:] = cv2.GaussianBlur(plane, (taps, taps), sigma)
    return soft


@lru_cache(maxsize=64)
def _iris_color(identity: Identity) -> np.ndarray:
    return pick(IRIS, identity["iris_color"]) * (0.75 + 0.5 * identity["iris_light"])
