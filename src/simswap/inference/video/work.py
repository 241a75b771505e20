"""The work folder of a video's swap: what is finished stays there until the result is, and the same swap resumes."""

import json
import os
import queue
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path

from simswap.errors import InputError
from simswap.files import atomic_write
from simswap.inference.folder_job import JOB
from simswap.inference.video.source import VideoSource
from simswap.inference.video.swapping import Swapped
from simswap.launching.claims import claimed
from simswap.video.joining import join_segments, read_metadata
from simswap.video.writer import VideoWriter

SEGMENT_SECONDS = 4
"""How much of the video goes into one file. So much is lost if the process is killed."""
_NAME = re.compile(r"(\d{9})-(\d{9})\..+")


def work_folder(out: Path) -> Path:
    """The hidden folder beside a result that is not finished."""
    return out.with_name(f".{out.name}.swap")


def part_file(out: Path) -> Path:
    """The playable part of a result that is not finished: ``b.part.mp4`` for ``b.mp4``."""
    return out.with_name(f"{out.stem}.part{out.suffix}")


def job_of(video: Path) -> str | None:
    """The digest in the metadata of a video of ours; None for any other file."""
    try:
        return read_metadata(video).get(JOB.lower())
    except InputError:
        return None


@contextmanager
def open_work(out: Path, job: str) -> Iterator[Path]:
    """Hold the work folder of a result, new or from an earlier start of the same swap; it stays if the block fails.

    Args:
        out: The result.
        job: The digest of checkpoint, sources, target and settings.

    Raises:
        InputError: An earlier start with another digest left work behind, another process is at work, the part's name
            is taken by another file, or the folder cannot be written.
    """
    folder, part = work_folder(out), part_file(out)
    if os.path.lexists(part) and job_of(part) != job:
        raise InputError(
            f"{part} exists and is no part of this swap (another checkpoint, source, target or setting); nothing is "
            "overwritten: remove it, or choose another out="
        )
    begun = folder / "job.json"
    if folder.is_dir() and any(folder.iterdir()) and _read_job(begun) != job:
        raise InputError(
            f"{folder} holds the beginning of another swap (another checkpoint, source, target or setting); remove it, "
            "or choose another out="
        )
    with ExitStack() as afterwards, claimed(folder, "swapping"):
        if not begun.is_file():
            with atomic_write(begun) as file:
                file.write_text(json.dumps({"job": job}))
        try:
            yield folder
        except InputError:
            if not _pieces(folder, out.suffix):  # bad input leaves nothing behind, unless it is worth to resume
                afterwards.callback(shutil.rmtree, folder, ignore_errors=True)
            raise
        part.unlink(missing_ok=True)
        afterwards.callback(shutil.rmtree, folder, ignore_errors=True)


def _read_job(file: Path) -> str | None:
    try:
        told = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return told.get("job") if isinstance(told, dict) else None


class Segments:
    """The finished pieces of a result, in files named by their first and last frame's place in the video.

    A thread of its own draws the mark and encodes. `put` waits if it is behind.

    Args:
        folder: The work folder.
        out: The result; its ending is that of the pieces.
        source: The original.
        waiting: How many frames may wait.
    """

    def __init__(self, folder: Path, out: Path, source: VideoSource, waiting: int) -> None:
        self.folder, self.out, self.source = folder, out, source
        self.done = _pieces(self.folder, self.out.suffix)
        self._frames: queue.Queue[Swapped | None] = queue.Queue(waiting)
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    @property
    def next_place(self) -> int:
        """The place of the first frame that is not finished."""
        return int(_NAME.fullmatch(self.done[-1].name)[2]) + 1 if self.done else 0  # type: ignore[index]

    def put(self, done: Swapped) -> None:
        """Give the next frame to the encoder. Raises InputError if an earlier one could not be written."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._encode, args=(self.next_place,), name="encoding", daemon=True)
            self._thread.start()
        while True:
            self._raise()
            try:
                return self._frames.put(done, timeout=0.2)
            except queue.Full:
                continue

    def close(self) -> None:
        """Wait until all frames are written; the last piece ends with the last frame. Raises InputError as `put`."""
        while self._thread is not None and self._thread.is_alive():
            try:
                self._frames.put(None, timeout=0.2)
                break
            except queue.Full:
                continue
        if self._thread is not None:
            self._thread.join()
        self._thread = None
        self._raise()
        self.done = _pieces(self.folder, self.out.suffix)

    def join(self, out: Path, end: float | Fraction | None, words: Mapping[str, str]) -> None:
        """Write the finished pieces as one video with the original's sound, up to `end` (s; None for all)."""
        sound = self.source.path if self.source.info.has_sound else None
        join_segments(self.done, out, sound, self.source.start, end, words)

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _encode(self, place: int) -> None:
        """The thread: pieces of `SEGMENT_SECONDS` until None comes."""
        settings = self.source.settings
        try:
            done = self._frames.get()
            while done is not None:
                first, begin = place, done.still.frame.time
                piece = self.folder / f"open{self.out.suffix}"
                with VideoWriter(piece, self.source.info, codec=settings.codec, quality=settings.quality) as writer:
                    while done is not None and done.still.frame.time < begin + SEGMENT_SECONDS:
                        writer.write(done.frame(settings.mark))
                        place += 1
                        done = self._frames.get()
                piece.rename(self.folder / f"{first:09d}-{place - 1:09d}{self.out.suffix}")
        except BaseException as error:  # raised where the frames come from
            self._error = error


def _pieces(folder: Path, suffix: str) -> list[Path]:
    """The finished pieces that follow each other without a gap from the first frame on."""
    found, expected = [], 0
    for file in sorted(folder.glob(f"*{suffix}")):
        name = _NAME.fullmatch(file.name)
        if name and int(name[1]) == expected:
            found.append(file)
            expected = int(name[2]) + 1
    return found
