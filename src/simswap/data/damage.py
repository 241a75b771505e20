"""Damage that decoders hide: they fill unreadable parts with gray and raise no error.

libjpeg reports damage on standard error only, and neither OpenCV nor Pillow pass it on, so this module captures
standard error while it decodes. PNG has checksums, which are compared. Harmless oddities are accepted: padding between
the data and the next marker, bytes behind the picture, unusual version numbers.
"""

import os
import re
import struct
import tempfile
import threading
import zlib

import cv2
import numpy as np

from simswap.faces.detection import Pixels

_PNG_START = b"\x89PNG\r\n\x1a\n"
_FATAL = re.compile(rb"Corrupt JPEG data: (?!\d+ extraneous)[^\n]*|Inconsistent progression sequence[^\n]*")
_EXTRANEOUS = re.compile(rb"Corrupt JPEG data: (\d+) extraneous bytes before marker 0x([0-9a-f]{2})")
_THEIRS = re.compile(
    rb"(?:libpng (?:error|warning)|Corrupt JPEG data|Premature end of JPEG file|Warning: unknown JFIF|Unknown Adobe"
    rb"|Inconsistent progression"
    rb"|Invalid SOS parameters|Unsupported marker|Unsupported JPEG|Bogus|Invalid JPEG|JPEG datastream)[^\n]*\n?"
)
_PNG_FAULT = re.compile(rb"libpng error: (?:Not enough image data|IDAT: |[^\n]*CRC)[^\n]*")
_NO_END, _END = b"Premature end of JPEG file", b"\xff\xd9"
_PADDING = {0x00, 0xFF}


class Damaged(Exception):
    """A decoder would fill in parts of this image; the text says where it is broken."""


def decode_jpeg(data: bytes, flags: int) -> Pixels | None:
    """A JPEG decoded by OpenCV (``flags``: cv2.IMREAD_…); None if OpenCV cannot decode it.

    Raises:
        Damaged: parts would be made up: the file is cut off, overwritten, or lacks restart markers.
    """
    is_open = False
    for _ in range(8):  # libjpeg reports its first complaint only: cut out harmless bytes to get the next one
        pixels, heard = _decode(data, flags)
        if not is_open and (pixels is None or _NO_END in heard) and _END not in data[-64:]:
            data, is_open = data + _END, True  # complete now, if only the end marker was missing
            continue
        if not heard:
            return pixels
        if fatal := _FATAL.search(heard):
            raise Damaged(f"{'truncated, ' * is_open}{fatal.group().decode()}")
        extra = _EXTRANEOUS.search(heard)
        if extra is None:
            break
        count, marker = int(extra.group(1)), bytes([0xFF, int(extra.group(2), 16)])
        place = _end_of_padding(data, count, marker)
        if place is None:
            raise Damaged(extra.group().decode())
        data = data[: place - count] + data[place:]
    return pixels


def decode_png(data: bytes, flags: int) -> Pixels | None:
    """A PNG decoded by OpenCV; None if OpenCV cannot decode it.

    Raises:
        Damaged: it has less data than its size needs, or a wrong checksum.
    """
    check_png(data)
    pixels, heard = _decode(data, flags)
    if pixels is None and (fault := _PNG_FAULT.search(heard)):
        raise Damaged(fault.group().decode())
    return pixels


def check_whole(data: bytes) -> None:
    """Check a JPEG or PNG for damage that decoders hide; other file types are left to their decoders.

    Raises:
        Damaged: a decoder would fill in parts of the image.
    """
    if data.startswith(b"\xff\xd8"):
        decode_jpeg(data, cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_IGNORE_ORIENTATION)
    elif data.startswith(_PNG_START):
        decode_png(data, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)


def check_png(data: bytes) -> None:
    """Check the chunks of a PNG that hold pixels or colors.

    Raises:
        Damaged: one is cut off or has a wrong checksum.
    """
    at, view = len(_PNG_START), memoryview(data)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        needed = not kind[0] & 0x20 or kind == b"tRNS"  # a capital first letter marks chunks that every decoder needs
        if needed and zlib.crc32(view[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise Damaged(f"the checksum of PNG chunk {kind.decode('latin-1')} is wrong")
        if kind == b"IEND":
            return
        at = end + 4
    raise Damaged("the PNG is cut off")


def _end_of_padding(data: bytes, count: int, marker: bytes) -> int | None:
    """The position of a marker with ``count`` harmless bytes before it: padding, or bytes before the image data."""
    start_of_data = data.find(b"\xff\xda")
    place = data.find(marker)
    while place >= 0:
        if place >= count and (place <= start_of_data or set(data[place - count : place]) <= _PADDING):
            return place
        place = data.find(marker, place + 1)
    return None


class _Held:
    """The file that receives standard error meanwhile, one per process, since forks would share its position."""

    def __init__(self) -> None:
        self.lock, self.file, self.process = threading.Lock(), -1, -1

    def open(self) -> int:
        """Open the file on first use, once per process."""
        if self.process != os.getpid():
            with tempfile.TemporaryFile() as file:
                self.file, self.process = os.dup(file.fileno()), os.getpid()
        return self.file


_held = _Held()


def _after_fork() -> None:
    _held.lock = threading.Lock()  # a thread that held it may not exist in this process


os.register_at_fork(after_in_child=_after_fork)


def _decode(data: bytes, flags: int) -> tuple[Pixels | None, bytes]:
    """The image, and what the decoder wrote to standard error; output of other threads is passed on."""
    encoded, heard = np.frombuffer(data, np.uint8), b""
    with _held.lock:
        file = _held.open()
        try:
            before = os.dup(2)
        except OSError:  # a process without standard error
            before = -1
        os.dup2(file, 2)
        try:
            pixels = cv2.imdecode(encoded, flags)
        except cv2.error:  # OpenCV does not support this size; libjpeg's report of the data counts
            pixels = None
        finally:
            if before >= 0:
                os.dup2(before, 2)
                os.close(before)
            else:
                os.close(2)
            if size := os.lseek(file, 0, os.SEEK_CUR):
                heard = os.pread(file, size, 0)
                os.ftruncate(file, 0)
                os.lseek(file, 0, os.SEEK_SET)
                if before >= 0 and (others := _THEIRS.sub(b"", heard)):
                    os.write(2, others)
    return pixels, heard  # type: ignore[return-value]
