"""The finished pieces of a video's result, encoded by a thread, and joined when all are there."""

import queue
import re
import threading
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

from simswap.inference.video.source import VideoSource
from simswap.inference.video.swapping import Swapped
from simswap.video.joining import join_segments
from simswap.video.writer import VideoWriter

SEGMENT_SECONDS = 4
"""How much of the video goes into one file. So much is lost if the process is killed."""
_NAME = re.compile(r"(\d{9})-(\d{9})(-short)?\..+")


class Segments:
    """The finished pieces of a result, in files named by their first and last frame's place in the video.

    A thread of its own draws the mark and encodes. `put` waits if it is behind.

    A piece that a stop or the end cut short has ``short`` in its name. It is joined as the others are, but a later
    start makes it again: encoders look ahead, so only then is a resumed result the same as an uninterrupted one.

    Args:
        folder: The work folder.
        out: The result; its ending is that of the pieces.
        source: The original.
        waiting: How many frames may wait.
    """

    def __init__(self, folder: Path, out: Path, source: VideoSource, waiting: int) -> None:
        self.folder, self.out, self.source = folder, out, source
        for file in folder.glob(f"*-short{out.suffix}"):
            file.unlink()
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
                short = "-short" if done is None else ""
                piece.rename(self.folder / f"{first:09d}-{place - 1:09d}{short}{self.out.suffix}")
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
