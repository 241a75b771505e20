"""A photo's EXIF for a swapped photo: what stays true and shows nothing of the original face.

Tags that would prevent the others from being written are removed too.
"""

import struct
from collections.abc import Mapping
from typing import Any

from PIL import Image

EXIF_IFD, GPS_IFD, INTEROP_IFD = 0x8769, 0x8825, 0xA005
MAKER_NOTE = 0x927C
_TITLES = (0x010E, 0x013B, 0x8298)  # description, artist, copyright: the last to be left out

# How a TIFF file keeps its pixels, pages and previews, and what has a place of its own (XMP, IPTC, Photoshop, ICC):
# Pillow gives a TIFF's whole first directory as EXIF. Orientation is applied; Software names the last program.
_NOT_OURS = frozenset(
    {
        *range(0x00FE, 0x0108),
        0x010A,
        0x0111,
        0x0112,
        0x0115,
        *range(0x0116, 0x011A),
        0x011C,
        *range(0x0120, 0x0126),
        0x012D,
        0x0131,
        0x013D,
        0x013E,
        0x013F,
        0x0140,
        *range(0x0141, 0x0150),
        *range(0x0152, 0x0160),
        *range(0x0200, 0x0215),
        0x02BC,
        0x83BB,
        0x8649,
        0x8773,
        0x935C,
        *range(0xC612, 0xC7B6),
    }
)
_SIZE_OF_BEFORE = (0xA002, 0xA003)  # the picture's width and height, which a turn exchanges


def clean_exif(exif: Image.Exif) -> tuple[bytes, list[str]]:
    """EXIF for a swapped photo, as bytes (empty if nothing remains), and a text for each removed part.

    Removed silently: orientation, sizes, the thumbnail, Software, and the layout of a TIFF file's pixels. Removed with
    a text: tags that contain a JPEG (a preview shows the original face), and those that cannot be written back.
    """
    inner = {tag: _directory(exif, tag) for tag in (EXIF_IFD, GPS_IFD)}
    inner[EXIF_IFD] = {tag: value for tag, value in inner[EXIF_IFD].items() if tag not in _SIZE_OF_BEFORE}
    if INTEROP_IFD in inner[EXIF_IFD]:
        inner[EXIF_IFD][INTEROP_IFD] = _directory(exif, INTEROP_IFD)
    outer = {tag: _value(exif, tag) for tag in list(exif) if tag not in _NOT_OURS and tag not in inner}
    kept, left_out = Image.Exif(), []
    for tag, value in outer.items():
        if _fits(tag, value):
            kept[tag] = value
        else:
            left_out.append(tag)
    for directory, values in inner.items():
        good = {tag: value for tag, value in values.items() if value and _fits(directory, {tag: value})}
        left_out += [tag for tag in values if tag not in good]
        if good:
            kept[directory] = good
    return _bytes(kept), [f"EXIF tag {tag:#06x}" for tag in left_out]


def shortened_exif(content: bytes, limit: int) -> tuple[bytes, list[str]]:
    """The EXIF, reduced to `limit` bytes, and the removed tags as text.

    The maker's note goes first, then the longest tags; description, artist and copyright last.
    """
    exif = Image.Exif()
    exif.load(content)
    outer = {tag: exif[tag] for tag in exif if tag not in (EXIF_IFD, GPS_IFD)}
    inner = {tag: dict(exif.get_ifd(tag)) for tag in (EXIF_IFD, GPS_IFD) if tag in exif}
    if INTEROP_IFD in inner.get(EXIF_IFD, {}):
        inner[EXIF_IFD][INTEROP_IFD] = dict(exif.get_ifd(INTEROP_IFD))
    left_out = []
    while len(content) > limit:
        places = [(outer, tag) for tag in outer] + [(ifd, tag) for ifd in inner.values() for tag in ifd]
        group, tag = max(places, key=lambda place: _goes_first(place[1], place[0][place[1]]))
        del group[tag]
        left_out.append(f"EXIF tag {tag:#06x}")
        kept = Image.Exif()
        for number, value in {**outer, **{name: ifd for name, ifd in inner.items() if ifd}}.items():
            kept[number] = value
        content = _bytes(kept)
    return content, left_out


def _goes_first(tag: int, value: Any) -> tuple[bool, bool, int]:
    return tag == MAKER_NOTE, tag not in _TITLES, len(value) if hasattr(value, "__len__") else 1


def _directory(exif: Image.Exif, tag: int) -> dict[int, Any]:
    try:
        return dict(exif.get_ifd(tag))
    except Exception:  # a broken pointer or directory makes Pillow raise nearly anything; the other tags stay
        return {}


def _value(exif: Image.Exif, tag: int) -> Any:
    try:
        return exif[tag]
    except Exception:  # as above
        return None


def _fits(tag: int, value: Any) -> bool:
    """Whether this tag alone can be written, and contains no image."""
    inner = value.values() if isinstance(value, Mapping) else [value]
    if any(isinstance(item, bytes) and b"\xff\xd8\xff" in item for item in inner):
        return False
    alone = Image.Exif()
    alone[tag] = value
    try:
        return value is not None and bool(alone.tobytes())
    except Exception:  # Pillow checks nothing before it packs: struct.error, TypeError, AttributeError, …
        return False


def _bytes(exif: Image.Exif) -> bytes:
    try:
        return exif.tobytes() if len(exif) else b""
    except (struct.error, ValueError, TypeError, OverflowError):  # each tag can be written, all together cannot
        return b""
