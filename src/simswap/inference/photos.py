"""Photographs to swap: upright, in their own color space, with their metadata.

Unlike `data.reading`, which gives a network any image as RGB, a photo here is written back (`inference.writing`): its
ICC profile, metadata and transparency are kept, and pixels outside the swap stay unchanged.
"""

import io
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

from simswap.data.damage import check_whole
from simswap.data.reading import LIMIT_PIXELS
from simswap.errors import InputError
from simswap.faces.detection import Pixels
from simswap.inference.exif import clean_exif
from simswap.inference.iptc import read_iptc
from simswap.pictures import on_white
from simswap.stand_ins import HEAD, what_it_is

# PNG's texts that have another place here, or tell of the file that the photo came from
_NO_TEXTS = ("XML:com.adobe.xmp", "Raw profile type", "Thumb::", "Software")


@dataclass(frozen=True)
class Photo:
    """A photograph with its metadata.

    Attributes:
        path: of the file.
        pixels: uint8 [H, W, 3], upright, in the photo's own color space.
        alpha: uint8 [H, W], or None.
        profile: bytes of its ICC profile, or None for sRGB.
        exif: bytes, without orientation and thumbnail; may be empty.
        xmp: bytes; may be empty.
        iptc: bytes; may be empty.
        texts: PNG's text chunks by keyword, and the comment of other formats.
        left_out: metadata that could not be kept, as text.
    """

    path: Path
    pixels: Pixels
    alpha: Pixels | None
    profile: bytes | None
    exif: bytes
    xmp: bytes = b""
    iptc: bytes = b""
    texts: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def seen(self) -> Pixels:
        """The photo as people and networks see it: [H, W, 3] in sRGB, transparency on white."""
        shown = self.pixels if self.alpha is None else on_white(self.pixels, self.alpha)
        return self.to_srgb(shown)

    def to_srgb(self, pixels: Pixels) -> Pixels:
        """Pixels [h, w, 3] of this photo's color space in sRGB."""
        return _converted(pixels, self.profile, None)

    def from_srgb(self, pixels: Pixels) -> Pixels:
        """The inverse, for colors that sRGB has."""
        return _converted(pixels, None, self.profile)

    def changed(self, own: Pixels, before: Pixels, after: Pixels) -> Pixels:
        """Own pixels [h, w, 3], changed as sRGB changes from `before` to `after` (both [h, w, 3]).

        The difference is added in the photo's own space: colors outside sRGB keep their distance from the nearest one
        inside, and without a difference each pixel stays exactly the same.
        """
        if self.profile is None:
            return after
        difference = self.from_srgb(after).astype(np.int16) - self.from_srgb(before)
        return np.clip(own + difference, 0, 255).astype(np.uint8)


def read_photo(path: Path) -> Photo:
    """Read a still image.

    Raises:
        InputError: the file is missing, damaged, animated or of an unknown kind.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # LIMIT_PIXELS is the limit; damaged EXIF is left out and said
            with Image.open(path) as image:
                if image.width * image.height > LIMIT_PIXELS:
                    raise InputError(f"{path}: too large ({image.width} x {image.height} pixels); scale it down")
                pictures = getattr(image, "n_frames", 1)
                if pictures > 1 and image.format in ("GIF", "WEBP", "PNG", "AVIF"):
                    raise InputError(f"{path}: an animation of {pictures} pictures; save one of them as a still")
                check_whole(path.read_bytes())
                image.load()
                return _photo(path, image)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such photo") from error
    except Image.UnidentifiedImageError as error:
        data = path.read_bytes()
        found = what_it_is(data[:HEAD], len(data), "picture")
        if found is not None:
            raise InputError(f"{path} is {found[0]}, not a photo; {found[1]}") from error
        raise InputError(f"{path}: no picture of a known kind; save HEIC, PDF and the like as JPEG or PNG") from error
    except Exception as error:  # broken bytes make Pillow's decoders raise nearly anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path}: cannot be read ({reason}); use another copy") from error


def _photo(path: Path, image: Image.Image) -> Photo:
    exif, left_out = clean_exif(image.getexif())
    xmp = image.info.get("xmp", image.info.get("XML:com.adobe.xmp", b""))
    texts = {
        str(name): str(value) for name, value in getattr(image, "text", {}).items() if not name.startswith(_NO_TEXTS)
    }
    comment = image.info.get("comment", b"")
    if comment:
        texts["Comment"] = comment.decode("utf-8", "replace") if isinstance(comment, bytes) else str(comment)
    pixels, alpha, profile = _in_rgb(image)
    return Photo(
        path,
        pixels,
        alpha,
        profile,
        exif,
        xmp.encode() if isinstance(xmp, str) else xmp,
        read_iptc(image),
        texts,
        tuple(left_out),
    )


def _in_rgb(image: Image.Image) -> tuple[Pixels, Pixels | None, bytes | None]:
    """Upright RGB, alpha if there is any, and the profile if it still describes that RGB."""
    profile = image.info.get("icc_profile")
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "F":
        raise ValueError("floating-point pixels, whose range is not known")
    if upright.mode.startswith("I"):
        upright = _eight_bits(upright)
    transparent = upright.has_transparency_data
    full = np.asarray(upright.convert("RGBA" if transparent else "RGB"))
    alpha = np.ascontiguousarray(full[..., 3]) if transparent else None
    pixels = np.ascontiguousarray(full[..., :3])
    space = (profile or b"")[16:20]  # of the colors that an ICC profile describes
    if space == b"RGB " and upright.mode not in ("CMYK", "YCbCr", "LAB", "HSV"):
        return pixels, alpha, profile
    if (space, upright.mode) == (b"CMYK", "CMYK"):
        pixels = _converted(np.asarray(upright), profile, None, "CMYK")
    elif space == b"GRAY" and upright.mode in ("1", "L", "LA", "La"):
        pixels = _converted(np.ascontiguousarray(pixels[..., 0]), profile, None, "L")
    return pixels, alpha, None


def _eight_bits(image: Image.Image) -> Image.Image:
    """Gray of 16 bits as 8 bits: 65535 is white, and 65535 / 257 = 255."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("32-bit pixels, whose range is not known")
    gray = ((values + 128) // 257).astype(np.uint8)
    hidden = image.info.get("transparency")
    if hidden is None:
        return Image.fromarray(gray)
    alpha = np.where(values == hidden, 0, 255).astype(np.uint8)
    return Image.merge("LA", [Image.fromarray(gray), Image.fromarray(alpha)])


def _converted(pixels: Pixels, before: bytes | None, after: bytes | None, mode: str = "RGB") -> Pixels:
    """Pixels from one profile to another; None is sRGB. A profile that cannot be used counts as sRGB."""
    if before == after:
        return pixels
    srgb = ImageCms.createProfile("sRGB")
    first, second = (srgb if content is None else io.BytesIO(content) for content in (before, after))
    shape = (pixels.shape[1], pixels.shape[0])
    given = Image.frombytes(mode, shape, pixels.tobytes())
    try:
        done = ImageCms.profileToProfile(given, first, second, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        done = given.convert("RGB")
    assert done is not None
    return np.array(done)
