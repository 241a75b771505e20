"""A person's own texture: skin, marks, beard, brows and hair, without eyes and mouth; and the brush that paints it.

The texture is float32 RGB 0..255 [TEXTURE_ROWS, TEXTURE_COLUMNS, 3] over longitude +-120 and latitude +-80 degrees,
0.625 degrees a pixel; beyond it the border is repeated (hair or skin).
"""

from functools import lru_cache

import cv2
import numpy as np

from simswap.faces.rendered_head import BEARDS, STYLES, Identity, hair_mask

CELL = 0.625
TEXTURE_COLUMNS, TEXTURE_ROWS = 384, 256
_MIDDLE = np.array([TEXTURE_COLUMNS / 2 - 0.5, TEXTURE_ROWS / 2 - 0.5])
Colour = tuple[float, float, float]

SKIN = np.array([(238, 200, 178), (222, 176, 148), (196, 146, 114), (150, 102, 74), (90, 59, 44)], float)
HAIR = np.array([(24, 21, 22), (52, 36, 28), (98, 64, 40), (150, 104, 60), (208, 172, 112), (184, 180, 176)], float)


def pick(palette: np.ndarray, position: float) -> np.ndarray:
    """Colour [3] at 0..1 along a palette [N, 3], linear between its entries."""
    stops = np.linspace(0.0, 1.0, len(palette))
    return np.array([np.interp(position, stops, palette[:, k]) for k in range(3)])


def cells(longitude: np.ndarray, latitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Angles in degrees → columns and rows of the texture."""
    half_columns, half_rows = np.float32(TEXTURE_COLUMNS / 2 - 0.5), np.float32(TEXTURE_ROWS / 2 - 0.5)
    return longitude * np.float32(1 / CELL) + half_columns, latitude * np.float32(1 / CELL) + half_rows


def fill(texture: np.ndarray, points: np.ndarray, colour: np.ndarray | Colour, share: float = 1.0, blur: float = 0.0,
          width: float = 0.0) -> None:  # fmt: skip
    """Fill a polygon, or stroke it `width` degrees wide; points [N, 2] (longitude, latitude) in degrees."""
    pixels = points * (1 / CELL) + _MIDDLE
    margin = 3 + int(3 * blur / CELL + width / CELL)
    (low_x, low_y), (high_x, high_y) = pixels.min(axis=0).tolist(), pixels.max(axis=0).tolist()
    left, top = max(int(low_x) - margin, 0), max(int(low_y) - margin, 0)
    patch = texture[top : int(high_y) + 1 + margin, left : int(high_x) + 1 + margin]
    mask = np.zeros(patch.shape[:2], np.uint8)
    fixed = [np.rint((pixels - (left, top)) * 16).astype(np.int32)]
    if width:
        cv2.polylines(mask, fixed, False, 255, max(1, round(width / CELL)), cv2.LINE_AA, shift=4)
    else:
        cv2.fillPoly(mask, fixed, 255, cv2.LINE_AA, shift=4)
    if blur:
        mask = cv2.GaussianBlur(mask, (0, 0), blur / CELL)  # type: ignore[assignment]
    patch += (np.asarray(colour, np.float32) - patch) * (mask * np.float32(share / 255.0))[..., None]


@lru_cache(maxsize=8)
def _circle(count: int) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def ellipse(x: float, y: float, wide: float, high: float, count: int = 20) -> np.ndarray:
    return _circle(count) * (wide, high) + (x, y)


def _noise(rng: np.random.Generator, wide: float, high: float) -> np.ndarray:
    """Smooth noise of unit deviation, texture-sized; `wide` and `high` are the blur in pixels."""
    step = 4 if min(wide, high) >= 4 else 1  # what is so smooth need not be drawn at every pixel
    field = rng.standard_normal((TEXTURE_ROWS // step, TEXTURE_COLUMNS // step), dtype=np.float32)
    field = cv2.GaussianBlur(field, (0, 0), sigmaX=wide / step, sigmaY=high / step)  # type: ignore[assignment]
    return cv2.resize(field / field.std(), (TEXTURE_COLUMNS, TEXTURE_ROWS), interpolation=cv2.INTER_LINEAR)


@lru_cache(maxsize=64)
def skin_colour(identity: Identity) -> np.ndarray:
    """Mean colour of the person's skin, RGB 0..255 [3]."""
    warm = identity["skin_hue"] * np.array([3.0, -1.0, -8.0])
    return np.clip(pick(SKIN, identity["skin_tone"]) + warm, 20, 252)


@lru_cache(maxsize=64)
def hair_colour(identity: Identity) -> np.ndarray:
    """Mean colour of the person's hair, RGB 0..255 [3]."""
    base = pick(HAIR, identity["hair_tone"])
    red = max(0.0, identity["hair_hue"]) * 0.35 * (1 - abs(identity["hair_tone"] - 0.5) * 1.6)
    return base * np.array([1 + red, 1 - 0.5 * red, 1 - red])


def hangs(identity: Identity) -> bool:
    """Whether hair hangs below the ears."""
    return STYLES[int(identity["hair_style"])] in ("bob", "long")


def brow_line(p: dict[str, float], side: float) -> np.ndarray:
    """Middle line of a brow, nose to temple, [N, 2] degrees."""
    s = np.linspace(-1, 1, 9)
    height = p["eye_height"] - p["brow_gap"] - p["brow_arch"] * (1 - (s - 0.25) ** 2) - p["brow_tilt"] * s
    return np.stack([side * (p["eye_distance"] + 0.6 + s * p["brow_length"]), height], axis=1)


@lru_cache(maxsize=8)
def skin_of(identity: Identity) -> np.ndarray:
    """The person's texture without eyes and mouth."""
    p = identity.as_dict()
    rng = np.random.default_rng(int(p["texture_seed"]))
    east = ((np.arange(TEXTURE_COLUMNS) + 0.5) * CELL - 120.0).astype(np.float32)
    south = ((np.arange(TEXTURE_ROWS) + 0.5) * CELL - 80.0).astype(np.float32)
    longitude, latitude = east[None], south[:, None]
    tone = skin_colour(identity)
    uneven = 1 + 0.018 * _noise(rng, 9, 9) + 0.012 * _noise(rng, 1.2, 1.2)
    texture = uneven[..., None] * tone.astype(np.float32)

    def stain(x: float, y: float, wide: float, high: float, change: np.ndarray | float) -> None:
        """Multiply a soft spot's colours, on either side, by 1 + change; beyond 3.4 widths nothing shows."""
        rows = slice(*np.searchsorted(south, (y - 3.4 * high, y + 3.4 * high)))
        columns = slice(*np.searchsorted(east, (-x - 3.4 * wide, x + 3.4 * wide)))
        down = np.exp(-(((south[rows] - y) / high) ** 2))
        across = np.exp(-(((np.abs(east[columns]) - x) / wide) ** 2))
        spot = down[:, None, None] * (across[:, None] * np.broadcast_to(np.asarray(change, np.float32), 3))
        texture[rows, columns] *= 1 + spot

    blush = np.array([0.03, -0.13, -0.11]) * p["skin_blush"]
    tip_y = p["eye_height"] + p["nose_length"] + 11.0
    stain(34, 12, 14, 10, blush)
    stain(0, tip_y, 7, 5, 0.7 * blush)
    stain(88, 2, 8, 14, 0.3 * blush)
    socket = np.array([-0.10, -0.15, -0.15]) * (0.6 + 4 * p["eye_depth"])
    stain(p["eye_distance"], p["eye_height"] - 2.0, 10, 5.5, socket)
    stain(p["eye_distance"] - 1, p["eye_height"] + 7.0, 8, 2.0, -0.12 * p["lid_crease"])
    stain(p["nose_width"] + 3.6, tip_y + 2.5, 2.0, 4.0, -0.10)  # the fold beside the wing of the nose
    stain(0, tip_y + 4.6, p["nose_width"], 1.8, -0.20)  # under the nose
    stain(0, p["mouth_height"] + p["lower_lip"] + 3.0, 9, 1.8, -0.12)
    stain(86, 2, 2.6, 6, -0.22)  # hollow of the ear
    texture *= (1 - 0.25 * np.clip((south - 60) / 20, 0, 1))[:, None, None]  # below the chin

    for side in (-1, 1):
        nostril = ellipse(side * p["nose_width"] * 0.46, tip_y + 2.9, 1.7, 0.95, 10)
        fill(texture, nostril, tone * 0.22, 0.85, blur=0.35)
        s = np.linspace(-1, 1, 15)
        fold = (p["eye_open"] + 1.7) * (1 - np.abs(s) ** p["eye_roundness"]) ** 0.8
        crease = p["eye_height"] - side * s * p["eye_tilt"] - fold
        fill(texture, np.stack([side * p["eye_distance"] + p["eye_width"] * s, crease], axis=1),
              tone * np.array([0.58, 0.47, 0.44]), 0.25 + 0.5 * p["lid_crease"], width=0.6)  # fmt: skip
    dark = np.clip(hair_colour(identity) * 0.82, 12, 235)
    dots = np.random.default_rng(int(p["mole_seed"]))
    for _ in range(int(70 * p["freckles"])):
        x, y = dots.normal(0, 22), dots.normal(5, 7)
        fill(texture, ellipse(x, y, 0.55, 0.5, 6), tone * np.array([0.74, 0.62, 0.52]), 0.5 * dots.uniform(0.4, 1))
    for _ in range(int(p["mole_count"])):
        x, y, r = dots.uniform(-45, 45), dots.uniform(-32, 44), dots.uniform(0.7, 1.35)
        fill(texture, ellipse(x, y, r, r, 10), tone * 0.32, 0.85)

    beard = BEARDS[int(p["beard"])]
    if beard != "none":
        under = np.clip((latitude - 33 + 0.0035 * longitude**2 * (longitude**2 < 3000)) / 7, 0, 1)
        cheek = np.clip((np.abs(longitude) - 22 + (latitude - 16) * 0.9) / 7, 0, 1) * np.clip((latitude + 2) / 6, 0, 1)
        whole = np.maximum(cheek, under) * np.clip((76 - np.abs(longitude)) / 6, 0, 1)
        lip_y = p["mouth_height"] - p["upper_lip"] - 2.6
        moustache = np.exp(-((longitude / (p["mouth_width"] * 1.02)) ** 6) - ((latitude - lip_y) / 2.9) ** 4)
        goatee = np.exp(-((longitude / 12.0) ** 6) - ((latitude - 46.0) / 8.5) ** 4)
        grown = {"stubble": 0.38 * np.maximum(whole, moustache), "moustache": 0.92 * moustache,
                 "goatee": 0.9 * np.maximum(goatee, moustache),
                 "full": 0.95 * np.maximum(whole, moustache)}[beard]  # fmt: skip
        share = np.clip(grown * (1 + 0.22 * _noise(rng, 0.7, 1.3)), 0, 1).astype(np.float32)[..., None]
        shade = np.minimum(dark, tone * 0.7) if beard == "stubble" else dark  # light stubble on dark skin is not seen
        texture += (shade.astype(np.float32) - texture) * share

    for side in (-1, 1):
        line = brow_line(p, side)
        body = np.array([0.75, 0.95, 1.0, 1.0, 0.95, 0.85, 0.7, 0.5, 0.15]) * p["brow_thickness"] * 0.62
        outline = np.concatenate([line - np.stack([0 * body, body], 1), (line + np.stack([0 * body, body], 1))[::-1]])
        brow = tone + (np.minimum(dark, tone * 0.8) - tone) * p["brow_dark"]
        fill(texture, outline, brow, 0.93, blur=0.45)

    strands = 0.15 * _noise(rng, 0.9, 9 - 6.5 * p["hair_curl"]) + 0.08 * _noise(rng, 3.5, 12 - 7 * p["hair_curl"])
    strands = 1 + strands * np.clip((latitude + 82) / 30, 0.15, 1.0)  # all meridians meet at the crown: no spokes there
    gloss = 0.20 * np.exp(-(((latitude + 52) / 9) ** 2))
    hair = hair_colour(identity).astype(np.float32) * (strands + gloss)[..., None]
    mask = hair_mask(identity, longitude, latitude, 2.6).astype(np.float32)[..., None]
    if STYLES[int(p["hair_style"])] == "cropped":
        mask *= np.float32(0.8)
    else:  # hair throws a soft shadow on the forehead
        wider = hair_mask(identity, longitude, latitude - 3.0, 8.0).astype(np.float32)[..., None]
        texture *= 1 - np.float32(0.22) * np.maximum(wider - mask, 0)
    hair -= texture
    hair *= mask
    texture += hair
    return np.clip(texture, 0, 255, out=texture)
