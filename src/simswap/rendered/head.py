"""The parametric head: the parameters of a person, the head's coordinates, and where hair grows.

The head is a star-shaped surface ``r(longitude, latitude)`` around its center, stored as a map (`rendered.shape`). Its
axes are x to the image's right when it faces the camera, y down, and z out of the face; one unit is about 100 mm.
Longitude 0 is the middle of the face and increases to the image's right; latitude increases downwards (the chin is at
about +52 degrees, the eyes at about -12).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

# Name → (mean, standard deviation, minimum, maximum): angles in degrees, lengths in head units, others in 0..1.
PARAMETERS: dict[str, tuple[float, float, float, float]] = {
    "skull_width": (0.765, 0.035, 0.68, 0.85),
    "skull_height": (0.91, 0.04, 0.81, 1.01),
    "forehead": (0.0, 0.03, -0.06, 0.06),
    "face_width": (0.635, 0.045, 0.53, 0.74),
    "face_length": (0.82, 0.045, 0.72, 0.93),
    "jaw_width": (0.0, 0.045, -0.09, 0.10),
    "jaw_angle": (58.0, 5.0, 48.0, 68.0),
    "chin_out": (0.06, 0.04, -0.02, 0.15),
    "chin_width": (13.0, 3.5, 7.0, 21.0),
    "cheekbones": (0.04, 0.03, -0.02, 0.10),
    "cheek_fullness": (0.0, 0.04, -0.08, 0.09),
    "brow_ridge": (0.03, 0.02, 0.0, 0.08),
    "ear_size": (0.13, 0.025, 0.07, 0.19),
    "nose_out": (0.22, 0.045, 0.12, 0.33),
    "nose_length": (15.0, 1.9, 11.0, 19.0),
    "nose_width": (8.4, 1.4, 5.8, 12.0),
    "nose_bridge": (0.11, 0.03, 0.04, 0.18),
    "nose_tip": (4.4, 0.8, 3.0, 6.4),
    "eye_distance": (20.6, 1.4, 17.4, 23.8),
    "eye_height": (-12.0, 1.3, -15.0, -9.0),
    "eye_width": (10.2, 0.8, 8.4, 12.2),
    "eye_open": (4.7, 0.7, 3.2, 6.4),
    "eye_tilt": (0.8, 1.2, -2.0, 3.6),
    "eye_roundness": (2.0, 0.35, 1.4, 2.8),
    "eye_depth": (0.045, 0.02, 0.0, 0.09),
    "lid_crease": (0.55, 0.25, 0.0, 1.0),
    "iris_size": (4.3, 0.25, 3.7, 4.9),
    "iris_color": (0.5, 0.33, 0.0, 1.0),
    "iris_light": (0.5, 0.25, 0.0, 1.0),
    "brow_gap": (10.0, 1.2, 7.6, 13.0),
    "brow_thickness": (2.9, 0.8, 1.2, 5.0),
    "brow_arch": (1.6, 1.0, -0.6, 4.0),
    "brow_tilt": (0.4, 1.2, -2.6, 2.8),
    "brow_length": (11.2, 1.2, 8.4, 14.0),
    "brow_dark": (0.72, 0.18, 0.25, 1.0),
    "mouth_height": (29.0, 1.7, 25.0, 33.0),
    "mouth_width": (15.0, 1.8, 11.4, 19.4),
    "upper_lip": (3.7, 0.9, 1.8, 6.0),
    "lower_lip": (5.0, 1.0, 2.6, 7.6),
    "cupid_bow": (0.8, 0.5, 0.0, 2.0),
    "lip_color": (0.45, 0.25, 0.0, 1.0),
    "lip_strength": (0.5, 0.22, 0.1, 1.0),
    "skin_tone": (0.45, 0.3, 0.0, 1.0),
    "skin_hue": (0.0, 0.5, -1.0, 1.0),
    "skin_blush": (0.4, 0.25, 0.0, 1.0),
    "hair_tone": (0.4, 0.33, 0.0, 1.0),
    "hair_hue": (0.0, 0.5, -1.0, 1.0),
    "hairline": (44.0, 3.5, 36.0, 52.0),
    "receding": (2.0, 4.0, 0.0, 12.0),
    "hair_part": (0.0, 14.0, -28.0, 28.0),
    "hair_volume": (0.10, 0.05, 0.03, 0.26),
    "hair_curl": (0.35, 0.3, 0.0, 1.0),
    "temple": (61.0, 4.0, 53.0, 70.0),
}
SPREAD = 1.4  # people differ more than real ones, so that small networks can distinguish them at 64 px
STYLES = ("bald", "cropped", "short", "fringe", "bob", "long")  # hair styles
BEARDS = ("none", "stubble", "moustache", "goatee", "full")
# Choices and skin marks; each is a float like the parameters above, so that a person is one row of numbers.
CHOICES = ("hair_style", "beard", "freckles", "mole_count", "mole_seed", "texture_seed")
NAMES: tuple[str, ...] = (*PARAMETERS, *CHOICES)


@dataclass(frozen=True)
class Identity:
    """One person; ``identity["nose_width"]`` reads a parameter.

    Attributes:
        seed: The seed that the person was drawn with.
        values: The true parameters, in the order of `NAMES`.
    """

    seed: int
    values: tuple[float, ...]

    def __hash__(self) -> int:
        return hash((self.seed, self.values[0]))  # quick, for the caches: the seed determines the values

    def __getitem__(self, name: str) -> float:
        return self.values[NAMES.index(name)]

    def as_dict(self) -> dict[str, float]:
        """The parameters by name."""
        return dict(zip(NAMES, self.values, strict=True))


@lru_cache(maxsize=8)
def render_person(seed: int) -> Identity:
    """Draw a person: clipped normals of `PARAMETERS`, hair style, beard and skin marks; the seed determines all."""
    rng = np.random.default_rng([seed, 0x9E3779B9])
    values: dict[str, float] = {}
    for name, (mean, deviation, low, high) in PARAMETERS.items():
        values[name] = round(min(max(float(rng.normal(mean, SPREAD * deviation)), low), high), 5)
    for name in ("skin_tone", "iris_color", "hair_tone"):  # colors are uniform: a normal would give few extremes
        values[name] = round(float(rng.uniform()), 5)
    style = int(rng.choice(len(STYLES), p=[0.07, 0.15, 0.25, 0.18, 0.15, 0.20]))
    beard_odds = [0.50, 0.16, 0.10, 0.10, 0.14] if style < 3 else [0.86, 0.06, 0.03, 0.03, 0.02]
    values["hair_style"] = float(style)
    values["beard"] = float(rng.choice(len(BEARDS), p=beard_odds))
    values["freckles"] = round(float(max(0.0, rng.uniform(-2.0, 1.0))), 5)
    values["mole_count"] = float(rng.integers(0, 5))
    values["mole_seed"] = float(rng.integers(0, 2**31))
    values["texture_seed"] = float(rng.integers(0, 2**31))
    return Identity(seed, tuple(values[name] for name in NAMES))


def directions(longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
    """Angles in degrees → unit vectors [..., 3] in the head's axes."""
    theta, phi = np.deg2rad(longitude), np.deg2rad(latitude)
    return np.stack([np.cos(phi) * np.sin(theta), np.sin(phi), np.cos(phi) * np.cos(theta)], axis=-1)


def hair_line(identity: Identity, longitude: np.ndarray) -> np.ndarray:
    """The latitude down to which hair grows at each longitude, in degrees; -120 for no hair."""
    style = STYLES[int(identity["hair_style"])]
    top, temple = -identity["hairline"], identity["temple"]
    front = {"fringe": -27.0, "bob": -29.0 if identity["hair_part"] > 6 else top}.get(style, top)
    side = {"bald": -90.0, "cropped": -6.0, "short": -2.0, "fringe": 8.0, "bob": 24.0, "long": 20.0}[style]
    nape = {"bald": -90.0, "cropped": 30.0, "short": 38.0, "fringe": 42.0, "bob": 46.0, "long": 46.0}[style]
    if style == "bald":
        return np.full_like(longitude, -120.0)  # beyond the crown, so that no edge is visible
    asked = np.abs(longitude)
    covered = style in ("bob", "long")  # hair covers the ears; hair below the jaw is drawn behind the head
    ear, burn = (side, side) if covered else (-16.0, max(side, 2.0))
    line = np.interp(
        asked,
        [0.0, 22.0, 40.0, temple - 9, temple, temple + 7, temple + 14, temple + 20, 112.0, 180.0],
        [front, front, front - identity["receding"] * (front == top), top + 12, -14.0, burn, burn, ear, nape, nape],
    )
    if style not in ("bald", "cropped"):  # the parting lifts the hair on one side
        part = identity["hair_part"]
        lifted = np.exp(-(((longitude - part) / 9.0) ** 2)) * (6.0 if style != "fringe" else 2.0)
        line = line - lifted + np.sign(part) * longitude / 40.0 * 3.0 * (asked < 50)
    return line


def hair_mask(identity: Identity, longitude: np.ndarray, latitude: np.ndarray, softness: float) -> np.ndarray:
    """The share of hair, 0..1 [H, W].

    Args:
        identity: The person.
        longitude: [1, W] in degrees.
        latitude: [H, 1] in degrees.
        softness: Width of the edge in degrees.
    """
    curl, dtype = identity["hair_curl"], latitude.dtype
    strands = 0.9 * np.sin(longitude * 1.7) * np.sin(longitude * 0.61 + 0.4)
    edge = hair_line(identity, longitude) + curl * 1.6 * np.sin(longitude * 0.42 + 1.0) + strands
    # Slanting curls: 1.1 curl sin(0.93 longitude + 0.1 latitude), expanded by the sine of a sum.
    wave, slant = 1.1 * curl * np.stack([np.sin(longitude * 0.93), np.cos(longitude * 0.93)]), latitude * 0.1
    hair = edge.astype(dtype) - latitude
    hair += np.cos(slant) * wave[0].astype(dtype)
    hair += np.sin(slant) * wave[1].astype(dtype)
    hair *= 1 / softness
    hair += 0.5
    return np.clip(hair, 0.0, 1.0, out=hair)
