"""Image files of any common type as uint8 RGB, or an error with the reason why not."""

import errno
import io
import os
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from simswap.data.damage import Damaged, check_whole, decode_jpeg, decode_png
from simswap.data.jpeg_header import plain_jpeg_shape
from simswap.faces.detection import Pixels
from simswap.launching.system_errors import is_shortage
from simswap.stand_ins import HEAD, what_it_is

# 12,000 x 12,000 still fits; a larger image takes half a gigabyte in every worker and is no photo of a face.
LIMIT_PIXELS = 160_000_000

_ORIENTATION_TAG = 0x0112
# OpenCV's own flag for RGB (4.11 and later) goes without IMREAD_COLOR; a conversion afterwards reads every pixel again.
_HAS_RGB = hasattr(cv2, "IMREAD_COLOR_RGB")
_PNG = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
_COLOR = (cv2.IMREAD_COLOR_RGB if _HAS_RGB else cv2.IMREAD_COLOR) | cv2.IMREAD_IGNORE_ORIENTATION
# factor → flags; OpenCV names the reduction alone "grayscale", and the flags for color decide over the channels.
_JPEG = {
    1: _COLOR,
    2: _COLOR | cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: _COLOR | cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: _COLOR | cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
FACTORS = tuple(_JPEG)
"""By these libjpeg can reduce an image while it decodes it."""
_WHITE = (255, 255, 255, 255)


# Temporary errors of network drives; the same file can be read a little later.
_PASSING = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.ENETDOWN,
            errno.ENETUNREACH, errno.ENETRESET, errno.ECONNRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENOBUFS,
            getattr(errno, "EREMOTEIO", errno.EIO), errno.ENOMEM, errno.EMFILE, errno.ENFILE}  # fmt: skip
_WAITS = (0.1, 0.5)  # seconds before the second and third try

CANNOT_BE_OPENED, NO_MEMORY = "cannot be opened: ", "not enough memory to decode it"
"""How the reasons begin that may have passed by the next run; what is wrong with a file itself does not pass."""


class UnreadableImage(Exception):
    """A file that cannot be used as an image; ``reason`` says why, in a few words without the path."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def may_pass(reason: str) -> bool:
    """Whether the file may become readable later, because the disk, the network or memory failed."""
    return reason.startswith((CANNOT_BE_OPENED, NO_MEMORY))


def read_image(path: str | os.PathLike[str]) -> Pixels:
    """The image in a file as uint8 [H, W, 3] RGB, upright (EXIF orientation applied).

    Gray, palette, CMYK and 16-bit images are converted, transparency becomes white, and of an animation the first frame
    is used. Temporary errors of a disk or network are retried.

    Raises:
        UnreadableImage: the file cannot be opened, is no image, is damaged, or has more than ``LIMIT_PIXELS``
            pixels.
    """
    return decode_image(_content(Path(path)))


@dataclass(frozen=True)
class Photo:
    """An image, perhaps decoded at a fraction of its size.

    Attributes:
        pixels: uint8 [h, w, 3] RGB, upright. Pixel (x, y) stands for the block of ``factor`` x ``factor`` pixels that
            begins at ``factor`` * (x, y), so its center lies at ``factor`` * (x, y) + (``factor`` - 1) / 2. The last
            row and column of blocks may reach over the edge.
        factor: 1, 2, 4 or 8.
        shape: height and width of the full image.
    """

    pixels: Pixels
    factor: int
    shape: tuple[int, int]


def read_photo(path: str | os.PathLike[str], factor: int) -> Photo:
    """`read_image`, where 1/factor of the size is enough: a plain, upright JPEG is decoded at that size.

    libjpeg then computes fewer pixels from the same data, all of which it reads, so damage is found as in a full
    decode. Other images have no such shortcut and are decoded in full.

    Args:
        path: of the file.
        factor: one of `FACTORS`.

    Raises:
        UnreadableImage: as `read_image`.
    """
    return _decode(_content(Path(path)), factor)


def read_shape(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Height and width of the upright image in a file, from its header alone.

    Raises:
        UnreadableImage: the file is no image, or cannot be opened.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                turned = image.getexif().get(_ORIENTATION_TAG, 1) in (5, 6, 7, 8)
                return (image.width, image.height) if turned else (image.height, image.width)
    except Exception as error:  # broken bytes make Pillow raise nearly anything
        raise UnreadableImage("no image") from error


def _content(path: Path) -> bytes:
    for wait in (*_WAITS, None):
        try:
            return path.read_bytes()
        except OSError as error:
            if wait is None and is_shortage(error):
                raise  # not this file's fault: the next one would fail too
            if wait is None or error.errno not in _PASSING:
                raise UnreadableImage(f"{CANNOT_BE_OPENED}{error.strerror or error}") from error
            time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def decode_image(data: bytes) -> Pixels:
    """`read_image` for the bytes of a file."""
    return _decode(data, 1).pixels


def _decode(data: bytes, factor: int) -> Photo:
    if not data:
        raise UnreadableImage("empty file")
    try:
        if (shape := plain_jpeg_shape(data)) and shape[0] * shape[1] <= LIMIT_PIXELS:
            photo = _fast(decode_jpeg(data, _JPEG[factor]), _HAS_RGB, factor, shape)
            if photo is not None:
                return photo
        with warnings.catch_warnings():
            # Our own limit, checked before anything is decoded, replaces Pillow's.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                width, height = image.size
                if width * height > LIMIT_PIXELS:
                    raise UnreadableImage(f"too large: {width} x {height} pixels")
                fast = _decode_plain(image, data, factor)
                if fast is not None:
                    return fast
                pixels = _convert(image)
                return Photo(pixels, 1, (pixels.shape[0], pixels.shape[1]))
    except UnreadableImage:
        raise
    except Damaged as error:
        raise UnreadableImage(f"broken: {error}") from error
    except Image.DecompressionBombError as error:
        raise UnreadableImage("too large to decode") from error
    except Image.UnidentifiedImageError as error:
        found = what_it_is(data[:HEAD], len(data), "picture")
        raise UnreadableImage(f"no image but {found[0]}" if found else "no image") from error
    except MemoryError as error:
        raise UnreadableImage(NO_MEMORY) from error
    except Exception as error:  # broken bytes make Pillow's decoders raise nearly anything
        raise UnreadableImage(f"broken: {' '.join(str(error).split()) or type(error).__name__}") from error


def _decode_plain(image: Image.Image, data: bytes, factor: int) -> Photo | None:
    """The image from OpenCV's faster decoder, if that gives the same result; None leaves the file to Pillow.

    Raises:
        Damaged: a JPEG or PNG whose missing parts either decoder would fill in.
    """
    plain = image.mode in ("RGB", "L") and "transparency" not in image.info and _is_upright(image)
    if image.format in ("JPEG", "MPO"):
        if not plain or image.format == "MPO":
            check_whole(data)
            return None
        pixels, is_rgb = decode_jpeg(data, _JPEG[factor]), _HAS_RGB
    elif image.format == "PNG":
        if not plain:
            check_whole(data)
            return None
        pixels, is_rgb, factor = decode_png(data, _PNG), False, 1
    else:
        return None
    return _fast(pixels, is_rgb, factor, (image.height, image.width))


def _fast(pixels: Pixels | None, is_rgb: bool, factor: int, shape: tuple[int, int]) -> Photo | None:
    """What OpenCV decoded; None if that is not the image of this height and width."""
    height, width = shape
    if pixels is None or pixels.shape[:2] != (-(-height // factor), -(-width // factor)):
        return None
    if not is_rgb:
        cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)
    return Photo(pixels, factor, shape)


def _is_upright(image: Image.Image) -> bool:
    if not {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"} & image.info.keys():
        return True  # asking Pillow for a tag takes a tenth of the time of decoding a small photo
    return image.getexif().get(_ORIENTATION_TAG, 1) == 1


def _convert(image: Image.Image) -> Pixels:
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise UnreadableImage("floating-point pixels, whose range is not known")
    if image.mode.startswith("I"):
        # 16-bit gray: 65535 is white, and 65535 / 257 = 255.
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise UnreadableImage("32-bit pixels, whose range is not known")
        gray = ((values + 128) // 257).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=2)
    if image.has_transparency_data:  # not by the names of the bands: Lab has one called A
        opaque = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", opaque.size, _WHITE), opaque)
    return np.array(image.convert("RGB"), dtype=np.uint8)
