"""A swapped crop back into its photo, with a soft elliptic mask."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from simswap.errors import InputError
from simswap.faces.alignment import apply, scale_of
from simswap.faces.detection import Pixels

FloatArray = npt.NDArray[np.float64]
COLORS = ("none", "match")


@dataclass(frozen=True)
class PasteSettings:
    """Settings of the paste.

    Attributes:
        extent: of the mask, see `face_mask`.
        feather: likewise.
        color: see `transfer_color`.
        detail: see `paste`.
        detail_fade: see `kept_detail`.

    Raises:
        InputError: a value out of its range.
    """

    extent: float = 1.45
    feather: float = 0.35
    color: str = "none"
    detail: float = 1.0
    detail_fade: float | None = 12.0

    def __post_init__(self) -> None:
        if not (0.3 <= self.extent <= 2 and 0 < self.feather <= 1 and 0 <= self.detail <= 1):
            raise InputError(
                f"paste.extent={self.extent} lies in 0.3 to 2, paste.feather={self.feather} above 0 and "
                f"up to 1, paste.detail={self.detail} in 0 to 1"
            )
        if self.detail_fade is not None and not self.detail_fade > 0:
            raise InputError(f"paste.detail_fade={self.detail_fade} is above 0, or null")
        if self.color not in COLORS:
            raise InputError(f"paste.color={self.color}: choose one of {', '.join(COLORS)}")


def face_mask(landmarks: FloatArray, size: int, extent: float, feather: float) -> npt.NDArray[np.float32]:
    """Soft ellipse around a face, float32 [size, size], 1 inside, falling smoothly to 0.

    Near the crop's border it falls to 0 too, so that no straight edge shows.

    Args:
        landmarks: [5, 2] in px of the crop.
        size: side of the crop, px.
        extent: 1 reaches from above the brows to below the chin.
        feather: share of the radius over which it falls, 0 to 1.
    """
    eyes, mouth = landmarks[:2].mean(0), landmarks[3:].mean(0)
    down = mouth - eyes
    height = max(float(np.linalg.norm(down)), 1.0)
    wide = max(float(np.linalg.norm(landmarks[1] - landmarks[0])), 0.8 * height)  # the eyes of a profile are near
    down = down / height
    # Measured on rendered heads: brows 0.5 above the eyes, chin 0.8 below the mouth, in lengths from eyes to mouth.
    center = (eyes + mouth) / 2 + 0.12 * height * down
    half_high, half_wide = 1.25 * height * extent, 1.05 * wide * extent
    y, x = np.mgrid[:size, :size]
    offset = np.stack([x, y], -1) - center
    along, across = offset @ down, offset @ np.array([-down[1], down[0]])
    radius = np.hypot(along / half_high, across / half_wide)
    border = np.minimum(np.minimum(x, size - 1 - x), np.minimum(y, size - 1 - y)) / (0.13 * size)
    return (_smooth((1 - radius) / max(feather, 1e-3)) * _smooth(border)).astype(np.float32)


def _smooth(t: npt.NDArray) -> npt.NDArray:
    """0 to 1 without a corner at either end."""
    t = np.clip(t, 0.0, 1.0)
    return t * t * (3 - 2 * t)


def transfer_color(
    result: Pixels, target: Pixels, mask: npt.NDArray[np.float32], how: str, scale: float = 1.0
) -> Pixels:
    """The result with the target's mean and deviation of each Lab channel inside the mask (Reinhard et al. 2001).

    Args:
        result: uint8 [S, S, 3] RGB.
        target: likewise.
        mask: float32 [S, S].
        how: ``match``, or ``none`` for the unchanged result.
        scale: pixels of the crop per pixel of the photo; above one, both are measured at the photo's resolution, since
            fine detail that the photo averages away would count as deviation.

    Raises:
        InputError: unknown ``how``.
    """
    if how not in COLORS:
        raise InputError(f"paste.color={how}: choose one of {', '.join(COLORS)}")
    if how == "none" or not mask.any():
        return result
    made = cv2.cvtColor(result.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    side = max(1, round(len(mask) / max(scale, 1.0)))
    shown = [
        cv2.resize(picture.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
        for picture in (result, target, mask)
    ]
    weights = shown[2] / shown[2].sum()

    def moments(lab: npt.NDArray) -> tuple[npt.NDArray, npt.NDArray]:
        mean = np.einsum("hw,hwc->c", weights, lab)
        return mean, np.sqrt(np.einsum("hw,hwc->c", weights, (lab - mean) ** 2))

    (mean, spread), (wanted_mean, wanted_spread) = (
        moments(cv2.cvtColor(picture / 255, cv2.COLOR_RGB2LAB)) for picture in shown[:2]
    )
    ratio = np.clip(wanted_spread / np.maximum(spread, 1e-3), 0.5, 2.0)  # a flat result is not blown up
    moved = ((made - mean) * ratio + wanted_mean).astype(np.float32)
    rgb = cv2.cvtColor(moved, cv2.COLOR_LAB2RGB)
    return np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8)


def region(matrix: FloatArray, size: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of a photo [H, W, …] that its crop (``matrix``: photo → crop, ``size`` px) covers."""
    corners = np.array([[0, 0], [size - 1, 0], [0, size - 1], [size - 1, size - 1]], np.float64)
    back = apply(cv2.invertAffineTransform(matrix), corners)  # type: ignore[arg-type]
    low = np.clip(np.floor(back.min(0)).astype(int) - 1, 0, [shape[1], shape[0]])
    high = np.clip(np.ceil(back.max(0)).astype(int) + 2, 0, [shape[1], shape[0]])
    return slice(low[1], high[1]), slice(low[0], high[0])


def unwarp(
    crop: npt.NDArray[np.float32], matrix: FloatArray, shape: tuple[int, int], how: int, border: int
) -> npt.NDArray[np.float32]:
    """A crop, float32 [S, S] or [S, S, C], in the photo's pixels [h, w, …] (``matrix``: photo → crop).

    Where the crop is enlarged, ``how`` (OpenCV's) interpolates. Where it shrinks, each pixel of the photo is the mean
    of the area that it covers, not of the few nearest pixels: fine patterns would flicker.
    """
    scale = scale_of(matrix)
    # Along each side, two points or more for every pixel of the crop; a 20th of shrinking is let pass.
    points = math.ceil(2 * scale) if scale > 1.05 else 1
    # Pixel x of the photo is the mean of the finer pixels points * x … points * x + points - 1.
    fine = np.column_stack([matrix[:, :2] / points, matrix[:, 2] + matrix[:, :2].sum(1) * (1 - points) / (2 * points)])
    flags = cv2.WARP_INVERSE_MAP | (how if scale < 1 else cv2.INTER_LINEAR)
    extent = (points * shape[1], points * shape[0])
    seen = cv2.warpAffine(crop, fine, extent, flags=flags, borderMode=border)
    if points > 1:
        seen = cv2.resize(seen, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(seen, np.float32)


def kept_detail(result: Pixels, target: Pixels, fade: float) -> npt.NDArray[np.float32]:
    """How much of the photo's own fine detail still fits the result, float32 [S, S], 0 to 1.

    Where the network drew other features, the target's fine lines would show as double edges. There the share falls
    with the local contrast of the change, the root mean square r of its fine part in gray levels: exp(-(r / fade)^2).
    An even change, as of the light, has no fine part, so skin keeps its pores.

    Args:
        result: The swapped crop, uint8 [S, S, 3] RGB.
        target: The original crop, likewise.
        fade: Gray levels of 255 at which the share has fallen to 1 / e.
    """
    after, before = (cv2.cvtColor(crop.astype(np.float32), cv2.COLOR_RGB2GRAY) for crop in (result, target))
    change = after - before
    unit = len(result) / 112  # both widths were chosen on crops of 112 px
    fine = change - cv2.GaussianBlur(change, (0, 0), 6 * unit)
    power = np.maximum(cv2.GaussianBlur(fine * fine, (0, 0), 2 * unit), 0)
    return np.exp(-power / fade**2).astype(np.float32)


def paste(
    photo: Pixels,
    result: Pixels,
    target: Pixels,
    mask: npt.NDArray[np.float32],
    matrix: FloatArray,
    detail: float,
    detail_fade: float | None = None,
) -> Pixels:
    """Paste a swap into the part of the photo that `region` gives; returns that part, uint8 [h, w, 3].

    Args:
        photo: the complete photo [H, W, 3].
        result: the swapped crop, uint8 [S, S, 3].
        target: the original crop, likewise.
        mask: float32 [S, S].
        matrix: [2, 3], photo → crop.
        detail: share of the photo's own fine detail that stays where the photo is sharper than the crop, 0 to 1. At 1
            the result is the photo plus the network's change, so that a network without changes returns the photo; at 0
            it is the network's image alone.
        detail_fade: of `kept_detail`, by which the share is multiplied; None keeps it everywhere.
    """
    size = len(result)
    rows, columns = region(matrix, size, photo.shape)
    part = photo[rows, columns].astype(np.float32)
    shifted = np.column_stack([matrix[:, :2], apply(matrix, [columns.start, rows.start])])

    def back(
        crop: npt.NDArray[np.float32], how: int = cv2.INTER_CUBIC, border: int = cv2.BORDER_REPLICATE
    ) -> npt.NDArray[np.float32]:
        return unwarp(crop, shifted, (part.shape[0], part.shape[1]), how, border)

    share = back(mask, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT)[..., None]
    kept: float | npt.NDArray[np.float32] = detail
    if detail_fade is not None:
        kept = detail * back(kept_detail(result, target, detail_fade), cv2.INTER_LINEAR)[..., None]
    changed = part + back(result.astype(np.float32) - target.astype(np.float32))
    changed = kept * changed + (1 - kept) * back(result.astype(np.float32))
    return np.clip(np.rint(part + share * (changed - part)), 0, 255).astype(np.uint8)


def paste_swap(
    photo: Pixels, result: Pixels, target: Pixels, points: FloatArray, matrix: FloatArray, settings: PasteSettings
) -> Pixels:
    """`paste` with the mask and the colors that the settings ask for.

    Args:
        photo: uint8 [H, W, 3].
        result: the swapped crop, uint8 [S, S, 3].
        target: the original crop, likewise.
        points: the face's landmarks [5, 2] in px of the crop.
        matrix: [2, 3], photo → crop.
        settings: of the paste.

    Returns:
        The part of the photo that `region` gives, uint8 [h, w, 3].
    """
    mask = face_mask(points, len(result), settings.extent, settings.feather)
    result = transfer_color(result, target, mask, settings.color, scale_of(matrix))
    return paste(photo, result, target, mask, matrix, settings.detail, settings.detail_fade)
