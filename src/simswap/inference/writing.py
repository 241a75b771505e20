"""Swapped photographs to disk: what a format cannot hold is refused before the work, and metadata is kept."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from simswap.errors import InputError
from simswap.faces.detection import Pixels
from simswap.files import atomic_write
from simswap.inference import iptc, xmp
from simswap.inference.exif import shortened_exif
from simswap.inference.photos import Photo
from simswap.pictures import mark_synthetic, on_white, png_texts

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
JPEG_QUALITY = 95
# Pixels along one side: libjpeg's limit is below the format's own (65,535); PNG's is beyond what is read.
LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}
_SEGMENT = 65_533  # bytes in one of JPEG's segments
_XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
_ICC_BYTES = 255 * (_SEGMENT - 14)  # JPEG numbers a profile's parts with one byte

# PNG's registered keywords → the XMP property of the same meaning, for formats without text chunks
_TEXT_PROPERTIES = {
    "Title": ("dc:title", "Alt"), "Author": ("dc:creator", "Seq"), "Copyright": ("dc:rights", "Alt"),
    "Description": ("dc:description", "Alt"), "Source": ("photoshop:Source", ""),
}  # fmt: skip


def check_output(path: Path) -> None:
    """Check the output path.

    Raises:
        InputError: its format or name cannot be written, or it exists.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"out={path}: pictures are written as {', '.join(FORMATS)}")
    check_place(path)


def check_place(path: Path) -> None:
    """Check that nothing has this path, and that it can be written.

    Raises:
        InputError: otherwise.
    """
    if os.path.lexists(path):
        raise InputError(f"out={path} already exists, and nothing is overwritten: choose another name")
    there = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    if not there.is_dir():
        raise InputError(f"out={path}: {there} is a file and not a folder; choose another place")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"out={path}: the folder {there} cannot be written to; choose another place")


def check_size(path: Path, size: tuple[int, int]) -> None:
    """Check that the format of `path` supports this width and height, in any order.

    Raises:
        InputError: it does not.
    """
    kind = FORMATS[path.suffix.lower()]
    if max(size) > LONGEST_SIDE.get(kind, max(size)):
        others = [suffix for suffix, other in FORMATS.items() if max(size) <= LONGEST_SIDE.get(other, max(size))]
        raise InputError(
            f"out={path}: {kind} holds at most {LONGEST_SIDE[kind]} pixels along a side, and the photo "
            f"has {size[0]} x {size[1]}; write it as {' or '.join(others)}"
        )


def check_fits(path: Path, photo: Photo) -> None:
    """Check that the format of `path` can hold the photo.

    Raises:
        InputError: it cannot.
    """
    check_size(path, (photo.pixels.shape[1], photo.pixels.shape[0]))
    profile = len(photo.profile or b"")
    if FORMATS[path.suffix.lower()] == "JPEG" and profile > _ICC_BYTES:
        raise InputError(f"out={path}: JPEG holds no ICC profile of {profile} bytes; write it as .png")


def write_photo(path: Path, pixels: Pixels, like: Photo, words: Mapping[str, str], mark: bool = False) -> list[str]:
    """Write a changed photo with the metadata of `like` and its provenance (`provenance`).

    Args:
        path: of the result.
        pixels: uint8 [H, W, 3].
        like: the original photo.
        words: provenance.
        mark: with the visible mark (`pictures.mark_synthetic`). JPEG, which has no transparency, shows the photo on
            white.

    Returns:
        The metadata that could not be kept, as text.

    Raises:
        InputError: as for `atomic_write`.
    """
    kind = FORMATS[path.suffix.lower()]
    alpha = like.alpha
    if alpha is not None and kind == "JPEG":
        pixels, alpha = on_white(pixels, alpha), None
    plain = pixels if alpha is None else np.dstack([pixels, alpha])
    layers = mark_synthetic(pixels, alpha) if mark else plain
    settings, left_out = _metadata(kind, like, words)
    given = {name: value for name, value in settings.items() if value}
    with atomic_write(path) as part:
        Image.fromarray(layers).save(part, format=kind, **given)
    return [*like.left_out, *left_out]


def _metadata(kind: str, like: Photo, words: Mapping[str, str]) -> tuple[dict[str, object], list[str]]:
    """Pillow's settings for a format, and the omitted metadata."""
    facts = {name: value for name, value in iptc.properties(like.iptc).items() if value[1]}
    for key, (name, form) in _TEXT_PROPERTIES.items():
        if like.texts.get(key):
            facts.setdefault(name, (form, [like.texts[key]]))
    limit = _SEGMENT - len(_XMP_NAME) if kind == "JPEG" else None
    packet, left_out = xmp.merged(like.xmp, words, facts, limit)
    settings: dict[str, object] = {"icc_profile": like.profile, "exif": like.exif}
    if kind == "PNG":
        own = like.texts.get("Description")
        texts = {**like.texts, **words}
        if own and words["Description"] not in own:
            texts["Description"] = f"{own}\n{words['Description']}"
        if like.iptc:
            texts[iptc.PNG_KEY] = iptc.png_value(like.iptc)
        return settings | {"pnginfo": png_texts(texts, packet)}, left_out
    if kind == "WEBP":
        return settings | {"lossless": True, "exact": True, "xmp": packet}, left_out
    if len(like.exif) > _SEGMENT:
        settings["exif"], too_long = shortened_exif(like.exif, _SEGMENT)
        left_out += too_long
    older = iptc.jpeg_segment(like.iptc) if like.iptc else b""
    if like.iptc and not older:
        left_out.append("IPTC's older form (its captions and credits are in the XMP)")
    comment = like.texts.get("Comment", "").encode()
    if len(comment) > _SEGMENT:
        comment = b""
        left_out.append("the comment")
    extra = _segment(_XMP_NAME + packet) + older
    return settings | {
        "quality": JPEG_QUALITY,
        "subsampling": 0,
        "extra": extra,
        "comment": comment,
    }, left_out


def _segment(content: bytes) -> bytes:
    """JPEG's APP1 with this content (Adobe XMP specification, part 3)."""
    return b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content
