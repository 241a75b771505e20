"""The baseline without training: what stays, what comes in, and the blending against a solution known by hand."""

import cv2
import numpy as np
import pytest
import torch

from simswap.data.datamodule import SwapDataModule
from simswap.errors import InputError
from simswap.evaluation.classical import CLASSICAL, classical_swap, face_region, poisson_blend, where_from
from simswap.faces.alignment import align, apply, fit_similarity, template_points, warp
from simswap.measuring.swappers import Faces, load_faces
from simswap.rendered.dataset import photo

SIZE = 64
POINTS = template_points("arcface", SIZE)


@pytest.fixture(scope="module")
def faces():
    """Crops and their landmarks of three rendered persons."""
    made = []
    for person in (0, 2, 5):
        shown = photo(3, person, 0, 96)[0]
        matrix = align(shown.landmarks, "arcface", SIZE).matrix
        made.append((warp(shown.image, matrix, SIZE), apply(matrix, shown.landmarks)))
    return made


def test_a_face_swapped_with_itself_is_itself(faces):
    for image, landmarks in faces:
        assert np.array_equal(classical_swap(image, image, landmarks, landmarks), image)


def laplacian(image):
    x = image.astype(int)
    return 4 * x[1:-1, 1:-1] - x[:-2, 1:-1] - x[2:, 1:-1] - x[1:-1, :-2] - x[1:-1, 2:]


def test_outside_of_the_region_the_target_stays_bit_for_bit_and_inside_the_source_shows(faces):
    (target, to), (source, _) = faces[0], faces[1]
    result = classical_swap(target, source, to, to)  # nothing is bent, so that the source's pixels can be asked for
    region = face_region(to, SIZE)
    assert 0.2 < region.mean() < 0.5
    assert np.array_equal(result[~region], target[~region])
    dark_or_bright = cv2.dilate(((result == 0) | (result == 255)).any(-1).astype(np.uint8), np.ones((3, 3))) > 0
    inside = (region & ~dark_or_bright)[1:-1, 1:-1]
    assert inside.mean() > 0.1
    # Its edges are the source's: five values are rounded, four of them counted once and one fourfold.
    assert np.abs(laplacian(result) - laplacian(source))[inside].max() <= 4
    assert np.abs(laplacian(target) - laplacian(source))[inside].max() > 50


def test_the_color_is_the_targets():
    """A gray source without gradients takes over what surrounds it: here one color, so exactly that."""
    target = np.full((SIZE, SIZE, 3), (200, 120, 90), np.uint8)
    source = np.full((SIZE, SIZE, 3), 60, np.uint8)
    assert np.array_equal(classical_swap(target, source, POINTS, POINTS), target)


def test_the_patch_is_bent_onto_the_targets_landmarks():
    """Source landmarks lie 5 px to the right: a spot at the source's nose comes out at the target's nose."""
    source, target = np.full((SIZE, SIZE, 3), 100, np.uint8), np.full((SIZE, SIZE, 3), 100, np.uint8)
    of = POINTS + np.array([5, 0])
    x, y = np.rint(of[2]).astype(int)
    source[y - 1 : y + 2, x - 1 : x + 2] = 250
    result = classical_swap(target, source, POINTS, of).astype(float).mean(-1)
    bright = np.argwhere(result > 200)
    assert np.linalg.norm(bright.mean(0)[::-1] - POINTS[2]) < 0.8
    assert result.max() > 230


def test_the_blend_solves_poissons_equation():
    """Along one row the solution of f'' = 0 is the line between the ends; the patch's own bend is kept on top."""
    target = np.zeros((5, 12, 3), np.uint8)
    target[:, :, :] = (10 * np.arange(12))[None, :, None]  # 0, 10, … 110: harmonic
    mask = np.zeros((5, 12), bool)
    mask[1:4, 2:10] = True
    flat = np.full_like(target, 77)
    assert np.array_equal(poisson_blend(target, flat, mask), target)
    one = np.zeros((3, 3), bool)
    one[1, 1] = True
    patch = np.full((3, 3, 3), 50, np.uint8)
    patch[1, 1] = 90  # 4 f - sum of the neighbors = 4 * 90 - 4 * 50 = 160
    around = np.full((3, 3, 3), 20, np.uint8)
    assert poisson_blend(around, patch, one)[1, 1].tolist() == [60, 60, 60]  # (4 * 20 + 160) / 4
    assert np.array_equal(poisson_blend(target, flat, np.zeros((5, 12), bool)), target)


def test_a_profile_against_the_opposite_one_is_not_torn():
    """Triangles would turn over, and strips be mirrored: the similarity of the five points stands in."""
    left_profile, front, right, right_profile = (template_points("simswap", SIZE, view) for view in (0, 2, 3, 4))
    similarity = fit_similarity(right_profile, left_profile)
    grid = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), -1)
    there = np.stack(where_from(right_profile, left_profile, similarity, SIZE), -1)
    assert np.allclose(there, apply(similarity, grid), atol=1e-4)
    # A face turned by half is bent: each of its five points comes from its counterpart.
    x, y = where_from(front, right, fit_similarity(front, right), SIZE)
    for to, of in zip(front, right, strict=True):
        column, row = np.rint(to).astype(int)
        assert np.linalg.norm([x[row, column] - of[0], y[row, column] - of[1]]) < 1.5
    both = face_region(front, SIZE)[:, 1:] & face_region(front, SIZE)[:, :-1]
    assert np.diff(x, axis=1)[both].min() > 0  # no seam and no mirrored strip in what is replaced


def test_wrong_input_is_refused(faces):
    image, landmarks = faces[0]
    with pytest.raises(ValueError, match="uint8"):
        classical_swap(image / 255, image, landmarks, landmarks)
    with pytest.raises(ValueError, match="five landmarks"):
        classical_swap(image, image, landmarks[:4], landmarks)
    with pytest.raises(ValueError, match="coincide"):
        classical_swap(image, image, np.full((5, 2), 9.0), landmarks)
    blind = Faces(torch.rand(1, 3, SIZE, SIZE), torch.zeros(1, dtype=torch.int64))
    with pytest.raises(InputError, match="landmarks"):
        CLASSICAL.swap(blind, blind)


def test_a_batch_of_prepared_crops_is_swapped(crops):
    data = SwapDataModule(crops, batch_size=1)
    rows = np.array([0, 5, 9])
    loaded = load_faces(data, rows, torch.device("cpu"), landmarks=True)
    assert loaded.landmarks is not None
    assert loaded.landmarks.shape == (3, 5, 2)
    # The crops were aligned to the template by these very points.
    assert (loaded.landmarks - torch.from_numpy(template_points("arcface", 32)).float()).norm(dim=-1).mean() < 2
    again = CLASSICAL.swap(loaded, loaded)
    assert torch.allclose(again.images, loaded.images, atol=1e-6)
    source = load_faces(data, rows + 40, torch.device("cpu"), landmarks=True)
    swapped = CLASSICAL.swap(loaded, source)
    expected = classical_swap(
        *(data.load([row])[0].permute(1, 2, 0).numpy() for row in (5, 45)), loaded.landmarks[1], source.landmarks[1]
    )
    assert np.array_equal((swapped.images[1] * 255).round().permute(1, 2, 0).numpy().astype(np.uint8), expected)
    assert torch.equal(swapped.view, loaded.view)
