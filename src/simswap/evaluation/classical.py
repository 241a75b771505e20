"""The classical baseline: the source's face is warped onto the target's landmarks and blended in.

It needs no training, so a trained network should beat it. Pose and outline are the target's by construction, and
identity is transferred only as far as texture carries it. The five landmarks and an ellipse around them are
triangulated; each triangle of the target is filled from the source's by an affine map (piecewise-affine warp). The
patch is blended by its gradients, so that the target's color and light enter from its rim (Pérez, Gangnet, Blake:
Poisson Image Editing, SIGGRAPH 2003). The equation is solved here, because seamlessClone of OpenCV 5.0 returns a
different image on every call.
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
    """Swap the source's face into the target; outside `face_region` the target's pixels are unchanged.

    Args:
        target: A crop, uint8 RGB [S, S, 3], S >= 16.
        source: A crop, uint8 RGB.
        target_landmarks: [5, 2] in pixels of the target: eyes, nose, mouth corners.
        source_landmarks: [5, 2] in pixels of the source.

    Returns:
        uint8 RGB [S, S, 3].

    Raises:
        ValueError: For other shapes, or for landmarks that are not finite or coincide.
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
    """Blend a patch into the target by its gradients (Poisson image editing).

    The result f equals the target outside the mask and has the patch's Laplacian inside. So f - patch is harmonic
    inside, and equals target - patch on the surrounding pixels.

    Args:
        target: uint8 [H, W, 3].
        patch: uint8 [H, W, 3].
        mask: Bool [H, W], False along the border.

    Returns:
        uint8 [H, W, 3].
    """
    rows, columns = np.nonzero(mask)
    count = len(rows)
    if count == 0:
        return target.copy()
    number = np.full(mask.shape, -1, np.intp)
    number[rows, columns] = np.arange(count)
    around = target.astype(np.float64) - patch  # known outside the mask
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
    # Symmetric and diagonally dominant: no pivoting is needed, and the ordering can keep the symmetry.
    solver = splu(laplacian, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    result = target.copy()
    blended = patch[rows, columns] + solver.solve(right)
    result[rows, columns] = np.clip(np.rint(blended), 0, 255).astype(np.uint8)
    return result


def face_region(landmarks: FloatArray, size: int) -> npt.NDArray[np.bool_]:
    """The part of a crop that is replaced, bool [size, size]: the hull of the ellipse and the five landmarks.

    It leaves out two pixels along the border, because blending needs the target's colors there.
    """
    mask = np.zeros((size, size), np.uint8)
    hull = cv2.convexHull(np.rint(np.vstack([landmarks, outline(landmarks)])).astype(np.int32))
    cv2.fillConvexPoly(mask, hull, 1)
    mask[:2], mask[-2:], mask[:, :2], mask[:, -2:] = 0, 0, 0, 0
    return mask > 0


def outline(landmarks: FloatArray, extent: float = 1.0) -> FloatArray:
    """`OUTLINE` points [n, 2] on an ellipse around the face, from brows to chin, upright in the face's own frame.

    Args:
        landmarks: [5, 2].
        extent: A factor on both half axes.
    """
    eyes, mouth = landmarks[:2].mean(0), landmarks[3:].mean(0)
    height = max(float(np.linalg.norm(mouth - eyes)), 1.0)
    down = (mouth - eyes) / height
    across = np.array([down[1], -down[0]])
    # In a profile the eyes are close together, but the head is as high as any.
    wide = max(float(np.linalg.norm(landmarks[1] - landmarks[0])), 0.8 * height)
    angle = 2 * np.pi * np.arange(OUTLINE)[:, None] / OUTLINE
    center = (eyes + mouth) / 2 + 0.12 * height * down
    high, broad = extent * HALF_HIGH * height, extent * HALF_WIDE * wide
    return center + high * np.cos(angle) * down + broad * np.sin(angle) * across


def where_from(
    to: FloatArray, of: FloatArray, similarity: FloatArray, size: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The place in the source that each pixel of the target shows.

    It is computed triangle by triangle. If a triangle would be flipped (opposite profiles), the similarity between the
    landmarks is used everywhere instead: it fits less well, but does not fold.

    Args:
        to: The target's landmarks [5, 2].
        of: The source's landmarks [5, 2].
        similarity: The similarity that maps ``to`` to ``of``.
        size: S, the target's side in pixels.

    Returns:
        x and y, each float32 [S, S].
    """
    y, x = np.mgrid[:size, :size]
    here = np.stack([x, y], -1).astype(np.float64)
    there = apply(similarity, here)
    # The triangles reach beyond the replaced region, so that their outer seams lie outside it.
    points, images = (np.vstack([landmarks, outline(landmarks, 1.2)]) for landmarks in (to, of))
    triangles = Delaunay(points)
    if (_signed_areas(points[triangles.simplices]) * _signed_areas(images[triangles.simplices]) > 0).all():
        bent = LinearNDInterpolator(triangles, images)(here)  # [S, S, 2], NaN outside of the triangles
        there = np.where(np.isnan(bent), there, bent)
    return there[..., 0].astype(np.float32), there[..., 1].astype(np.float32)


def _signed_areas(corners: FloatArray) -> FloatArray:
    """The signed areas [n] of triangles [n, 3, 2]; the sign is the orientation."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2


def _swap(target: Faces, source: Faces) -> Faces:
    """`classical_swap` of every pair of a batch, on the CPU."""
    if target.landmarks is None or source.landmarks is None:
        raise InputError("the classical baseline needs landmarks, which this protocol's crops do not have")
    to, of = (pixels.to_uint8(faces.images).permute(0, 2, 3, 1).cpu().numpy() for faces in (target, source))
    swapped = [
        classical_swap(np.ascontiguousarray(t), np.ascontiguousarray(s), tp, sp)
        for t, s, tp, sp in zip(to, of, target.landmarks.cpu().numpy(), source.landmarks.cpu().numpy(), strict=True)
    ]
    images = torch.from_numpy(np.stack(swapped)).permute(0, 3, 1, 2).to(target.images.device)
    return Faces(pixels.from_uint8(images, "unit"), target.view, target.landmarks)


CLASSICAL = Swapper("classical", "other", _swap, landmarks=True)
