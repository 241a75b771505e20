"""Small photos with profiles and metadata that the tests write."""

import struct

from PIL import ImageCms

CAPTION, CREDIT, RIGHTS = "Two friends in Zürich", "Jane Doe / Agency", "(c) 2024 Jane Doe"

XMP = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="uuid:7" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
 xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" photoshop:Credit="{CREDIT}"
 xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 e:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="Camera 1.0"
 xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/" crs:Look="LOOK">
<xmp:Thumbnails><rdf:Alt><rdf:li>/9j/4AAQSkZJRgABAQ</rdf:li></rdf:Alt></xmp:Thumbnails>
<dc:rights xmlns:dc="http://purl.org/dc/elements/1.1/"><rdf:Alt><rdf:li xml:lang="x-default">{RIGHTS}</rdf:li></rdf:Alt>
</dc:rights><dc:description xmlns:dc="http://purl.org/dc/elements/1.1/"><rdf:Alt>
<rdf:li xml:lang="x-default">{CAPTION}</rdf:li></rdf:Alt></dc:description>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""


def iim(**datasets: str) -> bytes:
    """IPTC's older form with UTF-8 values: ``d120="caption"`` is dataset 2:120."""
    entries = [(1, 90, b"\x1b%G"), *((2, int(name[1:]), value.encode()) for name, value in datasets.items())]
    return b"".join(struct.pack(">BBBH", 0x1C, record, number, len(v)) + v for record, number, v in entries)


def photoshop_block(content: bytes, number: int = 0x0404) -> bytes:
    return b"8BIM" + struct.pack(">HHL", number, 0, len(content)) + content + b"\0" * (len(content) % 2)


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def wide_profile() -> bytes:
    """sRGB's profile with the primaries of ROMM RGB ("ProPhoto"), which reach far beyond sRGB."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    wanted = {b"rXYZ": (0.7977, 0.2880, 0.0), b"gXYZ": (0.1352, 0.7119, 0.0), b"bXYZ": (0.0313, 0.0001, 0.8249)}
    for k in range(struct.unpack_from(">L", content, 128)[0]):
        name, offset, _ = struct.unpack_from(">4sLL", content, 132 + 12 * k)
        if name in wanted:
            struct.pack_into(">3l", content, offset + 8, *(round(v * 65536) for v in wanted[name]))
    return bytes(content)
