"""Color tags of videos, and conversion between their samples and 8-bit RGB."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from simswap.errors import InputError
from simswap.faces.detection import Pixels
from simswap.pictures import on_white

LIMITED, FULL = 1, 2
UNSPECIFIED = 2
PQ, HLG = 16, 18
RGB_MATRIX, BT709, BT2020 = 0, 1, 9
# The matrix tags (ITU-T H.273, table 4) → the matrix that converts them. Unspecified is taken for BT.601, as FFmpeg and
# OpenCV do; 5 and 6 are BT.601 for 625 and 525 lines.
_MATRICES = {0: 5, 1: 1, 2: 5, 3: 5, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}


@dataclass(frozen=True)
class ColorTags:
    """The color tags of a stream, as numbers of ITU-T H.273; 2 is unspecified.

    Attributes:
        primaries: 1 BT.709, 5 and 6 BT.601, 9 BT.2020, 12 Display P3.
        transfer: 1 BT.709, 13 sRGB, 16 PQ, 18 HLG.
        matrix: 0 RGB, 1 BT.709, 5 and 6 BT.601, 9 BT.2020.
        range: FFmpeg's numbers: 0 unspecified (limited), 1 limited (16 to 235), 2 full (0 to 255).
    """

    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    matrix: int = UNSPECIFIED
    range: int = 0

    @property
    def hdr(self) -> str | None:
        """``pq``, ``hlg``, or None for standard dynamic range."""
        return {PQ: "pq", HLG: "hlg"}.get(self.transfer)

    @property
    def full(self) -> bool:
        """Whether samples span 0 to 255, not 16 to 235."""
        return self.range == FULL

    def written(self) -> "ColorTags":
        """The tags of a file that is written from these: the same, but BT.709 for high dynamic range and for RGB."""
        if self.hdr is not None:
            return ColorTags(BT709, BT709, BT709, LIMITED)
        if self.matrix == RGB_MATRIX:
            known = self.primaries != UNSPECIFIED and self.transfer != UNSPECIFIED
            return ColorTags(self.primaries if known else BT709, self.transfer if known else 13, BT709, LIMITED)
        return self


def color_tags(frame: Any, path: object) -> ColorTags:
    """The tags of a decoded frame (``av.VideoFrame``).

    Raises:
        InputError: its matrix is none that can be converted.
    """
    matrix = RGB_MATRIX if frame.format.is_rgb else int(frame.colorspace)
    if matrix not in _MATRICES:
        raise InputError(
            f"{path}: its colors are coded with matrix {matrix} of ITU-T H.273, which is not converted; "
            "convert it to BT.709 first"
        )
    if "DOVI_METADATA" in {data.type.name for data in frame.side_data} and matrix == UNSPECIFIED:
        raise InputError(f"{path}: Dolby Vision without a base layer is not converted; convert it to BT.709 first")
    full = frame.format.name.startswith("yuvj")
    return ColorTags(int(frame.color_primaries), int(frame.color_trc), matrix, FULL if full else int(frame.color_range))


def has_alpha(frame: Any) -> bool:
    """Whether a decoded frame has transparency."""
    return frame.format.name == "pal8" or any(part.is_alpha for part in frame.format.components)


def to_rgb(frame: Any, tags: ColorTags) -> Pixels:
    """A decoded frame of standard dynamic range as uint8 [H, W, 3] RGB, not turned; transparency is shown on white.

    The same conversion as OpenCV's, bit for bit: chroma of 8-bit 4:2:0 is repeated, values are within 3 of the exact
    formula's. For other formats swscale rounds RGB and BGR differently, and OpenCV asks for BGR.
    """
    given = {"src_colorspace": _MATRICES[tags.matrix], "src_color_range": tags.range or None, "dst_color_range": FULL}
    if has_alpha(frame):
        layers = frame.reformat(format="rgba", **given).to_ndarray()
        return on_white(np.ascontiguousarray(layers[..., :3]), np.ascontiguousarray(layers[..., 3]))
    if frame.format.name in _QUICK:
        return frame.reformat(format="rgb24", **given).to_ndarray()
    picture = frame.reformat(format="bgr24", interpolation=_BICUBIC, **given).to_ndarray()
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def to_rgb48(frame: Any, tags: ColorTags) -> np.ndarray:
    """A decoded frame as uint16 [H, W, 3], the non-linear RGB codes over the whole range, not turned."""
    given = {"src_colorspace": _MATRICES[tags.matrix], "src_color_range": tags.range or None, "dst_color_range": FULL}
    return frame.reformat(format="rgb48le", interpolation=_ACCURATE, **given).to_ndarray()


_QUICK = ("yuv420p", "yuvj420p")
_BICUBIC = 4  # swscale's SWS_BICUBIC
_ACCURATE = 0x40000 | _BICUBIC  # swscale's SWS_ACCURATE_RND | SWS_BICUBIC
# red's and blue's share of luma by matrix (ITU-T H.273, table 4)
_LUMA = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}


def to_samples(tags: ColorTags) -> np.ndarray:
    """The matrix [3, 4] from 8-bit RGB and a constant 1 to 8-bit Y', Cb and Cr (ITU-T H.273, equations 25 to 40)."""
    red, blue = _LUMA[_MATRICES[tags.matrix]]
    luma = np.array([red, 1 - red - blue, blue])
    of_blue = (np.array([0, 0, 1]) - luma) / (2 - 2 * blue)
    of_red = (np.array([1, 0, 0]) - luma) / (2 - 2 * red)
    if tags.full:
        return np.column_stack([np.stack([luma, of_blue, of_red]), [0, 128, 128]])
    return np.column_stack([np.stack([219 * luma, 224 * of_blue, 224 * of_red]) / 255, [16, 128, 128]])


def from_rgb(av: Any, pixels: Pixels, tags: ColorTags, form: str) -> Any:
    """uint8 RGB [H, W, 3] as a frame (``av.VideoFrame``) with these tags.

    ``form`` is ``yuv444p`` or ``yuv420p``, whose chroma is the mean of the four pixels that it covers.
    """
    height, width = pixels.shape[:2]
    frame = av.VideoFrame(width, height, form)
    y, cb, cr = planes(frame)
    matrix = to_samples(tags)
    y[:] = cv2.transform(pixels, matrix[:1])
    if form == "yuv420p":
        if height % 2 or width % 2:
            pixels = cv2.copyMakeBorder(pixels, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)  # type: ignore
        pixels = cv2.resize(pixels, cb.shape[::-1], interpolation=cv2.INTER_AREA)  # type: ignore
    chroma = cv2.transform(pixels, matrix[1:])
    cb[:], cr[:] = chroma[..., 0], chroma[..., 1]
    return frame


def planes(frame: Any) -> list[np.ndarray]:
    """Writable views of the planes of an 8-bit planar frame, uint8 [rows, columns] each."""
    views = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        views.append(rows[: plane.height, : plane.width])
    return views


def keep_unchanged(base: list[np.ndarray], old: Any, new: Any) -> None:
    """Put the samples ``base`` of a decoded picture into ``new`` where it does not differ from ``old``.

    ``old`` is the decoded picture converted to RGB and back, ``new`` the changed one; both are frames of one format.
    Where they differ, up to 3 levels of what the conversion to RGB and back costs are given back, and more where they
    differ by less than 8, so that no edge shows.
    """
    for place, before, after in zip(base, planes(old), planes(new), strict=True):
        rows = np.flatnonzero((before != after).any(1))
        if not len(rows):
            after[:] = place
            continue
        top, bottom = rows[0], rows[-1] + 1
        after[:top], after[bottom:] = place[:top], place[bottom:]
        was, here = before[top:bottom], after[top:bottom]
        lost = cv2.subtract(place[top:bottom], was, dtype=cv2.CV_16S)
        most = np.maximum(3, 255 - 32 * cv2.absdiff(was, here).astype(np.int16))
        here[:] = cv2.add(np.clip(lost, -most, most), here, dtype=cv2.CV_8U)
