"""The result of a folder of frames as a folder of pictures."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from simswap.errors import InputError
from simswap.inference.folder_job import JOB, job_of_png, result_names
from simswap.inference.video.swapping import Swapped
from simswap.inference.writing import check_place, write_photo


class FrameFiles:
    """Writes frames as PNGs with the names of the originals, in a thread; finished ones of the same swap are kept.

    Args:
        out: The folder of the results.
        originals: The frames that are kept, in order.
        words: Provenance with the job's digest.
        mark: Whether frames with a swapped face get the visible mark.

    Raises:
        InputError: A file of another swap has a result's name, or a result cannot be written.
    """

    def __init__(self, out: Path, originals: Sequence[Path], words: Mapping[str, str], mark: bool) -> None:
        self.files = [out / name for name in result_names(originals)]
        self.words, self.mark = words, mark
        self.next_place = 0
        for file in self.files:
            if not os.path.lexists(file):
                check_place(file)
            elif job_of_png(file) != words[JOB]:
                raise InputError(
                    f"out={file} already exists and was not made by this command (another checkpoint, source, target "
                    "or setting); nothing is overwritten: choose another folder"
                )
        while self.next_place < len(self.files) and os.path.lexists(self.files[self.next_place]):
            self.next_place += 1
        self._at = self.next_place
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="writing")
        self._last: Future[None] | None = None

    def put(self, done: Swapped) -> None:
        """Write the next frame; waits for the one before. Raises InputError if that could not be written."""
        if self._last is not None:
            self._last.result()
        file, self._at = self.files[self._at], self._at + 1
        self._last = self._pool.submit(self._write, file, done)

    def close(self) -> None:
        """Wait until all frames are written. Raises InputError as `put`."""
        if self._last is not None:
            self._last.result()
        self._pool.shutdown()
        self.next_place = self._at

    def _write(self, file: Path, done: Swapped) -> None:
        if not os.path.lexists(file):  # finished by an earlier start, after a gap
            write_photo(file, done.pixels, done.still.photo, self.words, self.mark and done.faces > 0)
