"""Chosen frames of a video file, or of a folder of extracted frames, as upright RGB images.

Frames are selected by their number in the stream, not by time, so a variable frame rate makes no difference. A file is
read from its start: in many codecs, seeking to a frame gives a neighboring one. PyAV reads it where it is installed
(extra ``video``), OpenCV otherwise; both give the same numbers and pixels, except that PyAV alone converts high dynamic
range, mirrors as the file says, and shows transparency on white.
"""

import importlib.util
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

# Our return values report broken files; the decoder's lines on standard error would only hide ours.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2

from simswap.data.listing import list_images
from simswap.data.reading import UnreadableImage, read_image
from simswap.errors import InputError
from simswap.faces.detection import Pixels
from simswap.stand_ins import HEAD, what_it_is
from simswap.video.reader import count_decoded, read_numbers

MOST_FRAMES = 10_000_000  # a header with a larger number is broken
# Endings of files whose header counts the frames; OpenCV guesses from the duration where a header does not.
_COUNTED = (".mp4", ".mov", ".m4v", ".3gp", ".avi")


def count_frames(path: Path) -> int:
    """The number of frames: images in a folder; from a file's header, or counted if the header has none.

    0 for a file that is empty or no video. A header may claim more frames than the file has.
    """
    if path.is_dir():
        return len(list_images(path))
    if _has_pyav():
        try:
            return min(count_decoded(path), MOST_FRAMES)
        except InputError:
            return 0
    capture = _open(path)
    if capture is None:
        return 0
    try:
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if 0 < count < MOST_FRAMES and path.suffix.lower() in _COUNTED:
            return count
        count = 0
        while capture.grab():
            count += 1
        return count
    finally:
        capture.release()


def read_frames(path: Path, numbers: Sequence[int]) -> Iterator[tuple[int, Pixels | None]]:
    """(number, frame) of the frames with these numbers (from 0), ascending.

    A frame is uint8 [H, W, 3] RGB, rotated upright by the video's metadata; None if it is missing or unreadable.
    """
    wanted = sorted(set(numbers))
    if path.is_dir():
        files = list_images(path)
        for number in wanted:
            yield number, _picture(path / files[number]) if 0 <= number < len(files) else None
        return
    if _has_pyav():
        yield from _read_by_pyav(path, wanted)
        return
    capture = _open(path)
    at = 0
    for number in wanted:
        while capture is not None and 0 <= at < number and capture.grab():
            at += 1
        done, frame = capture.read() if capture is not None and at == number else (False, None)
        at = at + 1 if done else at
        yield number, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if done and frame is not None else None  # type: ignore
    if capture is not None:
        capture.release()


def why_unreadable(path: Path, otherwise: str) -> str:
    """Why a video has no frames, if its first bytes tell: ``is a Git LFS pointer and no video; …``."""
    try:
        with path.open("rb") as stream:
            found = what_it_is(stream.read(HEAD), path.stat().st_size, "video")
    except OSError:  # a folder of frames too
        found = None
    return f"is {found[0]} and no video; {found[1]}" if found else otherwise


def _has_pyav() -> bool:
    return importlib.util.find_spec("av") is not None


def _read_by_pyav(path: Path, wanted: Sequence[int]) -> Iterator[tuple[int, Pixels | None]]:
    given = 0
    try:
        for number, frame in read_numbers(path, wanted):
            yield number, frame
            given += 1
    except InputError:
        yield from ((number, None) for number in wanted[given:])


def _open(path: Path) -> cv2.VideoCapture | None:
    """The opened file, or None if it is no video."""
    if not path.is_file() or path.stat().st_size == 0:
        return None
    try:
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    except cv2.error:
        return None
    if not capture.isOpened():
        return None
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    return capture


def _picture(file: Path) -> Pixels | None:
    try:
        return read_image(file)
    except UnreadableImage:
        return None
