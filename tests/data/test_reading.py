"""Image files of every common kind become the same uint8 RGB, or an error that says why not."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from simswap.data.reading import UnreadableImage, decode_image, read_image


def _picture() -> np.ndarray:
    y, x = np.mgrid[:60, :80]
    return np.stack([x * 3, y * 4, 255 - x * 2], -1).astype(np.uint8)


def _bytes(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("kind", "mode", "options", "tolerance"),
    [
        ("PNG", "RGB", {}, 0), ("BMP", "RGB", {}, 0), ("TIFF", "RGB", {}, 0), ("PPM", "RGB", {}, 0),
        ("WEBP", "RGB", {"lossless": True}, 0), ("PNG", "RGBA", {}, 0), ("JPEG", "RGB", {"quality": 95}, 10),
        ("JPEG", "CMYK", {"quality": 95}, 10), ("TIFF", "CMYK", {}, 1),
        ("TIFF", "YCbCr", {"compression": "tiff_lzw"}, 3),  # without compression, Pillow 12 cannot read its own file
    ],
)  # fmt: skip
def test_color_kinds_give_the_same_picture(kind, mode, options, tolerance):
    expected = _picture()
    pixels = decode_image(_bytes(Image.fromarray(expected).convert(mode), kind, **options))
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "L"), ("PNG", "LA"), ("BMP", "L"), ("TIFF", "L")])
def test_gray_becomes_three_equal_channels(kind, mode):
    gray = Image.fromarray(_picture()).convert("L")
    pixels = decode_image(_bytes(gray.convert(mode), kind))
    np.testing.assert_array_equal(pixels, np.asarray(gray)[..., None].repeat(3, 2))


def test_sixteen_bits_keep_black_white_and_the_steps_between():
    values = np.array([[0, 257, 32896, 65535] * 5] * 20, np.uint16)
    np.testing.assert_array_equal(decode_image(_bytes(Image.fromarray(values), "PNG"))[0, :4, 1], [0, 1, 128, 255])
    color = np.zeros((20, 20, 3), np.uint16)
    color[..., 2] = 65535  # OpenCV's order: red
    pixels = decode_image(cv2.imencode(".png", color)[1].tobytes())
    np.testing.assert_array_equal(pixels[0, 0], [255, 0, 0])


def test_transparent_pixels_are_white():
    image = Image.new("RGBA", (20, 20), (200, 0, 0, 0))
    image.putpixel((3, 4), (200, 0, 0, 255))
    pixels = decode_image(_bytes(image, "PNG"))
    np.testing.assert_array_equal(pixels[4, 3], [200, 0, 0])
    np.testing.assert_array_equal(pixels[0, 0], [255, 255, 255])
    palette = Image.new("P", (20, 20), 1)
    palette.putpalette([10, 20, 30, 200, 0, 0])
    np.testing.assert_array_equal(decode_image(_bytes(palette, "PNG", transparency=1))[0, 0], [255, 255, 255])
    np.testing.assert_array_equal(decode_image(_bytes(palette, "PNG"))[0, 0], [200, 0, 0])


def test_lab_is_not_transparent(monkeypatch):
    """Its second band is called A, and is a color."""
    monkeypatch.setattr(Image, "alpha_composite", lambda *_: pytest.fail("laid on white"))
    lab = Image.new("LAB", (20, 20), (128, 158, 118))
    pixels = decode_image(_bytes(lab, "TIFF"))
    np.testing.assert_allclose(pixels[0, 0], [162, 99, 137], atol=2)


def test_orientation_is_applied_once():
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned a quarter clockwise: the stored left edge is the top
    picture = _picture()
    pixels = decode_image(_bytes(Image.fromarray(picture), "JPEG", quality=95, exif=exif))
    assert pixels.shape == (80, 60, 3)
    assert np.abs(pixels.astype(int) - np.rot90(picture, -1)).max() <= 10


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"this is a text file", "no image"),
        (_bytes(Image.fromarray(_picture()), "JPEG")[:-300], "truncated"),
        (_bytes(Image.fromarray(_picture()), "PNG")[:-60], "truncated|broken"),
        (_bytes(Image.fromarray(_picture()), "BMP")[:400], "truncated"),
        (_bytes(Image.fromarray(_picture().astype(np.float32)[..., 0]), "TIFF"), "floating-point"),
    ],
)
def test_broken_files_say_why(data, reason):
    with pytest.raises(UnreadableImage, match=reason) as error:
        decode_image(data)
    assert "\n" not in error.value.reason


def test_missing_file_and_strange_names(tmp_path):
    with pytest.raises(UnreadableImage, match="cannot be opened: No such file"):
        read_image(tmp_path / "none.png")
    file = tmp_path / "Złoty człowiek 微笑.png"
    file.write_bytes(_bytes(Image.fromarray(_picture()), "PNG"))
    np.testing.assert_array_equal(read_image(file), _picture())


def test_very_large_pictures_are_read_or_refused_before_decoding():
    wide = decode_image(_bytes(Image.new("RGB", (12_000, 300), (10, 20, 30)), "PNG"))
    assert wide.shape == (300, 12_000, 3)
    for side, reason in ((13_000, "too large: 13000 x 13000 pixels"), (30_000, "too large to decode")):
        header = f"P6 {side} {side} 255\n".encode()  # a picture's head is enough: nothing is decoded
        with pytest.raises(UnreadableImage, match=reason):
            decode_image(header + bytes(100))
