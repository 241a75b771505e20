"""The skin's colours: a person's own texture, and eyes and mouth painted on it for one photo.

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
IRIS = np.array([(88, 136, 190), (124, 146, 156), (104, 138, 92), (142, 108, 60), (98, 60, 34), (50, 32, 24)], float)


def pick(palette: np.ndarray, position: float) -> np.ndarray:
    """Colour [3] at 0..1 along a palette [N, 3], linear between its entries."""
    stops = np.linspace(0.0, 1.0, len(palette))
    return np.array([np.interp(position, stops, palette[:, k]) for k in range(3)])


def cells(longitude: np.ndarray, latitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Angles in degrees → columns and rows of the texture."""
    half_columns, half_rows = np.float32(TEXTURE_COLUMNS / 2 - 0.5), np.float32(TEXTURE_ROWS / 2 - 0.5)
    return longitude * np.float32(1 / CELL) + half_columns, latitude * np.float32(1 / CELL) + half_rows


def _fill(texture: np.ndarray, points: np.ndarray, colour: np.ndarray | Colour, share: float = 1.0, blur: float = 0.0,
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


def _ellipse(x: float, y: float, wide: float, high: float, count: int = 20) -> np.ndarray:
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
    longitude, latitude = np.meshgrid(east, south)
    tone = skin_colour(identity)
    texture = np.empty((TEXTURE_ROWS, TEXTURE_COLUMNS, 3), np.float32)
    texture[:] = tone
    texture *= (1 + 0.018 * _noise(rng, 9, 9) + 0.012 * _noise(rng, 1.2, 1.2))[..., None]

    def glow(x: float, y: float, wide: float, high: float) -> np.ndarray:
        across = np.exp(-(((np.abs(east) - x) / wide) ** 2))
        return (np.exp(-(((south - y) / high) ** 2))[:, None] * across).astype(np.float32)[..., None]

    blush = np.array([0.03, -0.13, -0.11]) * p["skin_blush"]
    tip_y = p["eye_height"] + p["nose_length"] + 11.0
    texture *= 1 + blush * (glow(34, 12, 14, 10) + 0.7 * glow(0, tip_y, 7, 5) + 0.3 * glow(88, 2, 8, 14))
    socket = glow(p["eye_distance"], p["eye_height"] - 2.0, 10, 5.5)
    texture *= 1 - np.array([0.10, 0.15, 0.15]) * socket * (0.6 + 4 * p["eye_depth"])
    texture *= 1 - 0.12 * glow(p["eye_distance"] - 1, p["eye_height"] + 7.0, 8, 2.0) * p["lid_crease"]
    texture *= 1 - 0.10 * glow(p["nose_width"] + 3.6, tip_y + 2.5, 2.0, 4.0)  # the fold beside the wing of the nose
    texture *= 1 - 0.20 * glow(0, tip_y + 4.6, p["nose_width"], 1.8)  # under the nose
    texture *= 1 - 0.12 * glow(0, p["mouth_height"] + p["lower_lip"] + 3.0, 9, 1.8)
    texture *= 1 - 0.25 * np.clip((latitude - 60) / 20, 0, 1)[..., None]  # below the chin
    texture *= 1 - 0.22 * glow(86, 2, 2.6, 6)  # hollow of the ear

    for side in (-1, 1):
        nostril = _ellipse(side * p["nose_width"] * 0.46, tip_y + 2.9, 1.7, 0.95, 10)
        _fill(texture, nostril, tone * 0.22, 0.85, blur=0.35)
        s = np.linspace(-1, 1, 15)
        fold = (p["eye_open"] + 1.7) * (1 - np.abs(s) ** p["eye_roundness"]) ** 0.8
        crease = p["eye_height"] - side * s * p["eye_tilt"] - fold
        _fill(texture, np.stack([side * p["eye_distance"] + p["eye_width"] * s, crease], axis=1),
              tone * np.array([0.58, 0.47, 0.44]), 0.25 + 0.5 * p["lid_crease"], width=0.6)  # fmt: skip
    dark = np.clip(hair_colour(identity) * 0.82, 12, 235)
    dots = np.random.default_rng(int(p["mole_seed"]))
    for _ in range(int(70 * p["freckles"])):
        x, y = dots.normal(0, 22), dots.normal(5, 7)
        _fill(texture, _ellipse(x, y, 0.55, 0.5, 6), tone * np.array([0.74, 0.62, 0.52]), 0.5 * dots.uniform(0.4, 1))
    for _ in range(int(p["mole_count"])):
        x, y, r = dots.uniform(-45, 45), dots.uniform(-32, 44), dots.uniform(0.7, 1.35)
        _fill(texture, _ellipse(x, y, r, r, 10), tone * 0.32, 0.85)

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
        share = np.clip(grown * (1 + 0.22 * _noise(rng, 0.7, 1.3)), 0, 1)[..., None]
        shade = np.minimum(dark, tone * 0.7) if beard == "stubble" else dark  # light stubble on dark skin is not seen
        texture += (shade - texture) * share

    for side in (-1, 1):
        line = brow_line(p, side)
        body = np.array([0.75, 0.95, 1.0, 1.0, 0.95, 0.85, 0.7, 0.5, 0.15]) * p["brow_thickness"] * 0.62
        outline = np.concatenate([line - np.stack([0 * body, body], 1), (line + np.stack([0 * body, body], 1))[::-1]])
        brow = tone + (np.minimum(dark, tone * 0.8) - tone) * p["brow_dark"]
        _fill(texture, outline, brow, 0.93, blur=0.45)

    strands = 0.15 * _noise(rng, 0.9, 9 - 6.5 * p["hair_curl"]) + 0.08 * _noise(rng, 3.5, 12 - 7 * p["hair_curl"])
    strands = 1 + strands * np.clip((latitude + 82) / 30, 0.15, 1.0)  # all meridians meet at the crown: no spokes there
    gloss = 0.20 * np.exp(-(((latitude + 52) / 9) ** 2))
    hair = hair_colour(identity) * (strands + gloss)[..., None]
    mask = hair_mask(identity, longitude, latitude, 2.6)[..., None]
    if STYLES[int(p["hair_style"])] == "cropped":
        mask = mask * 0.8
    else:  # hair throws a soft shadow on the forehead
        texture *= 1 - 0.22 * (hair_mask(identity, longitude, latitude - 3.0, 8.0)[..., None] - mask).clip(0)
    return (texture + (hair - texture) * mask).clip(0, 255).astype(np.float32)


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
    _fill(texture, np.concatenate([crease, lid[::-1]]), tone * 0.90, 0.55, blur=0.4)
    if blink < 0.9:
        columns, rows = cells(np.array([x - wide, x + wide]), np.array([y - 9.0, y + 9.0]))
        left, right, top, bottom = int(columns[0]) - 2, int(columns[1]) + 4, int(rows[0]), int(rows[1]) + 1
        patch = texture[top:bottom, left:right]
        shut = patch.copy()
        ball = np.array([238, 234, 230], np.float32) * (0.82 + 0.18 * min(1.0, tone.mean() / 170))
        _fill(texture, opening, ball, blur=0.0)
        iris_x, iris_y = x + gaze[0] * 0.13, y + 0.1 - gaze[1] * 0.13
        size = p["iris_size"]
        iris = pick(IRIS, p["iris_colour"]) * (0.75 + 0.5 * p["iris_light"])
        _fill(texture, _ellipse(iris_x, iris_y, size, size), iris * 0.42)
        _fill(texture, _ellipse(iris_x, iris_y, size * 0.82, size * 0.82), iris, blur=0.2)
        _fill(texture, _ellipse(iris_x, iris_y, size * 0.43, size * 0.43), (14, 11, 11))
        _fill(texture, lid + np.array([0, 0.8]), (60, 42, 38), 0.5, width=1.2, blur=0.5)  # the lid's shadow on the ball
        _fill(texture, _ellipse(iris_x + glint[0], iris_y - 1.2 + glint[1], 0.85, 0.85, 8), (255, 255, 255), 0.95)
        mask = np.zeros(patch.shape[:2], np.uint8)
        spots = np.stack(cells(opening[:, 0], opening[:, 1]), axis=1) - (left, top)
        cv2.fillPoly(mask, [np.round(spots * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
        patch[:] = shut + (patch - shut) * (mask.astype(np.float32) / 255)[..., None]
        pink = (tone[0] * 0.86, tone[1] * 0.66, tone[2] * 0.62)
        _fill(texture, np.stack([across, lower], axis=1), pink, 0.6, width=0.6)
    _fill(texture, lid, (34, 24, 22), 0.9, width=0.7 + 0.5 * (p["eye_roundness"] > 2.0))


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

    _fill(texture, band(upper_out, upper_in + 0.3), lip * 0.90, blur=0.25)
    _fill(texture, band(lower_in - 0.3, lower_out), lip, blur=0.25)
    _fill(texture, _ellipse(0, lower_in[8] + 0.45 * p["lower_lip"], corner_x * 0.42, 0.8), np.minimum(lip * 1.22, 255),
          0.5, blur=0.8)  # fmt: skip
    if gap > 1.0:
        _fill(texture, band(upper_in, lower_in), (52, 20, 20))
        teeth = np.minimum(upper_in + min(0.42 * gap, 3.6) * arc**0.5, lower_in)
        _fill(texture, band(upper_in, teeth), (226, 218, 206), 0.95)
        if gap > 5.0:
            tongue = _ellipse(0, lower_in[8] - 0.10 * gap, corner_x * 0.5, 0.16 * gap)
            _fill(texture, tongue, (150, 70, 68), 0.8, blur=0.5)
    else:
        _fill(texture, np.stack([across, rest], 1), lip * 0.42, 0.85, width=0.7)
    for side in (-1, 1):
        _fill(texture, _ellipse(side * corner_x, corner_y, 1.0, 0.8, 8), tone * 0.45, 0.5, blur=0.5)
        wing = (p["nose_width"] + 4.0, p["eye_height"] + p["nose_length"] + 11.0)
        fold = np.array([wing, (corner_x + 4.0, corner_y - 6.0), (corner_x + 5.0, corner_y)])
        _fill(texture, fold * (side, 1), tone * 0.62, 0.08 + 0.32 * smile, width=0.8, blur=0.6)


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
