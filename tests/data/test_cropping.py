"""Photos decoded at a fraction of their size: the same crop, the same place, the same faults."""

import io
import json

import cv2
import numpy as np
import pytest
from PIL import Image
from tests.data.photo_folders import CROPS, landmark_table, prepare
from tests.data.test_damage import DAMAGE, JPEGS

from simswap.data.cropping import CropSettings, Found, crop_face, reduction
from simswap.data.reading import FACTORS, UnreadableImage, read_image, read_photo
from simswap.errors import InputError
from simswap.faces.alignment import Alignment, apply, template_points
from simswap.faces.detection import Face

DOTS = np.array([[300.0, 260], [700, 240], [505, 610], [330, 830], [690, 905]])


def _alignment(scale: float, angle: float = 0.0, shift: tuple[float, float] = (0, 0)) -> Alignment:
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return Alignment(np.array([[c, -s, shift[0]], [s, c, shift[1]]]), 0, 0.0)


def _save(file, pixels: np.ndarray, **options) -> None:
    Image.fromarray(pixels).save(file, **options)


def _dots(width: int, height: int) -> np.ndarray:
    """White dots on black with a blur of 9 px, each on its exact center."""
    y, x = np.mgrid[:height, :width]
    bright = sum(np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * 9.0**2)) for a, b in DOTS)
    return np.repeat((235 * np.minimum(bright, 1)).astype(np.uint8)[..., None], 3, axis=2)


def _centers(crop: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The centroid of each dot, in a window around the place where it should be."""
    found = []
    for x, y in np.round(places).astype(int):
        window = crop[y - 9 : y + 10, x - 9 : x + 10, 1].astype(float)
        v, u = np.mgrid[-9:10, -9:10]
        found.append([x + (u * window).sum() / window.sum(), y + (v * window).sum() / window.sum()])
    return np.array(found)


@pytest.mark.parametrize(
    ("scale", "factor"),
    [(1.5, 1), (1.0, 1), (0.501, 1), (0.499, 2), (0.251, 2), (0.249, 4), (0.126, 4), (0.124, 8), (0.01, 8)],
)
def test_a_crop_pixel_never_covers_less_than_one_of_the_photo(scale, factor):
    assert reduction(_alignment(scale)) == factor


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"progressive": True}])
@pytest.mark.parametrize(("scale", "factor"), [(0.4, 2), (0.22, 4), (0.12, 8)])
def test_dots_stay_where_they_are(tmp_path, scale, factor, options):
    """Odd sizes, all ways of storing color: a dot's center moves by less than 0.05 px of the crop."""
    _save(tmp_path / "dots.jpg", _dots(1003, 1101), quality=95, **options)
    alignment = _alignment(scale, 0.2, (130, 20))
    settings, face = CropSettings("simswap", 512, "png", 95, 0, True), Face(np.zeros(4), np.zeros((5, 2)), 1.0)
    photo = read_photo(tmp_path / "dots.jpg", reduction(alignment))
    assert (photo.factor, photo.shape) == (factor, (1101, 1003))
    assert photo.pixels.shape == (-(-1101 // factor), -(-1003 // factor), 3)
    reduced, _ = crop_face(Found(face, photo, alignment), settings)
    full, _ = crop_face(Found(face, read_photo(tmp_path / "dots.jpg", 1), alignment), settings)
    places = apply(alignment.matrix, DOTS)
    assert np.abs(_centers(reduced, places) - places).max() < 0.05
    assert np.abs(_centers(reduced, places) - _centers(full, places)).max() < 0.05


def test_the_reduced_crop_is_close_to_the_full_one(tmp_path):
    noise = np.random.default_rng(1).normal(0, 1, (700, 600, 3))
    soft = sum(cv2.GaussianBlur(noise, (0, 0), blur) * blur * 12 for blur in (2, 6, 20)) + 128  # detail of all sizes
    _save(tmp_path / "photo.jpg", np.clip(soft, 0, 255).astype(np.uint8), quality=90)
    settings, face = CropSettings("simswap", 224, "png", 95, 0, True), Face(np.zeros(4), np.zeros((5, 2)), 1.0)
    alignment = _alignment(0.45, 0.1, (5, -30))
    crops = [
        crop_face(Found(face, read_photo(tmp_path / "photo.jpg", factor), alignment), settings)[0].astype(float)
        for factor in (1, 2)
    ]
    inside = np.s_[8:216, 8:216]
    assert np.abs(crops[0] - crops[1])[inside].mean() < 2.0
    assert 10 * np.log10(255**2 / ((crops[0] - crops[1])[inside] ** 2).mean()) > 38


def test_what_cannot_be_reduced_is_decoded_in_full(tmp_path):
    """Gray is reduced; turned, CMYK and PNG photos are the full image, whatever was asked for."""
    for kind in ("plain", "progressive", "gray", "restarts"):
        (tmp_path / "a.jpg").write_bytes(JPEGS[kind])
        photo = read_photo(tmp_path / "a.jpg", 4)
        assert (photo.factor, photo.shape, photo.pixels.shape) == (4, (96, 128), (24, 32, 3))
        full = read_image(tmp_path / "a.jpg").reshape(24, 4, 32, 4, 3).mean((1, 3))
        assert np.abs(photo.pixels - full).mean() < 3  # channels in the same order, too
    png = io.BytesIO()
    Image.new("RGB", (128, 96), (200, 30, 10)).save(png, "PNG")
    for data in (JPEGS["turned"], JPEGS["cmyk"], png.getvalue()):
        (tmp_path / "a.jpg").write_bytes(data)
        photo = read_photo(tmp_path / "a.jpg", 4)
        assert photo.factor == 1
        assert photo.shape == photo.pixels.shape[:2]
        np.testing.assert_array_equal(photo.pixels, read_image(tmp_path / "a.jpg"))


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found_at_every_size(tmp_path, factor, damage):
    for data in JPEGS.values():
        (tmp_path / "a.jpg").write_bytes(DAMAGE[damage](data))
        with pytest.raises(UnreadableImage, match=r"broken|truncated"):
            read_photo(tmp_path / "a.jpg", factor)


def _large_photo(tmp_path):
    """A photo in whose crop of 32 px one pixel stands for 4.4 of the photo: points at 140 px for a template of 32."""
    points = template_points("arcface", 140) + 20
    shades = np.random.default_rng(2).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    (tmp_path / "raw" / "p").mkdir(parents=True)
    _save(tmp_path / "raw" / "p" / "1.jpg", cv2.resize(shades, (180, 181), interpolation=cv2.INTER_CUBIC), quality=92)
    row = "p/1," + ",".join(f"{value:.3f}" for value in points.reshape(-1)) + "\n"
    return landmark_table(tmp_path / "l.csv", [], row)


def test_prepare_reduces_only_where_its_settings_say_so(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "simswap.data.cropping.read_photo", lambda file, factor: asked.append(factor) or read_photo(file, factor)
    )
    table = _large_photo(tmp_path)
    crops = {}
    for reduced in (False, True):
        settings = CropSettings("arcface", 32, "png", 95, 0, reduced)
        assert prepare(tmp_path, table, settings, record={"reduced_decoding": reduced}).aligned == 1
        crops[reduced] = read_image(tmp_path / "out" / "crops" / "p" / "1.png").astype(int)
        (tmp_path / "out").rename(tmp_path / f"out {reduced}")
    assert asked == [1, 4]
    assert 0 < np.abs(crops[True] - crops[False]).mean() < 2
    rows = [(tmp_path / f"out {reduced}" / "manifest.csv").read_text() for reduced in (False, True)]
    assert rows[0] == rows[1]  # landmarks are in pixels of the full photo


def test_faults_of_a_reduced_photo_are_those_of_the_full_one(tmp_path):
    """The photo's own faults come first, then the size, then the landmarks; all of the full photo."""
    table = _large_photo(tmp_path)
    settings = CropSettings("arcface", 32, "png", 95, 181, True)
    with pytest.raises(InputError, match="too_small"):
        prepare(tmp_path, table, settings)
    assert "too_small,180 x 181," in (tmp_path / "out" / "manifest.csv").read_text()
    file = tmp_path / "raw" / "p" / "1.jpg"
    file.write_bytes(DAMAGE["half with an end mark"](file.read_bytes()))
    (tmp_path / "out").rename(tmp_path / "before")
    with pytest.raises(InputError, match="unreadable"):
        prepare(tmp_path, table, settings)


def test_a_folder_made_before_the_setting_goes_on_without_it(tmp_path):
    """Its record lacks the key; without it and with false the record is the same, with true it is not."""
    table = _large_photo(tmp_path)
    prepare(tmp_path, table, record={"size": 32})
    assert prepare(tmp_path, table, record={"size": 32, "reduced_decoding": False}).new == 0
    assert json.loads((tmp_path / "out" / "prepare.json").read_text())["settings"]["reduced_decoding"] is False
    with pytest.raises(InputError, match=r"other settings: reduced_decoding \(was False, now True\); use the same"):
        prepare(tmp_path, table, CROPS, record={"size": 32, "reduced_decoding": True})
