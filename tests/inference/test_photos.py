import struct
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, ImageCms

from simswap.errors import InputError
from simswap.inference.photos import read_photo
from simswap.inference.writing import check_output, write_photo
from simswap.pictures import DIGITAL_SOURCE, provenance
from tests.inference.photo_files import wide_profile

WORDS = provenance("sha256:ab12")
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_png_round_trip_with_profile_alpha_and_provenance(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    layers = np.dstack([PIXELS, RNG.integers(0, 256, (20, 30), dtype=np.uint8)])
    Image.fromarray(layers).save(tmp_path / "a.png", icc_profile=profile)
    photo = read_photo(tmp_path / "a.png")
    write_photo(tmp_path / "b.png", photo.pixels, photo, WORDS)
    with Image.open(tmp_path / "b.png") as written:
        np.testing.assert_array_equal(np.asarray(written), layers)
        assert written.info["icc_profile"] == profile
        assert written.text["Description"] == "synthetic face swap"
        assert written.text["Checkpoint"] == "sha256:ab12"
        assert DIGITAL_SOURCE in written.text["XML:com.adobe.xmp"]


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_xmp_says_that_it_is_synthetic(tmp_path, suffix):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    write_photo(tmp_path / f"b{suffix}", photo.pixels, photo, WORDS)
    with Image.open(tmp_path / f"b{suffix}") as written:
        attributes = ElementTree.fromstring(written.info["xmp"])[0][0].attrib
    said = {name.split("}")[1]: value for name, value in attributes.items()}
    assert said["DigitalSourceType"] == DIGITAL_SOURCE
    assert said["Checkpoint"] == "sha256:ab12"
    assert said["CreatorTool"].startswith("SimSwap Lab ")


def test_exif_orientation_is_applied_and_the_rest_kept(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0131] = 6, "Maker", "Editor"
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=exif, quality=95)
    photo = read_photo(tmp_path / "a.jpg")
    assert photo.pixels.shape == (30, 20, 3)  # 6: turned by a quarter
    write_photo(tmp_path / "b.jpg", photo.pixels, photo, WORDS)
    with Image.open(tmp_path / "b.jpg") as written:
        kept = written.getexif()
        assert (kept.get(0x010F), kept.get(0x0112), kept.get(0x0131)) == ("Maker", None, None)
        assert written.size == (20, 30)


def test_colors_reach_networks_as_srgb(tmp_path):
    """A profile with red and blue exchanged: sRGB's own with its two colorant tags renamed."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exchanged = profile.replace(b"rXYZ", b"????", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"????", b"bXYZ", 1)
    pixels = np.full((4, 4, 3), (200, 90, 40), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=exchanged)
    photo = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.pixels, pixels)
    np.testing.assert_allclose(photo.to_srgb(photo.pixels)[0, 0], (40, 90, 200), atol=2)
    np.testing.assert_allclose(photo.from_srgb(photo.to_srgb(photo.pixels)), pixels, atol=2)


def test_colors_that_srgb_lacks_do_not_jump(tmp_path):
    """Saturated greens of ROMM RGB: sRGB has none of them, and there and back they would move by up to 100."""
    y, x = np.mgrid[:16, :16]
    pixels = np.stack([10 + x, 200 + 3 * y, 20 + x], -1).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=wide_profile())
    photo = read_photo(tmp_path / "a.png")
    before = photo.to_srgb(photo.pixels)
    assert np.abs(photo.from_srgb(before).astype(int) - pixels).max() > 50
    np.testing.assert_array_equal(photo.changed(photo.pixels, before, before), pixels)
    after = before.copy()
    after[..., 1] = np.maximum(after[..., 1], 12) - 12
    moved = photo.changed(photo.pixels, before, after).astype(int) - pixels
    assert np.abs(moved).max() <= 12
    assert moved[..., 1].mean() < -5
    # a color that sRGB has gets what the way there and back gives
    gray = np.full((2, 2, 3), 120, np.uint8)
    seen = photo.to_srgb(gray)
    np.testing.assert_allclose(photo.changed(gray, seen, seen + 20), photo.from_srgb(seen + 20), atol=2)


def test_transparent_photos_are_seen_on_white(tmp_path):
    layers = np.full((4, 4, 4), (10, 20, 30, 0), np.uint8)
    layers[2:, :, 3] = 255
    Image.fromarray(layers).save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    assert photo.seen()[:, 0].tolist() == [[255, 255, 255]] * 2 + [[10, 20, 30]] * 2
    assert (photo.pixels == (10, 20, 30)).all()


def test_gray_and_cmyk_profiles_are_applied_and_not_kept(tmp_path):
    """The gray profile: sRGB's header and white point, gamma 1; 128 of 255 is then 188 in sRGB."""
    base = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tags = [
        (b"desc", b"desc\0\0\0\0\0\0\0\x02g\0" + bytes(78)),
        (b"wtpt", b"XYZ \0\0\0\0" + struct.pack(">3l", 63190, 65536, 54061)),
        (b"kTRC", b"curv\0\0\0\0" + struct.pack(">L", 0)),
    ]
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for name, content in tags:
        content += bytes(-len(content) % 4)
        table += struct.pack(">4sLL", name, start + len(body), len(content))
        body += content
    header = bytearray(base[:128])
    header[12:20] = b"mntrGRAY"
    header[:4] = struct.pack(">L", start + len(body))
    profile = bytes(header) + struct.pack(">L", len(tags)) + table + body
    Image.new("L", (4, 4), 128).save(tmp_path / "a.png", icc_profile=profile)
    photo = read_photo(tmp_path / "a.png")
    assert photo.profile is None
    np.testing.assert_allclose(photo.pixels, 188, atol=1)


@pytest.mark.parametrize(("values", "kind"), [(np.full((4, 4), 0.5, np.float32), "floating-point"),
                                              (np.full((4, 4), 1 << 20, np.int32), "32-bit")])  # fmt: skip
def test_pixels_of_unknown_range_are_refused(tmp_path, values, kind):
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=f"a.tif: cannot be read .{kind} pixels, whose range is not known"):
        read_photo(tmp_path / "a.tif")


def test_16_bit_gray_with_a_transparent_value(tmp_path):
    values = np.full((3, 3), 40 * 257, np.uint16)
    values[0] = 1234
    Image.fromarray(values).save(tmp_path / "a.png", transparency=1234)
    photo = read_photo(tmp_path / "a.png")
    assert photo.alpha.tolist() == [[0] * 3, [255] * 3, [255] * 3]
    assert (photo.pixels[1:] == 40).all()


@pytest.mark.parametrize(
    ("mode", "value", "shown"),
    [("L", 77, (77, 77, 77)), ("I;16", 77 * 257, (77, 77, 77)), ("CMYK", (255, 0, 0, 0), (0, 255, 255))],
)
def test_other_kinds_become_rgb(tmp_path, mode, value, shown):
    path = tmp_path / ("a.tif" if mode != "L" else "a.png")
    Image.new(mode, (5, 4), value).save(path)
    np.testing.assert_array_equal(read_photo(path).pixels, np.full((4, 5, 3), shown, np.uint8))


def test_bad_photos_are_one_line(tmp_path):
    with pytest.raises(InputError, match=r"a\.jpg: there is no such photo"):
        read_photo(tmp_path / "a.jpg")
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "moves.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="an animation of 2 pictures"):
        read_photo(tmp_path / "moves.gif")
    (tmp_path / "paper.pdf").write_bytes(b"%PDF-1.7\n")
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    for name in ("paper.pdf", "phone.heic"):
        with pytest.raises(InputError, match=f"{name}: no picture of a known kind; save HEIC, PDF"):
            read_photo(tmp_path / name)
    Image.fromarray(PIXELS).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:300])
    with pytest.raises(InputError, match=r"cut\.png: cannot be read"):
        read_photo(tmp_path / "cut.png")


def test_lab_pixels_have_no_transparency(tmp_path):
    """One of LAB's bands is called A."""
    lab = ImageCms.profileToProfile(
        Image.fromarray(PIXELS), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    lab.save(tmp_path / "a.tif")
    photo = read_photo(tmp_path / "a.tif")
    assert photo.alpha is None
    assert np.abs(photo.pixels.astype(int) - PIXELS).mean() < 8


def test_outputs_are_checked(tmp_path):
    with pytest.raises(InputError, match="pictures are written as"):
        check_output(tmp_path / "a.gif")
    (tmp_path / "a.png").touch()
    with pytest.raises(InputError, match="nothing is overwritten"):
        check_output(tmp_path / "a.png")
