"""A swap without any training: the source's face bent onto the target's landmarks, then blended in (Poisson).

What a trained network has to beat: the pose and the outline are the target's by construction, the identity comes as
far as texture alone carries it. The face's five points and an ellipse around them are triangulated; each triangle of
the target is filled by an affine map from the source's (piecewise-affine warp), and the patch is pasted by its
gradients, so that the target's color and light flow in from the rim (Perez, Gangnet, Blake: Poisson Image Editing,
SIGGRAPH 2003). The equation is solved here: OpenCV 5.0's seamlessClone gave other pictures at each call.
"""

import cv2
import numpy as np
import numpy.typing as npt
import torch
from scipy.interpolate import LinearNDInterpolator
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import splu
from scipy.spatial import Delaunay

from simswap import pixels
from simswap.errors import InputError
from simswap.faces.alignment import apply, fit_similarity
from simswap.faces.detection import Pixels
from simswap.measuring.swappers import Faces, Swapper

FloatArray = npt.NDArray[np.float64]

# Points of the ellipse, and its half axes: in lengths from the eyes' middle to the mouth's, and between the eyes.
OUTLINE, HALF_HIGH, HALF_WIDE = 16, 1.1, 0.85


def classical_swap(
    target: Pixels, source: Pixels, target_landmarks: npt.ArrayLike, source_landmarks: npt.ArrayLike
) -> Pixels:
    """The target [S, S, 3] with the source's face in it; all uint8 RGB crops of any side S >= 16.

    Landmarks: [5, 2] each, in px of its own crop: eyes, nose, mouth corners. Outside of `face_region` the target's
    pixels stay bit for bit. Raises ValueError for other shapes, or landmarks that are not finite or coincide.
    """
    to, of = np.asarray(target_landmarks, np.float64), np.asarray(source_landmarks, np.float64)
    if target.ndim != 3 or target.shape[2] != 3 or target.dtype != np.uint8 or source.dtype != np.uint8:
        raise ValueError(f"expected uint8 crops [S, S, 3], got {target.dtype} {target.shape} and {source.dtype}")
    if to.shape != (5, 2) or of.shape != (5, 2):
        raise ValueError(f"expected five landmarks [5, 2] for each crop, got {to.shape} and {of.shape}")
    similarity = fit_similarity(to, of)  # also checks that the points are finite and apart
    mask = face_region(to, target.shape[0])
    where = where_from(to, of, similarity, target.shape[0])
    warped = cv2.remap(source, *where, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return poisson_blend(target, warped, mask)  # type: ignore[arg-type]


def poisson_blend(target: Pixels, patch: Pixels, mask: npt.NDArray[np.bool_]) -> Pixels:
    """The target, inside the mask with the patch's gradients and the target's values around it; uint8 [H, W, 3].

    mask: bool [H, W], False along the border. Of all f with f = target outside, the one whose Laplacian is the
    patch's: so f - patch is harmonic inside, and equals target - patch on the pixels around it.
    """
    rows, columns = np.nonzero(mask)
    count = len(rows)
    if count == 0:
        return target.copy()
    number = np.full(mask.shape, -1, np.intp)
    number[rows, columns] = np.arange(count)
    around = target.astype(np.float64) - patch  # known where the mask is not
    right = np.zeros((count, 3))
    entries, at, to = [np.full(count, 4.0)], [np.arange(count)], [np.arange(count)]
    for down, across in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        neighbor = number[rows + down, columns + across]
        inside = neighbor >= 0
        entries.append(np.full(inside.sum(), -1.0))
        at.append(np.flatnonzero(inside))
        to.append(neighbor[inside])
        right[~inside] += around[rows[~inside] + down, columns[~inside] + across]
    laplacian = csc_matrix((np.concatenate(entries), (np.concatenate(at), np.concatenate(to))))
    # Symmetric and diagonally dominant: no pivoting is needed, and the ordering may keep the symmetry.
    solver = splu(laplacian, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    result = target.copy()
    blended = patch[rows, columns] + solver.solve(right)
    result[rows, columns] = np.clip(np.rint(blended), 0, 255).astype(np.uint8)
    return result


def face_region(landmarks: FloatArray, size: int) -> npt.NDArray[np.bool_]:
    """The part of a crop that is replaced, bool [size, size]: the hull of the ellipse and the five points.

    It keeps two pixels away from the border, where the blending takes the target's colors from.
    """
    mask = np.zeros((size, size), np.uint8)
    hull = cv2.convexHull(np.rint(np.vstack([landmarks, outline(landmarks)])).astype(np.int32))
    cv2.fillConvexPoly(mask, hull, 1)
    mask[:2], mask[-2:], mask[:, :2], mask[:, -2:] = 0, 0, 0, 0
    return mask > 0


def outline(landmarks: FloatArray, extent: float = 1.0) -> FloatArray:
    """`OUTLINE` points [n, 2] of an ellipse about the face, from brows to chin, upright in the face's own frame.

    extent: factor on both half axes.
    """
    eyes, mouth = landmarks[:2].mean(0), landmarks[3:].mean(0)
    height = max(float(np.linalg.norm(mouth - eyes)), 1.0)
    down = (mouth - eyes) / height
    across = np.array([down[1], -down[0]])
    # The eyes of a profile are near each other, its head is as long as any.
    wide = max(float(np.linalg.norm(landmarks[1] - landmarks[0])), 0.8 * height)
    angle = 2 * np.pi * np.arange(OUTLINE)[:, None] / OUTLINE
    center = (eyes + mouth) / 2 + 0.12 * height * down
    high, broad = extent * HALF_HIGH * height, extent * HALF_WIDE * wide
    return center + high * np.cos(angle) * down + broad * np.sin(angle) * across


def where_from(
    to: FloatArray, of: FloatArray, similarity: FloatArray, size: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """For each pixel of the target the place (x, y) in the source that it shows, two arrays float32 [S, S].

    Triangle by triangle; where one would be turned over (a profile against the opposite one), all of it by the
    similarity between the five points instead: bent less well, but whole.
    """
    y, x = np.mgrid[:size, :size]
    here = np.stack([x, y], -1).astype(np.float64)
    there = apply(similarity, here)
    # The triangles reach past the region that is replaced: no seam of theirs lies in it.
    points, images = (np.vstack([landmarks, outline(landmarks, 1.2)]) for landmarks in (to, of))
    triangles = Delaunay(points)
    if (_signed_areas(points[triangles.simplices]) * _signed_areas(images[triangles.simplices]) > 0).all():
        bent = LinearNDInterpolator(triangles, images)(here)  # [S, S, 2], NaN outside of the triangles
        there = np.where(np.isnan(bent), there, bent)
    return there[..., 0].astype(np.float32), there[..., 1].astype(np.float32)


def _signed_areas(corners: FloatArray) -> FloatArray:
    """Of triangles [n, 3, 2]; the sign says which way round."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2


def _swap(target: Faces, source: Faces) -> Faces:
    """`classical_swap` of every pair of a batch, on the CPU."""
    if target.landmarks is None or source.landmarks is None:
        raise InputError("the classical baseline needs the faces' landmarks, which these pictures come without")
    to, of = (pixels.to_uint8(faces.images).permute(0, 2, 3, 1).cpu().numpy() for faces in (target, source))
    swapped = [
        classical_swap(np.ascontiguousarray(t), np.ascontiguousarray(s), tp, sp)
        for t, s, tp, sp in zip(to, of, target.landmarks.cpu().numpy(), source.landmarks.cpu().numpy(), strict=True)
    ]
    images = torch.from_numpy(np.stack(swapped)).permute(0, 3, 1, 2).to(target.images.device)
    return Faces(pixels.from_uint8(images, "unit"), target.view, target.landmarks)


CLASSICAL = Swapper("classical", "other", _swap, landmarks=True)
