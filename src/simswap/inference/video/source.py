"""The frames of a video file, or of a folder of frames, as photos."""

import itertools
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from simswap.data.listing import list_images
from simswap.errors import InputError
from simswap.inference.photos import Photo, read_photo
from simswap.inference.video.settings import VideoSettings
from simswap.measuring.ahead import ahead
from simswap.video.colors import ColorTags
from simswap.video.reader import Frame, VideoInfo, read_video, video_info

QUEUE_BYTES = 64 * 2**20
"""How much the decoded frames that wait may take, before, within and behind the swap each."""


@dataclass(frozen=True)
class Still:
    """One frame and the photo that it is; a frame of a video file is a photo without metadata."""

    frame: Frame
    photo: Photo


class VideoSource:
    """The part of a video that the settings choose.

    Args:
        path: A video file, or a folder of frames in natural order.
        settings: Which frames; the rate of a folder of frames.

    Attributes:
        info: Of the file.
        start: Of the part, s; None for the beginning.
        end: Of the part, s; None for the end.
        is_folder: Whether it is a folder of frames.

    Raises:
        InputError: It holds no video.
    """

    def __init__(self, path: Path, settings: VideoSettings) -> None:
        self.path, self.settings = path, settings
        # as they are written: a frame at 0.8 s lies at Fraction(4, 5), and the nearest float is a little more
        self.start = None if settings.start is None else Fraction(str(settings.start))
        self.end = None if settings.end is None else Fraction(str(settings.end))
        self.rate = Fraction(settings.rate).limit_denominator(1001)  # of a folder of frames
        self.is_folder = path.is_dir()
        self.files = [path / name for name in list_images(path)] if self.is_folder else []
        self.info = self._info_of_folder() if self.is_folder else video_info(path)

    @property
    def kept_files(self) -> list[Path]:
        """The files of a folder's frames that are kept."""
        return [self.files[number] for number in self._numbers()]

    @property
    def expected(self) -> int:
        """About how many frames there are, at least one."""
        if self.is_folder:
            return max(1, len(self.kept_files))
        length = float(self.info.duration) or float((self.info.frames or 0) / self.info.rate)
        end = length if self.settings.end is None else min(length, self.settings.end)
        seconds = max(0.0, end - (self.settings.start or 0))
        return max(1, round(seconds * float(self.info.rate) / self.settings.every))

    @property
    def waiting(self) -> int:
        """How many frames may wait for the next step, by their size."""
        return int(min(16, max(2, QUEUE_BYTES // (3 * self.info.width * self.info.height))))

    def stills(self, begin: int = 0) -> Generator[Still, None, None]:
        """The frames from the one at this place on, read ahead by a thread; close the iterator if it does not end."""
        with closing(self._stills(begin)) as coming, closing(self._ahead(coming)) as stills:
            for still in stills:
                if still is None:
                    return
                yield still

    def _ahead(self, coming: Iterator[Still]) -> Generator[Still | None, None, None]:
        return ahead(lambda _: next(coming, None), itertools.count(), 1, self.waiting)  # type: ignore[return-value]

    def _stills(self, begin: int) -> Generator[Still, None, None]:
        if self.is_folder:
            for number in itertools.islice(self._numbers(), begin, None):
                yield self._still_of(number)
            return
        frames = read_video(self.path, self.start, self.end, self.settings.every)
        for frame in itertools.islice(frames, begin, None):
            yield Still(frame, Photo(self.path, frame.pixels, None, None, b""))

    def _numbers(self) -> Iterator[int]:
        """The numbers of a folder's frames that are kept."""
        first = None
        for number in range(len(self.files)):
            time = number / self.rate
            if time < (self.start or 0) or (self.end is not None and time >= self.end):
                continue
            first = number if first is None else first
            if (number - first) % self.settings.every == 0:
                yield number

    def _still_of(self, number: int) -> Still:
        photo = read_photo(self.files[number])
        seen = photo.seen()
        if seen.shape != (self.info.height, self.info.width, 3):
            raise InputError(
                f"{photo.path}: {seen.shape[1]} x {seen.shape[0]} px, and the first frame of its folder has "
                f"{self.info.width} x {self.info.height}; the frames of a video have one size"
            )
        return Still(Frame(number, number / self.rate, seen, 1 / self.rate), photo)

    def _info_of_folder(self) -> VideoInfo:
        if not self.files:
            raise InputError(f"{self.path}: holds no pictures, so it is no folder of frames")
        height, width = read_photo(self.files[0]).pixels.shape[:2]
        rate = self.rate
        return VideoInfo(
            path=self.path, width=width, height=height, coded_width=width, coded_height=height, rotation=0, rate=rate,
            frames=len(self.files), duration=len(self.files) / rate, pixel_aspect=Fraction(1), bits=8, codec="png",
            color=ColorTags(1, 1, 1, 1), has_sound=False, hdr=None,
        )  # fmt: skip
