"""IPTC's older form of captions and credits (IIM, "Information Interchange Model"), read and written.

JPEG has it in a Photoshop block of segment APP13, TIFF in a tag, PNG as a text chunk in ImageMagick's form.
"""

import re
import struct
from collections.abc import Iterator
from typing import Any

from PIL import Image

RESOURCE = 0x0404  # Photoshop's number for IIM
_TIFF_IPTC, _TIFF_PHOTOSHOP = 0x83BB, 0x8649
PNG_KEY = "Raw profile type iptc"
_LONGEST_SEGMENT = 65_533

# dataset of record 2 → the XMP property of the same meaning (IPTC photo metadata standard), and its form there
PROPERTIES = {
    5: ("dc:title", "Alt"), 120: ("dc:description", "Alt"), 116: ("dc:rights", "Alt"), 80: ("dc:creator", "Seq"),
    25: ("dc:subject", "Bag"), 110: ("photoshop:Credit", ""), 115: ("photoshop:Source", ""),
    105: ("photoshop:Headline", ""), 40: ("photoshop:Instructions", ""), 85: ("photoshop:AuthorsPosition", ""),
    122: ("photoshop:CaptionWriter", ""), 90: ("photoshop:City", ""), 95: ("photoshop:State", ""),
    101: ("photoshop:Country", ""), 103: ("photoshop:TransmissionReference", ""),
}  # fmt: skip


def read_iptc(image: Image.Image) -> bytes:
    """An image's IIM as in the file; empty if there is none."""
    tags: Any = getattr(image, "tag_v2", {})
    blocks: Any = image.info.get("photoshop")
    if isinstance(blocks, dict) and isinstance(blocks.get(RESOURCE), bytes):
        return blocks[RESOURCE]
    if _TIFF_IPTC in tags:
        value = tags[_TIFF_IPTC]
        if isinstance(value, tuple) and all(isinstance(number, int) for number in value):
            # some programs declare it as 32-bit numbers, in the file's byte order
            order = "<" if tags.prefix == b"II" else ">"
            value = struct.pack(f"{order}{len(value)}L", *value) if max(value) > 255 else bytes(value)
        return value if isinstance(value, bytes) else b""
    if isinstance(tags.get(_TIFF_PHOTOSHOP), bytes):
        return _resource(tags[_TIFF_PHOTOSHOP])
    raw = image.info.get(PNG_KEY)
    if isinstance(raw, str):
        digits = "".join(raw.split()[2:])
        if re.fullmatch(r"([0-9a-fA-F]{2})+", digits):
            content = bytes.fromhex(digits).removeprefix(b"Photoshop 3.0\0")
            return _resource(content) if content.startswith(b"8BIM") else content
    return b""


def properties(content: bytes) -> dict[str, tuple[str, list[str]]]:
    """The content of IIM as XMP properties: property → form ("Alt", "Seq", "Bag" or "") and values."""
    found = list(_datasets(content))
    utf8 = any((record, number, value) == (1, 90, b"\x1b%G") for record, number, value in found)
    said: dict[str, tuple[str, list[str]]] = {}
    for record, number, value in found:
        if record == 2 and number in PROPERTIES and value:
            name, form = PROPERTIES[number]
            said.setdefault(name, (form, []))[1].append(_text(value, utf8))
    return said


def jpeg_segment(content: bytes) -> bytes:
    """JPEG's APP13 with this IIM; empty if it is too long for a segment."""
    block = b"Photoshop 3.0\0" + _block(content)
    return b"" if len(block) > _LONGEST_SEGMENT else b"\xff\xed" + struct.pack(">H", len(block) + 2) + block


def png_value(content: bytes) -> str:
    """The text of PNG's chunk `PNG_KEY`."""
    block = _block(content)
    return f"\niptc\n{len(block):8}\n" + "\n".join(re.findall(".{1,72}", block.hex())) + "\n"


def _block(content: bytes) -> bytes:
    return b"8BIM" + struct.pack(">HHL", RESOURCE, 0, len(content)) + content + b"\0" * (len(content) % 2)


def _resource(blocks: bytes) -> bytes:
    """The IIM in a row of Photoshop's blocks: signature, number, padded name, length, padded content."""
    at = 0
    while blocks[at : at + 4] == b"8BIM" and at + 12 <= len(blocks):
        (number,) = struct.unpack_from(">H", blocks, at + 4)
        name = blocks[at + 6] + 1
        at += 6 + name + name % 2
        if at + 4 > len(blocks):
            break
        (length,) = struct.unpack_from(">L", blocks, at)
        if number == RESOURCE:
            return blocks[at + 4 : at + 4 + length]
        at += 4 + length + length % 2
    return b""


def _datasets(content: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Record, number and value of each dataset; ends at the first damaged one."""
    at = 0
    while at + 5 <= len(content) and content[at] == 0x1C:
        record, number, length = struct.unpack_from(">BBH", content, at + 1)
        if length & 0x8000 or at + 5 + length > len(content):  # extended lengths are for pictures inside
            return
        yield record, number, content[at + 5 : at + 5 + length]
        at += 5 + length


def _text(value: bytes, utf8: bool) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("utf-8", "replace") if utf8 else value.decode("latin-1")
