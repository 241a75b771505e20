"""Templates, similarity fits and crops, against numbers worked out by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simswap.faces import alignment
from simswap.faces.alignment import TEMPLATES, align, crop_to_recognizer, fit_similarity, template_points, warp


def test_templates_scale_with_the_crop_by_one_factor():
    assert {name: len(views) for name, views in TEMPLATES.items()} == {"arcface": 1, "simswap": 5, "ffhq": 1}
    np.testing.assert_allclose(template_points("arcface", 224)[0], [76.5892, 103.3926])
    # At 128 too: no shift of x, unlike insightface's helper.
    np.testing.assert_allclose(template_points("arcface", 128)[2], [56.0252 * 128 / 112, 71.7366 * 128 / 112])
    np.testing.assert_allclose(template_points("ffhq", 256)[0], [96.49069, 119.97354])
    np.testing.assert_allclose(template_points("simswap", 224, view=4)[2], [153.346, 138.014])


def test_left_and_right_views_mirror_each_other():
    """A transcription error in one of the simswap numbers would break the symmetry about x = 56.2085."""
    views = TEMPLATES["simswap"]
    swap = [1, 0, 2, 4, 3]
    for left, right in ((0, 4), (1, 3)):
        mirrored = views[right][swap] * [-1, 1]
        difference = views[left] - mirrored
        np.testing.assert_allclose(difference[:, 1], 0, atol=1e-9)
        np.testing.assert_allclose(difference[:, 0], difference[0, 0], atol=1.1e-3)


def test_unknown_template_and_view_are_named():
    with pytest.raises(ValueError, match=r"no alignment template 'celeb'; there are arcface, simswap, ffhq"):
        template_points("celeb", 112)
    with pytest.raises(ValueError, match="celeb"):
        align(TEMPLATES["arcface"][0], "celeb", 112)
    with pytest.raises(IndexError, match=r"views 0\.\.0, not 1"):
        template_points("arcface", 112, view=1)


def test_fit_of_a_quarter_turn():
    # 90° and scale 2: (x, y) → (-2y + 1, 2x + 3)
    points = np.array([[0.0, 0], [1, 0], [0, 2]])
    target = np.array([[1.0, 3], [1, 5], [-3, 3]])
    np.testing.assert_allclose(fit_similarity(points, target), [[0, -2, 1], [2, 0, 3]], atol=1e-12)


def test_fit_does_not_reflect():
    """Points and their mirror image: the best rotation and scale without a flip.

    z = (0, 1, i), w = conj(z): sum(conj(z0) w0) = (-2i + 3+4i - 3+4i) / 9 = 6i/9 and sum |z0|^2 = 12/9, so
    a = i/2 and b = (1-i)/3 - i/2 (1+i)/3 = (1-i)/2.
    """
    points = np.array([[0.0, 0], [1, 0], [0, 1]])
    matrix = fit_similarity(points, points * [1, -1])
    assert np.linalg.det(matrix[:, :2]) >= 0
    np.testing.assert_allclose(matrix, [[0, -0.5, 0.5], [0.5, 0, -0.5]], atol=1e-12)


@given(
    angle=st.floats(-3.1, 3.1), scale=st.floats(0.05, 20), x=st.floats(-500, 500), y=st.floats(-500, 500),
    noise=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_fit_is_the_least_squares_optimum(angle, scale, x, y, noise):
    """Exact on exact points; on noisy ones no nearby similarity is better."""
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[c, -s, x], [s, c, y]])
    points = TEMPLATES["arcface"][0]
    np.testing.assert_allclose(fit_similarity(points, alignment.apply(matrix, points)), matrix, atol=1e-6)

    target = alignment.apply(matrix, points) + np.random.default_rng(noise).normal(0, scale, (5, 2))
    best = fit_similarity(points, target)

    def cost(m):
        return ((alignment.apply(m, points) - target) ** 2).sum()

    for step in np.eye(4) * 1e-3 * scale:
        a, b, u, v = step
        moved = best + np.array([[a, -b, u], [b, a, v]])
        assert cost(moved) >= cost(best)


@pytest.mark.parametrize(
    ("points", "message"),
    [(np.zeros((5, 2)), "coincide"), (np.full((5, 2), 812.3), "coincide"), (np.full((5, 2), np.nan), "not finite"),
     (np.zeros((4, 2)), "five landmarks"), (np.zeros((5, 3)), "five landmarks")],
)  # fmt: skip
def test_landmarks_that_fix_no_crop_raise(points, message):
    with pytest.raises(ValueError, match=message):
        align(points, "arcface", 112)


@pytest.mark.parametrize("view", range(5))
def test_each_view_finds_itself(view):
    """A photo of 2.5 times the crop, shifted: the view, the matrix and no error."""
    landmarks = template_points("simswap", 224, view) * 2.5 + [30, -7]
    result = align(landmarks, "simswap", 224)
    assert result.view == view
    assert result.error == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(result.matrix, [[0.4, 0, -12], [0, 0.4, 2.8]], atol=1e-9)


def test_error_is_in_pixels_at_112_for_every_size():
    landmarks = template_points("arcface", 112)
    landmarks[:2, 0] += [2, -2]
    errors = [align(landmarks, "arcface", size).error for size in (112, 224, 512)]
    assert errors[0] == pytest.approx(errors[1], rel=1e-9) == pytest.approx(errors[2], rel=1e-9)
    assert 0.5 < errors[0] < 2


def test_warp_moves_whole_pixels_exactly():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    crop = warp(image, np.array([[1.0, 0, -7], [0, 1, -3]]), 32)
    np.testing.assert_array_equal(crop, image[3:35, 7:39])
    outside = warp(image, np.array([[1.0, 0, 10], [0, 1, 0]]), 32)
    assert not outside[:, :10].any()
    np.testing.assert_array_equal(outside[:, 10:], image[:32, :22])


def test_warp_averages_where_it_shrinks():
    """A checkerboard of single pixels is gray from afar; a bare bilinear warp at 1/8 would see one color."""
    y, x = np.mgrid[:640, :640]
    board = np.repeat((((x + y) % 2) * 255).astype(np.uint8)[..., None], 3, axis=2)
    crop = warp(board, np.array([[0.125, 0, 0], [0, 0.125, 0]]), 80)
    assert np.abs(crop[2:-2, 2:-2].astype(int) - 128).max() <= 1


def test_strong_shrinking_keeps_positions():
    """A ramp value = x: the crop's pixel i reads x = (i - tx) / scale, whatever the block size."""
    ramp = np.repeat(np.linspace(0, 250, 2001).round().astype(np.uint8)[None, :, None], 900, axis=0).repeat(3, axis=2)
    matrix = np.array([[0.11, 0, 3.0], [0, 0.11, 2.0]])
    crop = warp(ramp, matrix, 64)
    expected = ((np.arange(64) - 3) / 0.11) / 8
    np.testing.assert_allclose(crop[20, 6:, 0], expected[6:], atol=1.5)


def test_warp_of_a_crop_beside_the_image_is_black():
    image = np.full((300, 300, 3), 255, np.uint8)
    assert not warp(image, np.array([[0.2, 0, 500.0], [0, 0.2, 500.0]]), 32).any()


def test_crop_to_recognizer():
    np.testing.assert_array_equal(crop_to_recognizer("arcface", 0, 112, 112), [[1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(crop_to_recognizer("arcface", 0, 224, 112), [[0.5, 0, 0], [0, 0.5, 0]])
    # ffhq: the fitted points lie within 2.2 px of the arcface template's at 112
    matrix = crop_to_recognizer("ffhq", 0, 512, 112)
    moved = alignment.apply(matrix, template_points("ffhq", 512))
    assert np.abs(moved - template_points("arcface", 112)).max() < 2.2
    matrices = alignment.recognizer_matrices("simswap", 224, 112)
    assert matrices.shape == (5, 2, 3)
    assert matrices.dtype == torch.float32
    with pytest.raises(ValueError, match="nonesuch"):
        alignment.recognizer_matrices("nonesuch", 224, 112)


def test_the_view_is_the_best_of_all_fits():
    """Only likely views are fitted exactly: view, error and matrix are those of the best of all five, to the bit."""
    random = np.random.default_rng(3)
    for number in range(60):
        points = TEMPLATES["simswap"][number % 5] * random.uniform(0.2, 8) + random.uniform(0, 400, 2)
        points += random.normal(0, 6 * (number % 3), (5, 2))
        fits, errors = [], []
        for view in range(5):
            target = template_points("simswap", 224, view)
            fits.append(fit_similarity(points, target))
            distance = np.linalg.norm(alignment.apply(fits[-1], points) - target, axis=1).mean()
            errors.append(float(distance) * 112 / 224)
        found = align(points, "simswap", 224)
        assert (found.view, found.error) == (int(np.argmin(errors)), min(errors))
        np.testing.assert_array_equal(found.matrix, fits[found.view])
    assert alignment._likely_views(TEMPLATES["simswap"][2], "simswap", 224) == [2]
