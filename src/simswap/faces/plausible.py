"""Whether five given points can be a face in their photo, and the likely mistake in a table of wrong points.

A table of landmarks may use another unit (0..1), another order of points or axes, or photos of another size, and its
rows still determine a crop. So each row is compared with the templates before it is used.

The limits come from measurements on real and rendered faces (mean point errors at 112 px from the best template):

| faces | error | side of the eyes, of the mouth |
|---|---|---|
| 6,823 faces of LFW at 150 px | at most 4.4 | at least 0.22, 0.21 |
| the same at 250 px | at most 4.6 | at least 0.17, 0.17 |
| rendered heads, yaw 0 to 90, pitch -25 to 25 degrees | at most 6.9 | at least 0.00, 0.00 |
| LFW, left and right exchanged (or x and y) | median 14.8, at least 12.0 in 99 % | below -0.25 in 99.9 % |
"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from simswap.faces.alignment import BASE_SIZES, ERROR_SIZE, TEMPLATES

FloatArray = npt.NDArray[np.float64]

MOST_ERROR = 7.5  # mean distance from the best template, px at 112
LEAST_SIDE = -0.25  # in a profile, the eyes may cross a little; exchanged eyes lie far on the other side
LEAST_FACE = 4.0  # px from eyes to mouth, or from eye to eye
MOST_OUTSIDE = 2  # of the five points: the photo's border may cut a face

Shape = tuple[int, ...]

_VIEWS = np.concatenate([views * (ERROR_SIZE / BASE_SIZES[name]) for name, views in TEMPLATES.items()])
_VIEWS_CENTERED = (_VIEWS - _VIEWS.mean(1, keepdims=True)) @ np.array([1, 1j])  # [V, 5] complex


def landmark_fault(landmarks: npt.ArrayLike, shape: Shape) -> str | None:
    """Why five points cannot be a face in a photo.

    Args:
        landmarks: [5, 2] in px of the photo: left eye, right eye, nose, left and right mouth corner, as seen in the
            image.
        shape: Of the photo, height and width first.

    Returns:
        The reason, or None for points that can be a face.

    Raises:
        ValueError: The points have another shape.
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape != (5, 2):
        raise ValueError(f"expected five landmarks [5, 2], got {points.shape}")
    if not np.isfinite(points).all():
        return "a point is not a number"
    across, down = points[1] - points[0], points[3:].mean(0) - points[:2].mean(0)
    if not (points != points[0]).any():
        return "the points coincide"
    face = max(float(np.hypot(*across)), float(np.hypot(*down)))
    height, width = shape[:2]
    inside = ((points >= -0.5) & (points <= np.array([width, height]) - 0.5)).all(1)
    center = points.mean(0)
    if face < LEAST_FACE:
        return f"the face has {face:.2g} px; points must be in pixels of the photo"
    if inside.sum() < 5 - MOST_OUTSIDE or not (0 <= center[0] < width and 0 <= center[1] < height):
        return f"{5 - inside.sum()} of 5 points lie outside the image of {width} x {height}"
    for pair, what in ((across, "eyes"), (points[4] - points[3], "mouth corners")):
        # Positive if the pair points to the image's right in an upright face.
        if (pair[0] * down[1] - pair[1] * down[0]) / max(float(down @ down), 1e-12) < LEAST_SIDE:
            return f"the {what} are on exchanged sides"
    error = template_error(points)
    if error > MOST_ERROR:
        return f"the points are not arranged like eyes, nose and mouth (error {error:.1f}, limit {MOST_ERROR})"
    return None


def template_error(points: FloatArray) -> float:
    """Mean distance of points [5, 2] from the best view of any template under a similarity, in px at 112.

    Raises ValueError if the points coincide.
    """
    z = points @ np.array([1, 1j])
    z = z - z.mean()
    spread = float((np.abs(z) ** 2).sum())
    if spread <= 0:
        raise ValueError("the points coincide, so they determine no similarity")
    fitted = (_VIEWS_CENTERED @ z.conj() / spread)[:, None] * z
    return float(np.abs(fitted - _VIEWS_CENTERED).mean(1).min())


def guess_mistake(rows: Sequence[tuple[FloatArray, Shape]]) -> str | None:
    """The likely mistake in a table of landmarks.

    Args:
        rows: Its faulty rows: points [5, 2], and the shape of their photo.

    Returns:
        The mistake whose correction makes most of the rows upright faces, or None if there is none.
    """
    votes: Counter[str] = Counter()
    for points, shape in rows:
        if not np.isfinite(points).all():
            continue
        errors = {}
        for mistake, mend in _MISTAKES.items():
            mended = mend(points, shape)
            if mended is not None and landmark_fault(mended, shape) is None and _is_upright(mended):
                errors[mistake] = round(
                    template_error(mended), 1
                )  # rounded, so that the order decides between equal ones
        if errors:
            votes[min(errors, key=lambda mistake: errors[mistake])] += 1
    mistake, count = votes.most_common(1)[0] if votes else ("", 0)
    return mistake if 2 * count > len(rows) else None


def _is_upright(points: FloatArray) -> bool:
    across, down = points[1] - points[0], points[3:].mean(0) - points[:2].mean(0)
    return bool(down[1] > abs(down[0]) and across[0] >= -0.25 * np.hypot(*down))


def _in_units_of(unit: float) -> Callable[[FloatArray, Shape], FloatArray | None]:
    def mend(points: FloatArray, shape: Shape) -> FloatArray | None:
        high = float(np.abs(points).max())
        return points * np.array([shape[1], shape[0]]) / unit if high <= 1.2 * unit else None

    return mend


def _smaller(points: FloatArray, shape: Shape) -> FloatArray | None:
    """Scaled into the photo, if the points lie beyond its lower right."""
    reach = float((points / np.array([shape[1], shape[0]])).max())
    return points * (0.65 / reach) if reach > 1 and points.min() >= 0 else None


# Mistake → the correction of points in a photo of this shape, or None if it does not apply. Of corrections that give an
# upright face, the best fit counts; of equal ones, the first.
_MISTAKES: dict[str, Callable[[FloatArray, Shape], FloatArray | None]] = {
    "x and y are exchanged": lambda points, shape: points[:, ::-1],
    "left and right are exchanged, as seen by the person instead of in the image":
        lambda points, shape: points[[1, 0, 2, 4, 3]],
    "the eyes are exchanged": lambda points, shape: points[[1, 0, 2, 3, 4]],
    "the mouth corners are exchanged": lambda points, shape: points[[0, 1, 2, 4, 3]],
    "the points are normalized to 0..1 instead of pixels": _in_units_of(1.0),
    "y counts from the bottom instead of the top":
        lambda points, shape: points * [1, -1] + [0, shape[0] - 1],
    "the nose comes first": lambda points, shape: points[[1, 2, 0, 3, 4]],
    "the mouth comes before the nose": lambda points, shape: points[[0, 1, 4, 2, 3]],
    "the mouth comes before the eyes": lambda points, shape: points[[3, 4, 2, 0, 1]],
    "all x come before all y": lambda points, shape: points.reshape(2, 5).T,
    "the points belong to photos of another size": _smaller,
}  # fmt: skip
