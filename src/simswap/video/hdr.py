"""High dynamic range (PQ and HLG, ITU-R BT.2100) to 8-bit BT.709, by the tone mapping of ITU-R BT.2390.

Light is in cd/m² of the display. White of the result stands for 203 cd/m², the reference white of ITU-R BT.2408.
"""

import struct
from functools import lru_cache
from typing import Any

import numpy as np

from simswap.faces.detection import Pixels

WHITE = 203.0
DEFAULT_PEAK = 1000.0  # of PQ, where the file names none
HLG_PEAK = 1000.0  # of the nominal display, at which HLG's system gamma is 1.2
HLG_GAMMA = 1.2
_DISPLAY_GAMMA = 2.4  # ITU-R BT.1886
_CODES = 65_536

# ITU-R BT.2100, table 4
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
# ITU-R BT.2100, table 5
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
# chromaticities (x, y) of red, green and blue by their number in ITU-T H.273; white is D65
_PRIMARIES = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_D65 = (0.3127, 0.3290)


def mastering_peak(frame: Any) -> float:
    """The luminance of the brightest white of PQ, cd/m²: the mastering display's if the frame names it, or 1,000.

    Args:
        frame: ``av.VideoFrame``; its side data is FFmpeg's struct AVMasteringDisplayMetadata: eight fractions of
            chromaticities, the lowest and the highest luminance as fractions, and two flags.
    """
    data = frame.side_data.get("MASTERING_DISPLAY_METADATA")
    if data is None or len(bytes(data)) < 88:
        return DEFAULT_PEAK
    numbers = struct.unpack("=22i", bytes(data)[:88])
    top, bottom, has_luminance = numbers[18], numbers[19], numbers[21]
    peak = top / bottom if has_luminance and bottom else 0.0
    return peak if WHITE <= peak <= 10_000 else DEFAULT_PEAK


def pq_to_light(code: np.ndarray) -> np.ndarray:
    """PQ's EOTF: a non-linear value 0 to 1 → cd/m² 0 to 10,000."""
    power = np.power(np.clip(code, 0, 1), 1 / _M2)
    return 10_000 * np.power(np.maximum(power - _C1, 0) / (_C2 - _C3 * power), 1 / _M1)


def light_to_pq(light: np.ndarray) -> np.ndarray:
    """The inverse of `pq_to_light`."""
    power = np.power(np.clip(light, 0, 10_000) / 10_000, _M1)
    return np.power((_C1 + _C2 * power) / (1 + _C3 * power), _M2)


def hlg_to_scene(code: np.ndarray) -> np.ndarray:
    """HLG's inverse OETF: a non-linear value 0 to 1 → light of the scene 0 to 1."""
    code = np.clip(code, 0, 1)
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - _C) / _A) + _B) / 12)


def compressed(light: np.ndarray, peak: float, target: float = WHITE) -> np.ndarray:
    """BT.2390's EETF (section 5.4.1, black at 0): light up to ``peak`` → light up to ``target``, cd/m²."""
    whole = light_to_pq(np.float64(peak))
    value = np.minimum(light_to_pq(light) / whole, 1)
    most = light_to_pq(np.float64(target)) / whole
    knee = 1.5 * most - 0.5
    if most >= 1:
        return np.minimum(light, target)
    t = (value - knee) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    return pq_to_light(np.where(value < knee, value, spline) * whole)


def gamut(primaries: int) -> np.ndarray:
    """The matrix [3, 3] from linear RGB of these primaries (BT.2020 where the number is another) to BT.709's."""
    return np.linalg.inv(_to_xyz(_PRIMARIES[1])) @ _to_xyz(_PRIMARIES.get(primaries, _PRIMARIES[9]))


def _to_xyz(chromaticities: tuple[tuple[float, float], ...]) -> np.ndarray:
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in chromaticities]).T
    x, y = _D65
    return columns * np.linalg.solve(columns, np.array([x / y, 1, (1 - x - y) / y]))


def tone_map(codes: np.ndarray, curve: str, primaries: int, peak: float = DEFAULT_PEAK) -> Pixels:
    """A picture of high dynamic range in BT.709.

    Red, green and blue are scaled by one factor, that of the brightest of them, so that hues stay.

    Args:
        codes: uint16 [H, W, 3] RGB, non-linear, 0 to 65535.
        curve: ``pq`` or ``hlg``.
        primaries: their number in ITU-T H.273.
        peak: for PQ, the luminance of the brightest white, cd/m².

    Returns:
        uint8 [H, W, 3] RGB.
    """
    if curve == "pq":
        light, factor = _pq_tables(peak)
        linear = light[codes] * factor[codes.max(2)][..., None]
    elif curve == "hlg":
        scene = _hlg_table()[codes]
        luminance = scene @ np.array([0.2627, 0.6780, 0.0593], np.float32)
        display = scene * (HLG_PEAK * np.power(np.maximum(luminance, 1e-9), HLG_GAMMA - 1))[..., None]
        brightest, factor = _hlg_factors()
        linear = display * np.interp(display.max(2), brightest, factor).astype(np.float32)[..., None]
    else:
        raise ValueError(f"no curve {curve!r}; there are pq, hlg")
    mapped = np.clip(linear @ gamut(primaries).T.astype(np.float32) / np.float32(WHITE), 0, 1)
    return np.rint(255 * np.power(mapped, 1 / _DISPLAY_GAMMA)).astype(np.uint8)


@lru_cache(maxsize=4)
def _pq_tables(peak: float) -> tuple[np.ndarray, np.ndarray]:
    """By 16-bit code: light, and the factor that `compressed` multiplies it by."""
    light = pq_to_light(np.arange(_CODES) / (_CODES - 1))
    return light.astype(np.float32), _factor(light, peak)


@lru_cache(maxsize=1)
def _hlg_table() -> np.ndarray:
    return hlg_to_scene(np.arange(_CODES) / (_CODES - 1)).astype(np.float32)


@lru_cache(maxsize=1)
def _hlg_factors() -> tuple[np.ndarray, np.ndarray]:
    light = pq_to_light(np.linspace(0, 1, 4096))
    return light, _factor(light, HLG_PEAK)


def _factor(light: np.ndarray, peak: float) -> np.ndarray:
    safe = np.maximum(light, 1e-6)
    return (compressed(safe, peak) / safe).astype(np.float32)
