from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, ImageCms

from simswap.errors import InputError
from simswap.inference.photos import check_output, read_photo, write_photo
from simswap.pictures import DIGITAL_SOURCE, provenance

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


def test_colours_reach_networks_as_srgb(tmp_path):
    """A profile with red and blue exchanged: sRGB's own with its two colorant tags renamed."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exchanged = profile.replace(b"rXYZ", b"????", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"????", b"bXYZ", 1)
    pixels = np.full((4, 4, 3), (200, 90, 40), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=exchanged)
    photo = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.pixels, pixels)
    np.testing.assert_allclose(photo.to_srgb(photo.pixels)[0, 0], (40, 90, 200), atol=2)
    np.testing.assert_allclose(photo.from_srgb(photo.to_srgb(photo.pixels)), pixels, atol=2)


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
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
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


def test_outputs_are_checked(tmp_path):
    with pytest.raises(InputError, match="pictures are written as"):
        check_output(tmp_path / "a.gif")
    (tmp_path / "a.png").touch()
    with pytest.raises(InputError, match="nothing is written over"):
        check_output(tmp_path / "a.png")
