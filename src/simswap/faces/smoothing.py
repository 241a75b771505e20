"""Landmarks of one face over time: gaps filled, and smoothed without lag."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

MOST_SHIFT = 0.03
"""Of the face's size (its distance of the eyes): about 1 px of 112. Detectors move a face's center by half of that."""
REACH = 3.0
"""How many standard deviations of the weights the smoothing looks to either side."""


def fill_gaps(
    frames: npt.NDArray[np.int64], points: FloatArray, longest: int
) -> list[tuple[npt.NDArray[np.int64], FloatArray]]:
    """Cut a face's sightings into stretches without gaps; a short gap is filled by linear interpolation.

    Args:
        frames: int64 [N], ascending numbers of the frames on which the face was found.
        points: [N, ...], what was found on them.
        longest: The longest gap to fill, in frames.

    Returns:
        For each stretch its frames, which are consecutive, and the points on them.
    """
    if not len(frames):
        return []
    ends = np.flatnonzero(np.diff(frames) - 1 > longest) + 1
    stretches = []
    for part in np.split(np.arange(len(frames)), ends):
        numbers = np.arange(frames[part[0]], frames[part[-1]] + 1)
        flat = points[part].reshape(len(part), -1)
        filled = np.stack([np.interp(numbers, frames[part], column) for column in flat.T], 1)
        stretches.append((numbers, filled.reshape(len(numbers), *points.shape[1:])))
    return stretches


def steady(times: FloatArray, points: FloatArray, width: float) -> FloatArray:
    """Landmarks of a face smoothed over time, as far as that takes their noise away and not its motion.

    Where `smooth` moves the whole face, it follows a jerky motion too slowly: a video of 25 frames per second that was
    made from 17 repeats pictures, and its faces stand still and jump. There, the landmarks stay as they were found. The
    correction is multiplied by 1 / (1 + (r / `MOST_SHIFT`)^2), where r is how far the face's center moves, in sizes of
    the face, on average around that time.

    Args:
        times: [N] in seconds, ascending.
        points: [N, 5, 2] in px.
        width: As for `smooth`.

    Returns:
        The smoothed landmarks [N, 5, 2].
    """
    correction = smooth(times, points, width) - points
    size = 1.5 * np.sqrt(((points - points.mean(1, keepdims=True)) ** 2).sum(2).mean(1))  # `faces.following.face_size`
    moved = np.linalg.norm(correction.mean(1), axis=1) / np.maximum(size, 1.0)
    around = smooth(times, moved[:, None], width, degree=0)[:, 0]
    return points + correction / (1 + (around / MOST_SHIFT) ** 2)[:, None, None]


def smooth(times: FloatArray, points: FloatArray, width: float, degree: int = 2) -> FloatArray:
    """Smooth over time by local regression: at each time, a parabola is fitted to what lies around it.

    The weights are a Gaussian of the distance in time, so frames before and after count alike and nothing lags behind.
    A motion that is a parabola in time (constant acceleration) is left as it is, also at both ends and where the
    distances in time vary.

    Args:
        times: [N] in seconds, ascending.
        points: [N, ...].
        width: Standard deviation of the weights in seconds; 0 returns the points as they are.
        degree: Of the polynomial. With few neighbors it is lower, so that it has no more parameters than points.

    Returns:
        The smoothed points [N, ...].

    Raises:
        ValueError: The width is negative, or times and points differ in number.
    """
    if width < 0 or len(times) != len(points):
        raise ValueError(f"width {width} must not be negative, and {len(times)} times need as many points")
    count = len(times)
    if width == 0 or count < 3:
        return points.astype(np.float64)
    values = points.reshape(count, -1).astype(np.float64)
    moments = np.zeros((count, 2 * degree + 1))
    sums = np.zeros((count, degree + 1, values.shape[1]))
    seen = np.zeros(count, np.int64)
    shortest = float(np.diff(times).min())
    reach = REACH + 1e-6  # so that rounding does not take in one neighbor and leave out its mirror image
    steps = min(count - 1, int(reach * width / max(shortest, 1e-6)))
    for offset in range(-steps, steps + 1):
        here = slice(max(0, -offset), count - max(0, offset))
        there = slice(max(0, offset), count - max(0, -offset))
        ahead = (times[there] - times[here]) / width
        weight = np.exp(-0.5 * ahead**2) * (np.abs(ahead) <= reach)
        seen[here] += weight > 0
        powers = ahead[:, None] ** np.arange(2 * degree + 1)
        moments[here] += weight[:, None] * powers
        sums[here] += (weight[:, None] * powers[:, : degree + 1])[..., None] * values[there][:, None]
    return _at_zero(moments, sums, seen, degree).reshape(points.shape)


def _at_zero(moments: FloatArray, sums: FloatArray, seen: npt.NDArray[np.int64], degree: int) -> FloatArray:
    """The fitted polynomials' values at distance 0, [N, D]."""
    made = np.empty((len(seen), sums.shape[2]))
    for used in range(degree + 1):
        rows = np.flatnonzero(np.minimum(seen - 1, degree) == used)
        if len(rows):
            order = np.arange(used + 1)
            normal = moments[rows][:, order[:, None] + order]
            made[rows] = np.linalg.solve(normal, sums[rows][:, : used + 1])[:, 0]
    return made
