"""Where a face lies in a crop: templates, similarity fits, and the warp from a crop to the recognizer's crop.

A template is the place of five points in a crop: left eye, right eye, nose, left and right mouth corner, as seen in the
image. ``simswap`` has five such views (profile to profile), and each face takes the view that fits best. Coordinates
follow OpenCV: (x, y) with pixel centers at integers. A template scales with the crop by size / base size. (insightface
also shifts x at multiples of 128; here one formula holds for all sizes, so that crops of two sizes show the same face.)
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

FloatArray = npt.NDArray[np.float64]

# Point errors are given at this size, so that a threshold means the same for every template and crop.
ERROR_SIZE = 112

BASE_SIZES: dict[str, int] = {"arcface": 112, "simswap": 112, "ffhq": 512}

# [V, 5, 2] at the base size. arcface: insightface's; simswap: the five views of the public 224 weights
# and of VGGFace2-224 (left profile, left, frontal, right, right profile); ffhq: the 512 weights'.
TEMPLATES: dict[str, FloatArray] = {
    "arcface": np.array([[[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366],
                          [41.5493, 92.3655], [70.7299, 92.2041]]]),
    "simswap": np.array([
        [[51.642, 50.115], [57.617, 49.990], [35.740, 69.007], [51.157, 89.050], [57.025, 89.702]],
        [[45.031, 50.118], [65.568, 50.872], [39.677, 68.111], [45.177, 86.190], [64.246, 86.758]],
        [[39.730, 51.138], [72.270, 51.138], [56.000, 68.493], [42.463, 87.010], [69.537, 87.010]],
        [[46.845, 50.872], [67.382, 50.118], [72.737, 68.111], [48.167, 86.758], [67.236, 86.190]],
        [[54.796, 49.990], [60.771, 50.115], [76.673, 69.007], [55.388, 89.702], [61.257, 89.050]],
    ]),
    "ffhq": np.array([[[192.98138, 239.94708], [318.90277, 240.1936], [256.63416, 314.01935],
                       [201.26117, 371.41043], [313.08905, 371.15118]]]),
}  # fmt: skip

# The crop that a recognizer takes: its side in px, and the warp [2, 3] from an arcface crop of 112 px to it.
# dlib: the median over 220 faces of dlib's own chip (150 px, padding 0.25), which it cuts by its own landmarks.
RECOGNIZER_CROPS: dict[str, tuple[int, FloatArray]] = {
    "arcface": (112, np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])),
    "dlib": (150, np.array([[1.524406, -0.015054, -9.726772], [0.015054, 1.524406, -35.025067]])),
}


@dataclass(frozen=True)
class Alignment:
    """How one face is warped into a crop.

    Attributes:
        matrix: float64 [2, 3], from image pixels to crop pixels.
        view: The template's view that fits best.
        error: Mean distance of the five mapped points from the template's, in px at a crop size of 112.
    """

    matrix: FloatArray
    view: int
    error: float


def template_points(template: str, size: int, view: int = 0) -> FloatArray:
    """The five points of a template's view.

    Args:
        template: A name of `TEMPLATES`.
        size: Side of the crop in px.
        view: The template's view.

    Returns:
        float64 [5, 2] in px of the crop.

    Raises:
        ValueError: There is no such template.
        IndexError: The template has no such view.
    """
    if template not in TEMPLATES:
        raise ValueError(f"no alignment template {template!r}; there are {', '.join(TEMPLATES)}")
    views = TEMPLATES[template]
    if not 0 <= view < len(views):
        raise IndexError(f"template {template!r} has views 0..{len(views) - 1}, not {view}")
    return views[view] * (size / BASE_SIZES[template])


def fit_similarity(points: npt.ArrayLike, target: npt.ArrayLike) -> FloatArray:
    """The least-squares similarity (rotation, one scale, shift; no reflection) from points to target.

    With the points as complex numbers z and w, the fit w = a z + b is linear:
    ``a = sum(conj(z - mean z) (w - mean w)) / sum |z - mean z|^2``, the planar case of Umeyama (1991) without
    reflections.

    Args:
        points: [N, 2], N >= 2.
        target: [N, 2].

    Returns:
        The similarity, float64 [2, 3].

    Raises:
        ValueError: A shape is wrong, a value is not finite, or all points coincide.
    """
    p, t = np.asarray(points, np.float64), np.asarray(target, np.float64)
    if p.ndim != 2 or p.shape != t.shape or p.shape[1] != 2 or len(p) < 2:
        raise ValueError(f"expected two arrays [N, 2] with N >= 2, got {p.shape} and {t.shape}")
    if not (np.isfinite(p).all() and np.isfinite(t).all()):
        raise ValueError("the points hold values that are not finite")
    z, w = p[:, 0] + 1j * p[:, 1], t[:, 0] + 1j * t[:, 1]
    z0, w0 = z - z.mean(), w - w.mean()
    spread = float((np.abs(z0) ** 2).sum())
    # The limit is relative to the coordinates, so that rounding errors do not count as a spread.
    if spread <= 1e-12 * max(1.0, float(np.abs(z).max()) ** 2):
        raise ValueError("the points coincide, so they determine no similarity")
    a = complex((np.conj(z0) * w0).sum() / spread)
    b = complex(w.mean() - a * z.mean())
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def apply(matrix: FloatArray, points: npt.ArrayLike) -> FloatArray:
    """Map points [..., 2] by an affine matrix [2, 3]."""
    return np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]


def scale_of(matrix: FloatArray) -> float:
    """Output pixels per input pixel of an affine matrix [2, 3]: the square root of its area factor."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def align(landmarks: npt.ArrayLike, template: str, size: int) -> Alignment:
    """Fit landmarks to the view of a template that fits best.

    Args:
        landmarks: [5, 2] in px of the image, pixel centers at integers.
        template: A name of `TEMPLATES`.
        size: Side of the crop in px.

    Returns:
        The warp into the crop, its view and its error.

    Raises:
        ValueError: There is no such template, or the landmarks determine no crop: a wrong shape, a value that is not
            finite, coinciding points, or points without a direction, which the fit maps onto one point.
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape != (5, 2):
        raise ValueError(f"expected five landmarks [5, 2], got {points.shape}")
    best: Alignment | None = None
    for view in _likely_views(points, template, size):
        target = template_points(template, size, view)
        matrix = fit_similarity(points, target)
        distance = np.linalg.norm(apply(matrix, points) - target, axis=1).mean()
        error = float(distance) * ERROR_SIZE / size
        if best is None or error < best.error:
            best = Alignment(matrix, view, error)
    assert best is not None
    if scale_of(best.matrix) < 1e-6:
        raise ValueError("the landmarks do not fit the template at any scale")
    return best


def _likely_views(points: FloatArray, template: str, size: int) -> list[int]:
    """The views whose error is the smallest up to rounding: one of five, nearly always.

    All fits at once, as in `fit_similarity`; what they round differently is far below the margin.
    """
    views = len(TEMPLATES[template]) if template in TEMPLATES else 1
    if views == 1:
        return [0]
    with np.errstate(all="ignore"):  # the fit itself refuses what is not finite and what coincides
        z = points[:, 0] + 1j * points[:, 1]
        z = z - z.sum() / 5
        spread = (np.abs(z) ** 2).sum()
        target = _centered_views(template, size)
        fitted = (target @ z.conj() / spread)[:, None] * z
        errors = np.abs(fitted - target).sum(1)
        return [view for view in range(views) if not errors[view] > errors.min() * (1 + 1e-9) + 1e-9 * size]


@lru_cache(maxsize=16)
def _centered_views(template: str, size: int) -> npt.NDArray[np.complex128]:
    """The points of every view as complex numbers around their mean, [V, 5]."""
    points = np.stack([template_points(template, size, view) for view in range(len(TEMPLATES[template]))])
    found = points[..., 0] + 1j * points[..., 1]
    return found - found.mean(1, keepdims=True)


def shrink_factor(matrix: FloatArray) -> int:
    """The integer factor of a block average before a bilinear warp, so that the warp does not alias.

    It is 1 while the warp keeps more than about 4/7 of the resolution: bilinear interpolation then still reads nearly
    every pixel, and an average would only blur.
    """
    return max(1, int(1.0 / scale_of(matrix) + 0.25))


def after_shrinking(matrix: FloatArray, factor: int) -> FloatArray:
    """The same warp [2, 3] for an image that was averaged over factor x factor blocks.

    The center of block i lies at the input coordinate factor * i + (factor - 1) / 2.
    """
    linear = matrix[:, :2]
    shift = matrix[:, 2] + linear.sum(axis=1) * (factor - 1) / 2
    return np.column_stack([linear * factor, shift])


def warp(image: npt.NDArray[np.uint8], matrix: FloatArray, size: int) -> npt.NDArray[np.uint8]:
    """Warp an image into a crop.

    The warp is bilinear and black outside the image, as in the recognizers' training. If it shrinks the image, the part
    that it reads is first averaged over blocks.

    Args:
        image: uint8 [H, W, 3].
        matrix: [2, 3], from image to crop pixels.
        size: Side of the crop in px.

    Returns:
        The crop, uint8 [size, size, 3].

    Raises:
        ValueError: The image has another dtype or number of axes.
    """
    if image.ndim != 3 or image.dtype != np.uint8:
        raise ValueError(f"expected uint8 [H, W, C], got {image.dtype} {image.shape}")
    factor = shrink_factor(matrix)
    if factor > 1:
        image, matrix = _cut(image, matrix, size, factor)
        height, width = image.shape[:2]
        image = cv2.copyMakeBorder(image, 0, -height % factor, 0, -width % factor, cv2.BORDER_REPLICATE)  # type: ignore[assignment]
        reduced = (image.shape[1] // factor, image.shape[0] // factor)
        image = cv2.resize(image, reduced, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        matrix = after_shrinking(matrix, factor)
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR)  # type: ignore[return-value]


def _cut(
    image: npt.NDArray[np.uint8], matrix: FloatArray, size: int, factor: int
) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    """The part of the image that the crop reads, and its matrix, so that a 12,000-px photo is not averaged in full."""
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64) - 0.5
    back = apply(cv2.invertAffineTransform(matrix), corners)  # type: ignore[arg-type]
    height, width = image.shape[:2]
    margin = 2 * factor
    low = np.floor(back.min(0) - margin).astype(int)
    high = np.ceil(back.max(0) + margin).astype(int) + 1
    # At least one block remains, even if the crop lies beside the image.
    x0, y0 = np.clip(low, 0, [max(width - factor, 0), max(height - factor, 0)])
    x1, y1 = np.minimum(np.maximum(high, [x0 + factor, y0 + factor]), [width, height])
    shift = apply(matrix, [x0, y0])
    return image[y0:y1, x0:x1], np.column_stack([matrix[:, :2], shift])


def crop_to_recognizer(
    template: str, view: int, crop_size: int, recognizer_size: int, crop: str = "arcface"
) -> FloatArray:
    """The fixed warp [2, 3] from a crop of this template and view to the recognizer's crop.

    It is the similarity between the points of the two templates. For a face that fits its template perfectly, the
    recognizer's crop is the one that an alignment of the photo would give, up to resolution.

    Args:
        template: Of the crop, a name of `TEMPLATES`.
        view: The template's view.
        crop_size: Side of the crop in px.
        recognizer_size: Side of the recognizer's crop in px.
        crop: Which crop the recognizer takes, a name of `RECOGNIZER_CROPS`.

    Raises:
        ValueError: There is no such template.
        IndexError: The template has no such view.
    """
    if crop != "arcface":
        size, behind = RECOGNIZER_CROPS[crop]
        first = crop_to_recognizer(template, view, crop_size, RECOGNIZER_CROPS["arcface"][0])
        both = np.column_stack([behind[:, :2] @ first[:, :2], apply(behind, first[:, 2])])
        return both * (recognizer_size / size)
    target = template_points("arcface", recognizer_size)
    if template == "arcface":
        scale = recognizer_size / crop_size
        return np.array([[scale, 0.0, 0.0], [0.0, scale, 0.0]])
    return fit_similarity(template_points(template, crop_size, view), target)


def recognizer_matrices(template: str, crop_size: int, recognizer_size: int) -> "torch.Tensor":
    """`crop_to_recognizer` for every view of a template, float32 [V, 2, 3]; ValueError for an unknown template."""
    import torch  # imported here, so that the workers of simswap-prepare start without it

    if template not in TEMPLATES:
        raise ValueError(f"no alignment template {template!r}; there are {', '.join(TEMPLATES)}")
    views = range(len(TEMPLATES[template]))
    matrices = [crop_to_recognizer(template, view, crop_size, recognizer_size) for view in views]
    return torch.from_numpy(np.stack(matrices)).float()
