"""Image files with their provenance, and the grid that shows swaps side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from simswap.files import atomic_write
from simswap.version import __version__

if TYPE_CHECKING:  # a comparison of runs writes images and should not wait for the import of torch
    from torch import Tensor

GAP = 4
"""White pixels between the pictures of a grid."""


# IPTC's term for a photo of which a trained network made a part
DIGITAL_SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


def provenance(checkpoint: str) -> dict[str, str]:
    """The provenance in every image with generated faces: synthetic, by which program, with which weights.

    Args:
        checkpoint: ``sha256:…`` of the file, or what identifies it during training.

    Returns:
        Texts by keyword, PNG's registered ones where they exist.
    """
    return {
        "Description": "synthetic face swap",
        "Software": f"SimSwap Lab {__version__}",
        "Checkpoint": checkpoint,
    }


def xmp_packet(words: Mapping[str, str]) -> bytes:
    """`provenance` as XMP, which photo tools show, with IPTC's digital source type."""
    text = {name: escape(value, {'"': "&quot;"}) for name, value in words.items()}
    own = "".join(f' simswap:{name}="{value}"' for name, value in text.items() if name.isidentifier())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:simswap="urn:simswap-lab:"'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
        f' Iptc4xmpExt:DigitalSourceType="{DIGITAL_SOURCE}" xmp:CreatorTool="{text["Software"]}"'
        f'{own}><dc:description><rdf:Alt><rdf:li xml:lang="x-default">'
        f"{text['Description']}</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"
        '<?xpacket end="w"?>'
    ).encode()


def png_text(words: Mapping[str, str]) -> PngInfo:
    """PNG's text chunks: each word under its keyword, and all of them as XMP."""
    return png_texts(words, xmp_packet(words))


def png_texts(words: Mapping[str, str], packet: bytes) -> PngInfo:
    """PNG's text chunks: each word under its keyword, long ones compressed, and an XMP packet."""
    chunks = PngInfo()
    for key, value in words.items():
        chunks.add_text(key, value, zip=len(value) > 1000)
    chunks.add_itxt("XML:com.adobe.xmp", packet.decode())
    return chunks


def write_png(path: Path, image: np.ndarray, text: Mapping[str, str] | None = None) -> None:
    """Write uint8 RGB [H, W, 3] as PNG, atomically; ``text`` goes into its text chunks, see `provenance`.

    Raises:
        ValueError: another shape or dtype.
        InputError: the path cannot be written.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"uint8 [H, W, 3] needed, got {image.dtype} {list(image.shape)}")
    with atomic_write(path) as part:
        Image.fromarray(image).save(part, format="PNG", pnginfo=png_text(text) if text else None)


def write_jpeg(path: Path, image: np.ndarray, words: Mapping[str, str] | None = None, quality: int = 90) -> None:
    """Write uint8 RGB [H, W, 3] as JPEG, atomically; ``words`` go into its XMP packet, see `provenance`.

    Raises:
        InputError: the path cannot be written.
    """
    content = b"http://ns.adobe.com/xap/1.0/\0" + xmp_packet(words) if words else b""
    segment = b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content if words else b""
    with atomic_write(path) as part:
        Image.fromarray(image).save(part, format="JPEG", quality=quality, extra=segment)


MARKS = ("AI face swap", "AI swap", "AI")
"""What the visible mark says, the longest first; a picture gets the longest that fits across it."""


def mark_synthetic(image: np.ndarray, alpha: np.ndarray | None = None) -> np.ndarray:
    """The image uint8 [H, W, 3] with a small visible mark, "AI face swap", in its lower right corner.

    Where not even the shortest of `MARKS` fits in letters of 8 px, smaller ones are used, down to 1 px.

    Args:
        image: uint8 [H, W, 3].
        alpha: uint8 [H, W] of a transparent image. The result is then uint8 [H, W, 4]: the mark is on white where the
            image is transparent, and opaque, so that it shows on any background and no hidden color shows through.
    """
    height, width = image.shape[:2]
    gap = max(1, min(height, width) // 100)
    words, font = _mark_that_fits(width - 2 * gap, height - 2 * gap)
    right, bottom = width - gap, height - gap
    box = ImageDraw.Draw(Image.new("RGBA", (1, 1))).textbbox((right, bottom), words, font=font, anchor="rd")
    left, top = (max(0, math.floor(side) - gap) for side in box[:2])
    corner = image[top:, left:]  # the rest of the image stays as it is
    picture = Image.fromarray(corner if alpha is None else on_white(corner, alpha[top:, left:])).convert("RGBA")
    layer = Image.new("RGBA", picture.size, (0, 0, 0, 110))
    ImageDraw.Draw(layer).text((right - left, bottom - top), words, font=font, anchor="rd", fill=(255, 255, 255, 220))
    marked = np.asarray(Image.alpha_composite(picture, layer).convert("RGB"))
    done = image.copy() if alpha is None else np.dstack([image, alpha])
    done[top:, left:, :3] = marked
    if alpha is not None:
        done[top:, left:, 3] = 255
    return done


@lru_cache(8)
def _mark_that_fits(width: int, height: int) -> tuple[str, ImageFont.FreeTypeFont | ImageFont.ImageFont]:
    """The longest mark in letters of a 40th of the image, at least 8 px; in a tiny image a smaller one."""
    usual = max(8, round(min(height, width) / 40))
    for size, choice in [(usual, MARKS), *((size, MARKS[-1:]) for size in range(7, 0, -1))]:
        font = ImageFont.load_default(size=size)
        for words in choice:
            box = font.getbbox(words)
            if box[2] - box[0] <= width and box[3] - box[1] <= height:
                return words, font
    return MARKS[-1], ImageFont.load_default(size=1)


def on_white(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """A transparent image, uint8 [H, W, 3] with alpha uint8 [H, W], on white: uint8 [H, W, 3]."""
    layers = Image.fromarray(np.dstack([image, alpha]))
    return np.asarray(Image.alpha_composite(Image.new("RGBA", layers.size, (255,) * 4), layers).convert("RGB"))


def swap_grid(targets: Tensor, sources: Tensor, swaps: Tensor) -> np.ndarray:
    """Targets on the left, sources on top, and the swap where they meet; white between and in the corner.

    Args:
        targets: uint8 [T, 3, H, W].
        sources: uint8 [S, 3, H, W].
        swaps: uint8 [T, S, 3, H, W]; ``swaps[t, s]`` puts the identity of source s on target t.

    Returns:
        uint8 RGB [(T + 1) * H + T * GAP, (S + 1) * W + S * GAP, 3].

    Raises:
        ValueError: shapes or dtypes that do not fit.
    """
    rows, columns = len(targets), len(sources)
    size = targets.shape[1:]
    if targets.ndim != 4 or size[0] != 3 or sources.shape[1:] != size or swaps.shape != (rows, columns, *size):
        raise ValueError(
            f"[T, 3, H, W], [S, 3, H, W] and [T, S, 3, H, W] needed, got {list(targets.shape)}, "
            f"{list(sources.shape)} and {list(swaps.shape)}"
        )
    names = {"targets": targets, "sources": sources, "swaps": swaps}
    pictures = {name: tensor.detach().movedim(-3, -1).cpu().numpy() for name, tensor in names.items()}
    for name, picture in pictures.items():
        if picture.dtype != np.uint8:
            raise ValueError(f"{name} must be uint8, got {picture.dtype}")
    height, width = size[1], size[2]
    grid = np.full(((rows + 1) * (height + GAP) - GAP, (columns + 1) * (width + GAP) - GAP, 3), 255, dtype=np.uint8)

    def paste(row: int, column: int, picture: np.ndarray) -> None:
        top, left = row * (height + GAP), column * (width + GAP)
        grid[top : top + height, left : left + width] = picture

    for column in range(columns):
        paste(0, column + 1, pictures["sources"][column])
    for row in range(rows):
        paste(row + 1, 0, pictures["targets"][row])
        for column in range(columns):
            paste(row + 1, column + 1, pictures["swaps"][row, column])
    return grid
