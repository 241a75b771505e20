"""Whether five given points can be a face in their photo, and what a table of wrong ones may have mixed up.

A table of landmarks can hold another unit (0..1), another order of points or axes, or another size of the photos, and
still be five pairs of numbers that fix a crop. Each row is therefore compared with the templates before it is used.

The limits were measured on real and rendered faces (point errors as mean distances at 112 px, the best template):

| | error | side of the eyes, of the mouth |
|---|---|---|
| 6,823 faces of LFW at 150 px | at most 4.4 | at least 0.22, 0.21 |
| the same at 250 px | at most 4.6 | at least 0.17, 0.17 |
| rendered heads, yaw 0 to 90, pitch -25 to 25 degrees | at most 6.9 | at least 0.00, 0.00 |
| LFW, left and right exchanged (or x and y) | 14.8 in the median, 12.0 in 99 % | below -0.25 in 99.9 % |
"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from simswap.faces.alignment import BASE_SIZES, ERROR_SIZE, TEMPLATES

FloatArray = npt.NDArray[np.float64]

MOST_ERROR = 7.5  # mean distance from the best-fitting template, in px at 112
LEAST_SIDE = -0.25  # a profile's eyes may pass each other a little; exchanged ones lie far on the other side
LEAST_FACE = 4.0  # px from the eyes to the mouth, or from eye to eye
MOST_OUTSIDE = 2  # of the five points: a face may be cut by the photo's border

Shape = tuple[int, ...]

_VIEWS = np.concatenate([views * (ERROR_SIZE / BASE_SIZES[name]) for name, views in TEMPLATES.items()])
_VIEWS_CENTERED = (_VIEWS - _VIEWS.mean(1, keepdims=True)) @ np.array([1, 1j])  # [V, 5] complex


def landmark_fault(landmarks: npt.ArrayLike, shape: Shape) -> str | None:
    """Why five points cannot be a face in a photo; None where they can.

    landmarks: [5, 2] in px of the photo: left eye, right eye, nose, left and right mouth corner, as seen in the image.
    shape: of the photo, height and width first. Raises ValueError for another shape of the points.
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape != (5, 2):
        raise ValueError(f"expected five landmarks [5, 2], got {points.shape}")
    if not np.isfinite(points).all():
        return "a point is no number"
    across, down = points[1] - points[0], points[3:].mean(0) - points[:2].mean(0)
    if not (points != points[0]).any():
        return "the points coincide"
    face = max(float(np.hypot(*across)), float(np.hypot(*down)))
    height, width = shape[:2]
    inside = ((points >= -0.5) & (points <= np.array([width, height]) - 0.5)).all(1)
    center = points.mean(0)
    if face < LEAST_FACE:
        return f"the face is {face:.2g} px large; points must be in pixels of the photo"
    if inside.sum() < 5 - MOST_OUTSIDE or not (0 <= center[0] < width and 0 <= center[1] < height):
        return f"{5 - inside.sum()} of 5 points lie outside the image of {width} x {height}"
    for pair, what in ((across, "eyes"), (points[4] - points[3], "mouth corners")):
        # Positive where the pair runs to the image's right of a face that is upright.
        if (pair[0] * down[1] - pair[1] * down[0]) / max(float(down @ down), 1e-12) < LEAST_SIDE:
            return f"the {what} are on exchanged sides"
    error = template_error(points)
    if error > MOST_ERROR:
        return f"the points do not lie like eyes, nose and mouth (error {error:.1f}, at most {MOST_ERROR})"
    return None


def template_error(points: FloatArray) -> float:
    """Mean distance of points [5, 2] from the best-fitting view of any template under a similarity, in px at 112.

    Raises ValueError for points that coincide.
    """
    z = points @ np.array([1, 1j])
    z = z - z.mean()
    spread = float((np.abs(z) ** 2).sum())
    if spread <= 0:
        raise ValueError("the points coincide, so they fix no similarity")
    fitted = (_VIEWS_CENTERED @ z.conj() / spread)[:, None] * z
    return float(np.abs(fitted - _VIEWS_CENTERED).mean(1).min())


def guess_mistake(rows: Sequence[tuple[FloatArray, Shape]]) -> str | None:
    """What may be wrong with a table, from its faulty rows: (points [5, 2], shape of the photo) each.

    None where no single mistake makes most of them upright faces.
    """
    votes: Counter[str] = Counter()
    for points, shape in rows:
        if not np.isfinite(points).all():
            continue
        errors = {}
        for mistake, mend in _MISTAKES.items():
            mended = mend(points, shape)
            if mended is not None and landmark_fault(mended, shape) is None and _is_upright(mended):
                errors[mistake] = round(template_error(mended), 1)  # rounded: equal ones go by their order
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
    """As far inside as the photo allows, where the points lie beyond its lower right."""
    reach = float((points / np.array([shape[1], shape[0]])).max())
    return points * (0.65 / reach) if reach > 1 and points.min() >= 0 else None


# Of those that give an upright face, the one that fits best counts; of equal ones, the first. Each takes points and
# shape and gives the mended points, or None where it cannot be.
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
