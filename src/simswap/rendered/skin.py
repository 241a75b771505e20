"""A person's texture: skin, marks, beard, brows and hair, without eyes and mouth.

Textures are planes float32 RGB 0..255 [3, TEXTURE_ROWS, TEXTURE_COLUMNS] that cover longitude ±120 and latitude ±80
degrees with 0.625 degrees per pixel. Beyond them the border (hair or skin) is repeated.
"""

from functools import lru_cache

import cv2
import numpy as np

from simswap.rendered.brush import CELL, TEXTURE_COLUMNS, TEXTURE_ROWS, blend, dots, ellipse, fill, line, strip
from simswap.rendered.head import BEARDS, STYLES, Identity, hair_mask

SKIN = np.array([(238, 200, 178), (222, 176, 148), (196, 146, 114), (150, 102, 74), (90, 59, 44)], float)
HAIR = np.array([(24, 21, 22), (52, 36, 28), (98, 64, 40), (150, 104, 60), (208, 172, 112), (184, 180, 176)], float)

# Longitudes [1, W] and latitudes [H, 1] of the texture's pixels, degrees.
EAST = (((np.arange(TEXTURE_COLUMNS) + 0.5) * CELL - 120.0).astype(np.float32))[None]
SOUTH = (((np.arange(TEXTURE_ROWS) + 0.5) * CELL - 80.0).astype(np.float32))[:, None]

MIRRORED = np.array([[[-1.0, 1.0]], [[1.0, 1.0]]])  # a polygon [N, 2] times this exists on both sides


def pick(palette: np.ndarray, position: float) -> np.ndarray:
    """The color [3] at a position 0..1 in a palette [N, 3], interpolated linearly."""
    stops = np.linspace(0.0, 1.0, len(palette))
    return np.array([np.interp(position, stops, palette[:, k]) for k in range(3)])


@lru_cache(maxsize=64)
def skin_color(identity: Identity) -> np.ndarray:
    """Mean color of the person's skin, RGB 0..255 [3]."""
    warm = identity["skin_hue"] * np.array([3.0, -1.0, -8.0])
    return np.clip(pick(SKIN, identity["skin_tone"]) + warm, 20, 252)


@lru_cache(maxsize=64)
def hair_color(identity: Identity) -> np.ndarray:
    """Mean color of the person's hair, RGB 0..255 [3]."""
    base = pick(HAIR, identity["hair_tone"])
    red = max(0.0, identity["hair_hue"]) * 0.35 * (1 - abs(identity["hair_tone"] - 0.5) * 1.6)
    return base * np.array([1 + red, 1 - 0.5 * red, 1 - red])


def hangs(identity: Identity) -> bool:
    """Whether hair hangs below the ears."""
    return STYLES[int(identity["hair_style"])] in ("bob", "long")


@lru_cache(maxsize=8)
def skin_of(identity: Identity) -> np.ndarray:
    """The person's texture without eyes and mouth, cached for the last few persons."""
    p = identity.as_dict()
    rng = np.random.default_rng(int(p["texture_seed"]))
    tone = skin_color(identity)
    uneven = 1 + np.float32(0.018) * _noise(rng, 9, 9) + np.float32(0.012) * _noise(rng, 1.2, 1.2)
    texture = uneven * tone.astype(np.float32)[:, None, None]
    _tint(texture, p)
    dark = np.clip(hair_color(identity) * 0.82, 12, 235)
    _draw_features(texture, p, tone)
    if BEARDS[int(p["beard"])] != "none":
        _grow_beard(texture, p, tone, dark, rng)
    _draw_brows(texture, p, tone, dark)
    if STYLES[int(p["hair_style"])] != "bald":
        _grow_hair(texture, identity, rng)
    return np.clip(texture, 0, 255, out=texture)


def _noise(rng: np.random.Generator, wide: float, high: float) -> np.ndarray:
    """Smooth noise of unit deviation, texture-sized; `wide` and `high` are the blur in pixels."""
    step = 4 if min(wide, high) >= 4 else 1  # smooth noise need not be drawn at every pixel
    drawn = rng.standard_normal((TEXTURE_ROWS // step, TEXTURE_COLUMNS // step), dtype=np.float32)
    # Nor blurred at every pixel: it is first reduced along an axis with a wide blur.
    less_x, less_y = (2 if blur / step >= 3.5 else 1 for blur in (wide, high))
    small = cv2.resize(drawn, (drawn.shape[1] // less_x, drawn.shape[0] // less_y), interpolation=cv2.INTER_AREA)
    smooth = cv2.GaussianBlur(small, (0, 0), sigmaX=wide / step / less_x, sigmaY=high / step / less_y)
    unit = smooth * np.float32(1 / cv2.meanStdDev(smooth)[1].item())
    return cv2.resize(unit, (TEXTURE_COLUMNS, TEXTURE_ROWS), interpolation=cv2.INTER_LINEAR)


def _stain(texture: np.ndarray, x: float, y: float, wide: float, high: float, change: np.ndarray | float) -> None:
    """Multiply the colors of a soft spot, on either side, by 1 + change; it ends at 2.6 widths."""
    rows = slice(*np.searchsorted(SOUTH[:, 0], (y - 2.6 * high, y + 2.6 * high)))
    columns = slice(*np.searchsorted(EAST[0], (-x - 2.6 * wide, x + 2.6 * wide)))
    down = np.exp(-(((SOUTH[rows] - y) / high) ** 2))
    across = np.exp(-(((np.abs(EAST[:, columns]) - x) / wide) ** 2))
    colors = np.broadcast_to(np.asarray(change, np.float32), 3)[:, None, None]
    texture[:, rows, columns] *= 1 + down * (across * colors)


def _tint(texture: np.ndarray, p: dict[str, float]) -> None:
    """Make parts of the skin redder or darker."""
    blush = np.array([0.03, -0.13, -0.11]) * p["skin_blush"]
    tip_y = p["eye_height"] + p["nose_length"] + 11.0
    _stain(texture, 34, 12, 14, 10, blush)
    _stain(texture, 0, tip_y, 7, 5, 0.7 * blush)
    _stain(texture, 88, 2, 8, 14, 0.3 * blush)
    socket = np.array([-0.10, -0.15, -0.15]) * (0.6 + 4 * p["eye_depth"])
    _stain(texture, p["eye_distance"], p["eye_height"] - 2.0, 10, 5.5, socket)
    _stain(texture, p["eye_distance"] - 1, p["eye_height"] + 7.0, 8, 2.0, -0.12 * p["lid_crease"])
    _stain(texture, p["nose_width"] + 3.6, tip_y + 2.5, 2.0, 4.0, -0.10)  # the fold beside the wing of the nose
    _stain(texture, 0, tip_y + 4.6, p["nose_width"], 1.8, -0.20)  # under the nose
    _stain(texture, 0, p["mouth_height"] + p["lower_lip"] + 3.0, 9, 1.8, -0.12)
    _stain(texture, 86, 2, 2.6, 6, -0.22)  # hollow of the ear
    chin = np.searchsorted(SOUTH[:, 0], 60.0)
    texture[:, chin:] *= 1 - 0.25 * np.clip((SOUTH[chin:] - 60) / 20, 0, 1)


def _draw_features(texture: np.ndarray, p: dict[str, float], tone: np.ndarray) -> None:
    """Draw nostrils, the creases of the lids, freckles and moles."""
    tip_y = p["eye_height"] + p["nose_length"] + 11.0
    nostril = ellipse(p["nose_width"] * 0.46, tip_y + 2.9, 1.7, 0.95, 10)
    fill(texture, nostril * MIRRORED, tone * 0.22, 0.85, blur=0.35)
    s = np.linspace(-1, 1, 15)
    fold = (p["eye_open"] + 1.7) * (1 - np.abs(s) ** p["eye_roundness"]) ** 0.8
    crease = line(p["eye_distance"] + p["eye_width"] * s, p["eye_height"] - s * p["eye_tilt"] - fold)
    fill(texture, crease * MIRRORED, tone * np.array([0.58, 0.47, 0.44]), 0.25 + 0.5 * p["lid_crease"], width=0.6)

    marks = np.random.default_rng(int(p["mole_seed"]))
    count = int(70 * p["freckles"])
    freckles = [(marks.normal(0, 22), marks.normal(5, 7), marks.uniform(0.4, 1)) for _ in range(count)]
    if freckles:
        places = np.array(freckles)
        spots = ellipse(0.0, 0.0, 0.55, 0.5, 6) + places[:, None, :2]
        dots(texture, spots, 0.5 * places[:, 2], tone * np.array([0.74, 0.62, 0.52]))
    for _ in range(int(p["mole_count"])):
        x, y, r = marks.uniform(-45, 45), marks.uniform(-32, 44), marks.uniform(0.7, 1.35)
        fill(texture, ellipse(x, y, r, r, 10), tone * 0.32, 0.85)


def _grow_beard(
    texture: np.ndarray, p: dict[str, float], tone: np.ndarray, dark: np.ndarray, rng: np.random.Generator
) -> None:
    beard = BEARDS[int(p["beard"])]
    top = np.searchsorted(SOUTH[:, 0], -2.0)  # no beard grows above
    south, aside = SOUTH[top:], np.abs(EAST)
    lip_y = p["mouth_height"] - p["upper_lip"] - 2.6
    moustache = np.exp(-((EAST / (p["mouth_width"] * 1.02)) ** 6)) * np.exp(-(((south - lip_y) / 2.9) ** 4))
    if beard == "moustache":
        grown = 0.92 * moustache
    elif beard == "goatee":
        goatee = np.exp(-((EAST / 12.0) ** 6)) * np.exp(-(((south - 46.0) / 8.5) ** 4))
        grown = 0.9 * np.maximum(goatee, moustache)
    else:
        under = np.clip((south - 33 + 0.0035 * EAST**2 * (EAST**2 < 3000)) / 7, 0, 1)
        cheek = np.clip((aside - 22 + (south - 16) * 0.9) / 7, 0, 1) * np.clip((south + 2) / 6, 0, 1)
        whole = np.maximum(cheek, under) * np.clip((76 - aside) / 6, 0, 1)
        grown = (0.38 if beard == "stubble" else 0.95) * np.maximum(whole, moustache)
    share = np.clip(grown * (1 + np.float32(0.22) * _noise(rng, 0.7, 1.3)[top:]), 0, 1)
    # Light stubble is invisible on dark skin.
    blend(texture[:, top:], np.minimum(dark, tone * 0.7) if beard == "stubble" else dark, share)


def _draw_brows(texture: np.ndarray, p: dict[str, float], tone: np.ndarray, dark: np.ndarray) -> None:
    s = np.linspace(-1, 1, 9)  # nose to temple
    height = p["eye_height"] - p["brow_gap"] - p["brow_arch"] * (1 - (s - 0.25) ** 2) - p["brow_tilt"] * s
    half = np.array([0.75, 0.95, 1.0, 1.0, 0.95, 0.85, 0.7, 0.5, 0.15]) * p["brow_thickness"] * 0.62
    brow = strip(p["eye_distance"] + 0.6 + s * p["brow_length"], height - half, height + half)
    fill(texture, brow * MIRRORED, tone + (np.minimum(dark, tone * 0.8) - tone) * p["brow_dark"], 0.93, blur=0.45)


def _grow_hair(texture: np.ndarray, identity: Identity, rng: np.random.Generator) -> None:
    curl = identity["hair_curl"]
    strands = np.float32(0.15) * _noise(rng, 0.9, 9 - 6.5 * curl) + np.float32(0.08) * _noise(rng, 3.5, 12 - 7 * curl)
    strands *= np.clip(
        (SOUTH + 82) / 30, 0.15, 1.0
    )  # all meridians meet at the crown, where strands would look like spokes
    strands += 1 + 0.20 * np.exp(-(((SOUTH + 52) / 9) ** 2))  # gloss
    hair = strands * hair_color(identity).astype(np.float32)[:, None, None]
    mask = hair_mask(identity, EAST, SOUTH, 2.6)
    if STYLES[int(identity["hair_style"])] == "cropped":
        mask *= np.float32(0.8)
    else:  # hair throws a soft shadow on the forehead
        shadow = hair_mask(identity, EAST, SOUTH - 3.0, 8.0)
        shadow -= mask
        np.maximum(shadow, 0, out=shadow)
        shadow *= np.float32(-0.22)
        shadow += 1
        texture *= shadow
    blend(texture, hair, mask)
