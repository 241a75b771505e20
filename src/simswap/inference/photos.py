"""Photographs in and out for swapping: upright, in their own colour space, with what they say of themselves kept.

Unlike `data.reading`, which gives a network any picture as RGB, a photo here is written back: its ICC profile, EXIF
and transparency go through, and the pixels that no swap touches stay what they were.
"""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps

from simswap.data.reading import LIMIT_PIXELS
from simswap.errors import InputError
from simswap.files import whole_file
from simswap.pictures import png_text, xmp_packet

Pixels = npt.NDArray[np.uint8]
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
JPEG_QUALITY = 95
_ORIENTATION, _SOFTWARE = 0x0112, 0x0131


@dataclass(frozen=True)
class Photo:
    """`pixels`: uint8 [H, W, 3], upright, in the photo's own colour space; `alpha`: uint8 [H, W] or None; `profile`:
    its ICC profile's bytes or None (sRGB); `exif`: without orientation and thumbnail."""

    path: Path
    pixels: Pixels
    alpha: Pixels | None
    profile: bytes | None
    exif: bytes

    def to_srgb(self, pixels: Pixels) -> Pixels:
        """Pixels [h, w, 3] of this photo's colour space, as networks know them."""
        return _converted(pixels, self.profile, None)

    def from_srgb(self, pixels: Pixels) -> Pixels:
        """The way back."""
        return _converted(pixels, None, self.profile)


def read_photo(path: Path) -> Photo:
    """Read a still picture. Raises InputError for one that is missing, broken, animated or of an unknown kind."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # LIMIT_PIXELS is the limit
            with Image.open(path) as image:
                if image.width * image.height > LIMIT_PIXELS:
                    raise InputError(f"{path}: too large ({image.width} x {image.height} pixels); scale it down")
                if getattr(image, "n_frames", 1) > 1 and image.format in ("GIF", "WEBP", "PNG"):
                    raise InputError(f"{path}: an animation of {image.n_frames} pictures; save one of them as a still")
                image.load()
                return _photo(path, image)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such photo") from error
    except Image.UnidentifiedImageError as error:
        raise InputError(f"{path}: no picture of a known kind; save HEIC, PDF and the like as JPEG or PNG") from error
    except Exception as error:  # broken bytes make Pillow's decoders raise nearly anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path}: cannot be read ({reason}); use another copy") from error


def _photo(path: Path, image: Image.Image) -> Photo:
    exif, profile = image.getexif(), image.info.get("icc_profile")
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "CMYK" and profile:  # its profile does not describe the RGB that follows
        upright = Image.fromarray(_converted(np.asarray(upright), profile, None, "CMYK"))
        profile = None
    if upright.mode in ("L", "LA", "P", "CMYK", "I;16", "I"):
        profile = None
    if upright.mode.startswith("I"):
        grey = (np.asarray(upright).astype(np.int64) + 128) // 257
        upright = Image.fromarray(grey.clip(0, 255).astype(np.uint8))
    transparent = "A" in upright.getbands() or "transparency" in upright.info
    full = np.asarray(upright.convert("RGBA" if transparent else "RGB"))
    for tag in (_ORIENTATION, _SOFTWARE):
        exif.pop(tag, None)
    alpha = np.ascontiguousarray(full[..., 3]) if transparent else None
    return Photo(path, np.ascontiguousarray(full[..., :3]), alpha, profile, exif.tobytes() if len(exif) else b"")


def _converted(pixels: Pixels, before: bytes | None, after: bytes | None, mode: str = "RGB") -> Pixels:
    """Pixels from one profile to another; None is sRGB. A profile that cannot be used counts as sRGB."""
    if before == after:
        return pixels
    srgb = ImageCms.createProfile("sRGB")
    first, second = (srgb if content is None else io.BytesIO(content) for content in (before, after))
    try:
        done = ImageCms.profileToProfile(Image.fromarray(pixels, mode), first, second, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return np.asarray(Image.fromarray(pixels, mode).convert("RGB"))
    assert done is not None
    return np.asarray(done)


def check_output(path: Path) -> None:
    """Raise InputError for a path whose kind cannot be written, or that is taken."""
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"out={path}: pictures are written as {', '.join(FORMATS)}")
    if path.exists():
        raise InputError(f"out={path} is there already; nothing is written over: choose another name")


def write_photo(path: Path, pixels: Pixels, like: Photo, words: dict[str, str]) -> None:
    """Write a changed photo with what `like` said of itself and the word on where it comes from (`provenance`)."""
    kind = FORMATS[path.suffix.lower()]
    layers = pixels if like.alpha is None or kind == "JPEG" else np.dstack([pixels, like.alpha])
    settings: dict[str, object] = {"icc_profile": like.profile, "exif": like.exif}
    if kind == "PNG":
        settings["pnginfo"] = png_text(words)
    elif kind == "JPEG":
        settings |= {"quality": JPEG_QUALITY, "subsampling": 0, "extra": _app1(xmp_packet(words))}
    else:
        settings |= {"lossless": True, "xmp": xmp_packet(words)}
    given = {name: value for name, value in settings.items() if value}
    with whole_file(path) as part:
        Image.fromarray(layers).save(part, format=kind, **given)


def _app1(packet: bytes) -> bytes:
    """JPEG's segment for an XMP packet (Adobe XMP specification, part 3)."""
    content = b"http://ns.adobe.com/xap/1.0/\0" + packet
    return b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content
