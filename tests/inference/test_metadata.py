"""What a photo says of itself goes along with its swap, beside our own word."""

from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, ImageCms

from simswap.inference.exif import clean_exif
from simswap.inference.iptc import properties, read_iptc
from simswap.inference.photos import read_photo
from simswap.inference.writing import write_photo
from simswap.inference.xmp import merged
from simswap.pictures import DIGITAL_SOURCE, provenance
from tests.inference.photo_files import CAPTION, CREDIT, RIGHTS, XMP, iim, photoshop_block, segment

WORDS = provenance("sha256:ab12")
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
NAMES = {
    "dc": "http://purl.org/dc/elements/1.1/", "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "ext": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/", "simswap": "urn:simswap-lab:",
    "xmp": "http://ns.adobe.com/xap/1.0/", "tiff": "http://ns.adobe.com/tiff/1.0/",
    "crs": "http://ns.adobe.com/camera-raw-settings/1.0/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
}  # fmt: skip


def said(packet) -> dict[str, list[str]]:
    """All properties of an XMP packet: attribute or element, by "prefix:name"."""
    prefixes = {uri: prefix for prefix, uri in NAMES.items()}
    root = ElementTree.fromstring(packet)
    found: dict[str, list[str]] = {}
    for description in root.iter(f"{{{NAMES['rdf']}}}Description"):
        items = [(name, value) for name, value in description.attrib.items()]
        items += [(child.tag, "".join(child.itertext()).strip()) for child in description]
        for name, value in items:
            uri, _, local = name[1:].partition("}")
            found.setdefault(f"{prefixes.get(uri, uri)}:{local}", []).append(value)
    return found


def write_with_metadata(path, content=PIXELS):
    """A photo of the suffix's kind that says CAPTION, CREDIT and RIGHTS as XMP, and a city as IIM (not in TIFF)."""
    picture, older = Image.fromarray(content), iim(d90="Bern", d120="another caption")
    if path.suffix == ".jpg":
        extra = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP.encode())
        thumbnail = photoshop_block(b"\xff\xd8\xff" + bytes(50), 0x040C)
        extra += segment(0xED, b"Photoshop 3.0\0" + thumbnail + photoshop_block(older))
        picture.save(path, extra=extra, quality=95)
    elif path.suffix == ".png":
        from PIL.PngImagePlugin import PngInfo

        chunks = PngInfo()
        chunks.add_itxt("XML:com.adobe.xmp", XMP)
        block = photoshop_block(older)
        chunks.add_text("Raw profile type iptc", f"\niptc\n{len(block):8}\n{block.hex()}\n", zip=True)
        picture.save(path, pnginfo=chunks)
    elif path.suffix == ".tif":
        picture.save(path, tiffinfo={700: XMP.encode(), 33723: older})
    else:
        picture.save(path, xmp=XMP.encode())


@pytest.mark.parametrize("to", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp", ".tif"])
def test_caption_credit_and_rights_stand_beside_our_word(tmp_path, kind, to):
    write_with_metadata(tmp_path / f"a{kind}")
    photo = read_photo(tmp_path / f"a{kind}")
    assert write_photo(tmp_path / f"b{to}", photo.pixels, photo, WORDS) == []
    with Image.open(tmp_path / f"b{to}") as written:
        properties_now = said(written.info["xmp"])
        older = properties(read_iptc(written))
    assert properties_now["dc:description"] == [CAPTION]
    assert properties_now["photoshop:Credit"] == [CREDIT]
    assert properties_now["dc:rights"] == [RIGHTS]
    assert properties_now["xmp:CreatorTool"] == ["Camera 1.0"]
    assert properties_now["crs:Look"] == ["LOOK"]
    assert properties_now["ext:DigitalSourceType"] == [DIGITAL_SOURCE]  # the photo's is no longer true
    assert properties_now["simswap:Checkpoint"] == ["sha256:ab12"]
    assert properties_now["simswap:Description"] == ["synthetic face swap"]
    assert "tiff:Orientation" not in properties_now
    assert "xmp:Thumbnails" not in properties_now
    if kind != ".webp":
        assert properties_now["photoshop:City"] == ["Bern"]
        assert older.get("photoshop:City") == (None if to == ".webp" else ("", ["Bern"]))
    assert b"\xff\xd8\xff" not in (tmp_path / f"b{to}").read_bytes()[10:]


def test_a_second_swap_replaces_the_word_of_the_first(tmp_path):
    write_with_metadata(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    write_photo(tmp_path / "b.png", photo.pixels, photo, provenance("sha256:1") | {"Job": "sha256:old"})
    again = read_photo(tmp_path / "b.png")
    write_photo(tmp_path / "c.png", again.pixels, again, provenance("sha256:2") | {"Job": "sha256:new"})
    with Image.open(tmp_path / "c.png") as written:
        assert (written.text["Checkpoint"], written.text["Job"]) == ("sha256:2", "sha256:new")
        now = said(written.info["xmp"])
    assert (now["simswap:Checkpoint"], now["simswap:Job"], now["dc:rights"]) == (["sha256:2"], ["sha256:new"], [RIGHTS])


def test_png_texts_are_kept_and_reach_other_formats(tmp_path):
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    for key, value in {"Copyright": RIGHTS, "Description": CAPTION, "Author": "Jane Doe", "Software": "Old"}.items():
        chunks.add_text(key, value)
    Image.fromarray(PIXELS).save(tmp_path / "a.png", pnginfo=chunks)
    photo = read_photo(tmp_path / "a.png")
    for suffix in (".png", ".jpg"):
        write_photo(tmp_path / f"b{suffix}", photo.pixels, photo, WORDS)
        with Image.open(tmp_path / f"b{suffix}") as written:
            now = said(written.info["xmp"])
            assert (now["dc:rights"], now["dc:creator"], now["dc:description"]) == ([RIGHTS], ["Jane Doe"], [CAPTION])
            if suffix == ".png":
                assert written.text["Copyright"] == RIGHTS
                assert written.text["Description"] == f"{CAPTION}\nsynthetic face swap"
                assert written.text["Software"].startswith("SimSwap Lab")


@pytest.mark.parametrize("own", [b"<x:xmpmeta", b"no xml", XMP.encode()[:700], b"<?xml version='1.0'?><a/>",
                                 b'<!DOCTYPE a [<!ENTITY b "cc">]><a>&b;</a>'])  # fmt: skip
def test_broken_xmp_is_left_out_and_said(own):
    packet, left_out = merged(own, WORDS, {})
    assert said(packet)["ext:DigitalSourceType"] == [DIGITAL_SOURCE]
    assert left_out == ["the photo's XMP, which is broken"]


def test_xmp_too_long_for_jpeg_loses_its_settings_before_its_rights(tmp_path):
    long = XMP.replace("LOOK", "x" * 70_000)
    Image.fromarray(PIXELS).save(tmp_path / "a.webp", xmp=long.encode(), lossless=True)
    photo = read_photo(tmp_path / "a.webp")
    assert write_photo(tmp_path / "b.jpg", photo.pixels, photo, WORDS) == ["XMP crs:Look"]
    assert write_photo(tmp_path / "b.png", photo.pixels, photo, WORDS) == []
    with Image.open(tmp_path / "b.jpg") as written:
        now = said(written.info["xmp"])
    assert (now["dc:rights"], now["dc:description"]) == ([RIGHTS], [CAPTION])
    assert "crs:Look" not in now


def test_exif_too_long_for_jpeg_loses_the_makers_note_first(tmp_path):
    exif = Image.Exif()
    exif[0x010E], exif[0x8298], exif[0x010F] = CAPTION, RIGHTS, "Maker"
    exif[0x8769] = {0x927C: bytes(40_000), 0x9286: b"ASCII\0\0\0" + bytes(40_000), 0x9003: "2024:01:02 03:04:05"}
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)
    photo = read_photo(tmp_path / "a.png")
    assert len(photo.exif) > 80_000
    assert write_photo(tmp_path / "b.png", photo.pixels, photo, WORDS) == []
    assert write_photo(tmp_path / "b.jpg", photo.pixels, photo, WORDS) == ["EXIF tag 0x927c"]
    with Image.open(tmp_path / "b.jpg") as written:
        kept = written.getexif()
        assert (kept[0x8298], kept[0x010F]) == (RIGHTS, "Maker")
        assert kept.get_ifd(0x8769)[0x9003] == "2024:01:02 03:04:05"
        assert len(kept.get_ifd(0x8769)[0x9286]) == 40_008


def test_exif_that_cannot_be_written_back_costs_that_tag_alone(tmp_path):
    exif = Image.Exif()
    exif[0x010F], exif[0x8298] = "Maker", RIGHTS
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=exif)
    with Image.open(tmp_path / "a.jpg") as image:
        broken = image.getexif()
        broken[0x0110] = object()
        broken[0x0103] = 6  # compression: of a TIFF's pixels
        content, left_out = clean_exif(broken)
    kept = Image.Exif()
    kept.load(content)
    assert dict(kept) == {0x010F: "Maker", 0x8298: RIGHTS}
    assert left_out == ["EXIF tag 0x0110"]


def test_no_picture_of_the_original_face_stays_in_exif(tmp_path):
    """The thumbnail of the second directory, and a preview in the maker's note."""
    import io

    small = io.BytesIO()
    Image.fromarray(PIXELS).save(small, "JPEG")
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif[0x8769] = {0x927C: b"PREVIEW\0" + small.getvalue(), 0xA002: 999, 0x9003: "2024:01:02 03:04:05"}
    content = bytearray(exif.tobytes()[6:])
    # a second directory behind the first: offset and length of a thumbnail (TIFF 6.0, tags 513 and 514)
    first = int.from_bytes(content[4:8], "little")
    link = first + 2 + 12 * int.from_bytes(content[first : first + 2], "little")
    at = len(content)
    content[link : link + 4] = at.to_bytes(4, "little")
    entries = [(0x0201, at + 30), (0x0202, len(small.getvalue()))]
    content += (2).to_bytes(2, "little")
    for tag, value in entries:
        content += tag.to_bytes(2, "little") + (4).to_bytes(2, "little") + (1).to_bytes(4, "little")
        content += value.to_bytes(4, "little")
    content += bytes(4) + small.getvalue()
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + bytes(content))
    assert (tmp_path / "a.jpg").read_bytes().count(b"\xff\xd8\xff") == 3
    photo = read_photo(tmp_path / "a.jpg")
    for suffix in (".jpg", ".png", ".webp"):
        left_out = write_photo(tmp_path / f"b{suffix}", photo.pixels, photo, WORDS)
        assert left_out == ["EXIF tag 0x927c"]
        assert (tmp_path / f"b{suffix}").read_bytes().count(b"\xff\xd8\xff") == (suffix == ".jpg")
        with Image.open(tmp_path / f"b{suffix}") as written:
            inner = written.getexif().get_ifd(0x8769)
        assert inner == {0x9003: "2024:01:02 03:04:05"}


def test_a_palettes_profile_stays(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(PIXELS).quantize(16).save(tmp_path / "a.png", icc_profile=profile)
    photo = read_photo(tmp_path / "a.png")
    for suffix in (".png", ".jpg", ".webp"):
        write_photo(tmp_path / f"b{suffix}", photo.pixels, photo, WORDS)
        with Image.open(tmp_path / f"b{suffix}") as written:
            assert written.info["icc_profile"] == profile
