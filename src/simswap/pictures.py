"""Image files out, with a word on where they come from, and the grid that shows swaps side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from simswap import __version__
from simswap.files import whole_file

if TYPE_CHECKING:  # a comparison of runs writes pictures and need not wait for torch
    from torch import Tensor

GAP = 4
"""White pixels between the pictures of a grid."""


# IPTC's term for a photo of which a trained network made a part
DIGITAL_SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


def provenance(checkpoint: str) -> dict[str, str]:
    """What every picture with generated faces says of itself: that it is synthetic, made by what, with which weights.

    checkpoint: ``sha256:…`` of the file, or what there is of it during training. Keys are PNG's registered keywords
    where there are any.
    """
    return {
        "Description": "synthetic face swap",
        "Software": f"SimSwap Lab {__version__}",
        "Checkpoint": checkpoint,
    }


def xmp_packet(words: Mapping[str, str]) -> bytes:
    """The same as XMP, the form that photo tools show, with IPTC's digital source type. Takes `provenance`'s words."""
    text = {name: escape(value, {'"': "&quot;"}) for name, value in words.items()}
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:simswap="urn:simswap-lab:"'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
        f' Iptc4xmpExt:DigitalSourceType="{DIGITAL_SOURCE}" xmp:CreatorTool="{text["Software"]}"'
        f' simswap:Checkpoint="{text["Checkpoint"]}"><dc:description><rdf:Alt><rdf:li xml:lang="x-default">'
        f"{text['Description']}</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"
        '<?xpacket end="w"?>'
    ).encode()


def png_text(words: Mapping[str, str]) -> PngInfo:
    """PNG's text chunks: each word under its keyword, and all of them as XMP."""
    chunks = PngInfo()
    for key, value in words.items():
        chunks.add_text(key, value)
    chunks.add_itxt("XML:com.adobe.xmp", xmp_packet(words).decode())
    return chunks


def write_png(path: Path, image: np.ndarray, text: Mapping[str, str] | None = None) -> None:
    """Write uint8 RGB [H, W, 3] as PNG, whole or not at all; ``text`` goes into its text chunks (see provenance()).

    Raises ValueError for another shape or dtype, InputError for a path that cannot be written.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"uint8 [H, W, 3] needed, got {image.dtype} {list(image.shape)}")
    with whole_file(path) as part:
        Image.fromarray(image).save(part, format="PNG", pnginfo=png_text(text) if text else None)


def mark_synthetic(image: np.ndarray) -> np.ndarray:
    """The picture uint8 [H, W, 3] with a small visible mark, "AI face swap", in its lower right corner."""
    height, width = image.shape[:2]
    picture = Image.fromarray(image).convert("RGBA")
    layer = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    font = ImageFont.load_default(size=max(8, round(min(height, width) / 40)))
    words, gap = "AI face swap", max(2, min(height, width) // 100)
    box = draw.textbbox((width - gap, height - gap), words, font=font, anchor="rd")
    draw.rectangle((box[0] - gap, box[1] - gap, width, height), fill=(0, 0, 0, 110))
    draw.text((width - gap, height - gap), words, font=font, anchor="rd", fill=(255, 255, 255, 220))
    return np.asarray(Image.alpha_composite(picture, layer).convert("RGB"))


def swap_grid(targets: Tensor, sources: Tensor, swaps: Tensor) -> np.ndarray:
    """Targets down the left, sources along the top, and where they meet the swap; white between and in the corner.

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
        raise ValueError(f"[T, 3, H, W], [S, 3, H, W] and [T, S, 3, H, W] needed, got {list(targets.shape)}, "
                         f"{list(sources.shape)} and {list(swaps.shape)}")
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
