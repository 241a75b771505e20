"""The part of a photo around a face gives the same crops and takes the same pastes as the whole photo."""

import numpy as np
import pytest

from simswap.faces.alignment import TEMPLATES, align, apply, template_points, warp
from simswap.faces.paste import PasteSettings, paste_swap, region
from simswap.faces.photo_part import cut_part, part_around

SIZES = (16, 64, 112, 224, 512)


def photo_and_landmarks(seed: int, shape=(300, 420), scale=1.5, center=(200, 150)):
    """A photo of noise, and a face of 112 * scale px around a point, somewhat turned and bent."""
    random = np.random.default_rng(seed)
    angle = random.uniform(-0.5, 0.5)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (template_points("arcface", 112) - 56) @ turn.T + np.array(center) + random.normal(0, 2, (5, 2))
    return random.integers(0, 256, (*shape, 3), np.uint8), points


@pytest.mark.parametrize("center", [(200, 150), (60, 40), (400, 280)], ids=["inside", "top left", "bottom right"])
def test_crops_of_the_part_are_those_of_the_photo(center):
    for seed in range(4):
        photo, points = photo_and_landmarks(seed, scale=0.5 + 0.5 * seed, center=center)
        part = cut_part(photo, points)
        rows, columns = part_around(points, photo.shape)
        np.testing.assert_array_equal(part.pixels, photo[rows, columns])
        np.testing.assert_allclose(part.landmarks, points - np.array([columns.start, rows.start]), atol=1e-9)
        for template in TEMPLATES:
            for size in SIZES:
                expected = warp(photo, align(points, template, size).matrix, size)
                apart = np.abs(expected.astype(int) - part.crop(template, size))
                # OpenCV 5 computes coordinates in single precision, and so rounds them by their size.
                assert apart.max() <= 1, (seed, template, size)
                assert apart.mean() < 3e-3, (seed, template, size)


def test_a_paste_into_the_part_is_the_paste_into_the_photo():
    photo, points = photo_and_landmarks(1)
    part = cut_part(photo, points)
    for template, size, detail in (("arcface", 112, 1.0), ("ffhq", 256, 0.0), ("simswap", 64, 0.5)):
        done, settings = [], PasteSettings(detail=detail)
        for picture, landmarks in ((photo, points), (part.pixels, part.landmarks)):
            matrix = align(landmarks, template, size).matrix
            own = warp(picture, matrix, size)
            out = picture.copy()
            pasted = paste_swap(picture, 255 - own, own, apply(matrix, landmarks), matrix, settings)
            out[region(matrix, size, picture.shape)] = pasted
            done.append(out)
        rows, columns = part_around(points, photo.shape)
        assert (done[0] != photo).any()
        assert (np.abs(done[0][rows, columns].astype(int) - done[1]) > 1).mean() < 1e-3
        done[0][rows, columns] = photo[rows, columns]
        np.testing.assert_array_equal(done[0], photo)  # nothing outside the part has changed


def test_the_part_is_small_in_a_large_photo_and_never_empty():
    photo, points = photo_and_landmarks(0, shape=(2000, 3000), scale=1.0, center=(1500, 1000))
    height, width = cut_part(photo, points).pixels.shape[:2]
    assert min(height, width) > 112
    assert max(height, width) < 450
    corner = cut_part(photo, points - points.min(0))
    assert min(corner.pixels.shape[:2]) > 50
    with pytest.raises(ValueError, match="the points coincide"):
        cut_part(photo, np.ones((5, 2)))
