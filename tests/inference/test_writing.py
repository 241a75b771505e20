"""Limits of formats are known before the work, and transparent photos show what they should in each of them."""

import numpy as np
import pytest
from PIL import Image

from simswap.errors import InputError
from simswap.inference.photos import Photo, read_photo
from simswap.inference.writing import check_fits, check_output, write_photo
from simswap.pictures import provenance

WORDS = provenance("sha256:ab12")
LAYERS = np.full((60, 90, 4), (0, 200, 0, 0), np.uint8)
LAYERS[:30, :, 3] = 255


def transparent(mode: str) -> Image.Image:
    picture = Image.fromarray(LAYERS)
    return Image.fromarray(LAYERS[..., :3]).quantize(4) if mode == "P" else picture.convert(mode)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_hidden_colors_do_not_come_out_and_the_mark_shows(tmp_path, mode, suffix):
    picture = transparent(mode)
    if mode == "P":
        picture.save(tmp_path / "a.png", transparency=picture.getpixel((0, 0)))
    else:
        picture.save(tmp_path / ("a.tif" if mode == "LA" else "a.png"))
    photo = read_photo(next(tmp_path.iterdir()))
    out = tmp_path / "out" / f"b{suffix}"
    write_photo(out, photo.pixels, photo, WORDS, mark=True)
    with Image.open(out) as written:
        shown = {
            back: np.asarray(Image.alpha_composite(Image.new("RGBA", written.size, back), written.convert("RGBA")))
            for back in ("white", "black")
        }
    hidden = np.s_[31:45, :40] if mode != "P" else np.s_[:45, :40]
    assert shown["white"][hidden].min() >= 253
    assert shown["black"][hidden][..., :3].max() == (255 if suffix == ".jpg" else 0)
    corner = np.s_[-8:, -30:]
    np.testing.assert_array_equal(shown["white"][corner], shown["black"][corner])
    assert np.ptp(shown["white"][corner][..., 1].astype(int)) > 60


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_lossless_formats_keep_hidden_colors_bit_for_bit(tmp_path, suffix):
    Image.fromarray(LAYERS).save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    write_photo(tmp_path / f"b{suffix}", photo.pixels, photo, WORDS)
    with Image.open(tmp_path / f"b{suffix}") as written:
        np.testing.assert_array_equal(np.asarray(written), LAYERS)


def photo_of(width: int, height: int, profile: bytes | None = None) -> Photo:
    from pathlib import Path

    return Photo(Path("wide.png"), np.zeros((height, width, 3), np.uint8), None, profile, b"")


def test_pictures_too_long_for_their_format_are_refused(tmp_path):
    for suffix, longest in {".webp": 16_383, ".jpg": 65_500, ".jpeg": 65_500}.items():
        for size in [(longest, 2), (2, longest)]:
            photo = photo_of(*size)
            check_fits(tmp_path / f"a{suffix}", photo)
            write_photo(tmp_path / f"{size[0]}{suffix}", photo.pixels, photo, {**WORDS})
        for size in [(longest + 1, 2), (2, longest + 1)]:
            with pytest.raises(InputError, match=rf"at most {longest} pixels .* {size[0]} x {size[1]}; write it as"):
                check_fits(tmp_path / f"a{suffix}", photo_of(*size))
            check_fits(tmp_path / "a.png", photo_of(*size))
    with pytest.raises(InputError, match=r"write it as \.png or \.jpg"):
        check_fits(tmp_path / "a.webp", photo_of(17_000, 250))


def test_a_profile_too_long_for_jpeg_is_refused(tmp_path):
    photo = photo_of(2, 2, b"x" * 16_800_000)
    with pytest.raises(InputError, match=r"JPEG holds no ICC profile of 16800000 bytes; write it as \.png"):
        check_fits(tmp_path / "a.jpg", photo)
    check_fits(tmp_path / "a.png", photo)
    longest = photo_of(2, 2, b"x" * 16_707_345)
    check_fits(tmp_path / "a.jpg", longest)
    write_photo(tmp_path / "a.jpg", longest.pixels, longest, WORDS)


def test_places_that_cannot_be_written_to_are_known_beforehand(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file and not a folder"):
        check_output(tmp_path / "file" / "a.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="nothing is overwritten"):
        check_output(tmp_path / "link.png")
    check_output(tmp_path / "new" / "folders" / "a.png")
