"""Frames of a video file, upright and in RGB, with their exact numbers and times."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

from simswap.errors import InputError
from simswap.faces.detection import Pixels
from simswap.video.colors import ColorTags, color_tags, to_rgb, to_rgb48
from simswap.video.hdr import DEFAULT_PEAK, mastering_peak, tone_map
from simswap.video.orientation import orientation, turned
from simswap.video.pyav import decoded, open_video

logger = logging.getLogger(__name__)
Seconds = float | Fraction
DEFAULT_RATE = Fraction(25)  # where a file names none
JUMP_BACK = 1  # s; from frame to frame. What is less is a careless clock, and mended


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says about its pictures.

    Attributes:
        path: of the file.
        width: of an upright picture, stored pixels.
        height: of an upright picture, stored pixels.
        coded_width: before it is turned.
        coded_height: before it is turned.
        rotation: degrees clockwise (0, 90, 180, 270) that turn a stored picture upright.
        rate: frames per second on average.
        frames: the number of frames by the file's header; None where it has none.
        duration: of the video stream by the header, s; 0 where unknown.
        pixel_aspect: width of an upright pixel over its height.
        bits: per sample.
        codec: FFmpeg's name.
        color: the color tags.
        has_sound: whether there is a sound stream.
        hdr: ``pq``, ``hlg`` or None; such pictures are tone mapped to BT.709.
        mirrored: whether a stored picture is mirrored left to right before it is turned.
        time_base: the unit of the file's times, s.
        start: the first frame's time on the file's clock, s; `Frame.time` counts from it.
        peak: the luminance of the brightest white for PQ, cd/m².
    """

    path: Path
    width: int
    height: int
    coded_width: int
    coded_height: int
    rotation: int
    rate: Fraction
    frames: int | None
    duration: Fraction
    pixel_aspect: Fraction
    bits: int
    codec: str
    color: ColorTags
    has_sound: bool
    hdr: str | None
    mirrored: bool = False
    time_base: Fraction = Fraction(1, 90_000)
    start: Fraction = Fraction(0)
    peak: float = DEFAULT_PEAK


@dataclass(frozen=True)
class Frame:
    """One picture of a video.

    Attributes:
        number: from 0, in the order of display.
        time: since the first frame, s.
        pixels: uint8 [H, W, 3] RGB, upright.
        duration: for which it is shown, s; None where unknown.
        stored: the decoded picture, with which `VideoWriter` keeps unchanged pixels as they are in the file;
            ``dataclasses.replace(frame, pixels=…)`` keeps it.
    """

    number: int
    time: Fraction
    pixels: Pixels
    duration: Fraction | None = None
    stored: "Stored | None" = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Stored:
    """A decoded picture (``av.VideoFrame``) and how it becomes an upright RGB picture."""

    frame: Any
    info: VideoInfo

    def pixels(self) -> Pixels:
        """uint8 [H, W, 3] RGB, upright."""
        return upright_rgb(self.frame, self.info)


def video_info(path: Path) -> VideoInfo:
    """What a video file says about its pictures; its first frame is decoded.

    Raises:
        InputError: in one line, if it is missing, no video, cut off, without video stream, or cannot be decoded.
    """
    with open_video(path) as (container, stream):
        first = next(decoded(container, stream), None)
        info = _info(path, container, stream, first)
    return info if info.frames else replace(info, rate=_counted_rate(path) or info.rate)


def _counted_rate(path: Path, packets: int = 100) -> Fraction | None:
    """The rate of the first packets of a file without a count of its frames, whose header's may be a guess."""
    with open_video(path) as (container, stream):
        times = {packet.pts for packet in islice(container.demux(stream), packets) if packet.pts is not None}
        if len(times) < 2:
            return None
        return (len(times) - 1) / ((max(times) - min(times)) * Fraction(stream.time_base))


def read_video(path: Path, start: Seconds | None = None, end: Seconds | None = None, every: int = 1) -> Iterator[Frame]:
    """The frames of a video, one at a time.

    The file is read from its beginning whatever ``start`` is: in many codecs, seeking gives a neighboring frame.

    Args:
        path: of the file.
        start: s since the first frame; earlier frames are left out.
        end: s; frames at or after it are left out.
        every: only frames whose number, counted from the first one kept, is a multiple of it.

    Raises:
        InputError: as `video_info`; or the size of the pictures changes, or their times jump back.
    """
    if every < 1:
        raise ValueError(f"every={every} is not positive")
    begin, stop = seconds(start), seconds(end)
    with open_video(path) as (container, stream):
        info, number, first = None, -1, None
        for number, (shown, time, length) in enumerate(_timed(path, container, stream)):
            if stop is not None and time >= stop:
                return
            if info is None:
                info = _info(path, container, stream, shown)
            if begin is not None and time < begin:
                continue
            first = number if first is None else first
            if (number - first) % every:
                continue
            _check_size(info, shown, number)
            yield Frame(number, time, upright_rgb(shown, info), length, Stored(shown, info))
        if info is None:
            _info(path, container, stream, None)
        elif info.frames is not None and number + 1 < info.frames:
            logger.warning(
                "%s has %d frames and not %d as its header says: it is cut off or damaged", path, number + 1,
                info.frames,
            )  # fmt: skip


def read_numbers(path: Path, numbers: Sequence[int]) -> Iterator[tuple[int, Pixels | None]]:
    """(number, picture) of the frames with these numbers, ascending; as `read_video`, but None for missing ones.

    Raises:
        InputError: as `video_info`.
    """
    left = sorted(set(numbers), reverse=True)
    with open_video(path) as (container, stream):
        info = None
        for number, frame in enumerate(decoded(container, stream)):
            if not left:
                return
            info = info or _info(path, container, stream, frame)
            while left and left[-1] < number:
                yield left.pop(), None
            if left and left[-1] == number:
                yield left.pop(), upright_rgb(frame, info)
    while left:
        yield left.pop(), None


def count_decoded(path: Path) -> int:
    """The number of frames by the file's header; counted by decoding it where the header has none.

    Raises:
        InputError: as `video_info`.
    """
    with open_video(path) as (container, stream):
        return stream.frames or sum(1 for _ in decoded(container, stream))


def seconds(value: Seconds | None) -> Fraction | None:
    """A time as it was written: 0.2 is 1/5, which the float is not."""
    return None if value is None else Fraction(str(value))


def upright_rgb(frame: Any, info: VideoInfo) -> Pixels:
    """A decoded frame (``av.VideoFrame``) as uint8 [H, W, 3] RGB, turned upright; HDR is tone mapped."""
    if info.hdr is not None:
        pixels = tone_map(to_rgb48(frame, info.color), info.hdr, info.color.primaries, info.peak)
    else:
        pixels = to_rgb(frame, info.color)
    return turned(pixels, info.rotation, info.mirrored)


def _timed(path: Path, container: Any, stream: Any) -> Iterator[tuple[Any, Fraction, Fraction]]:
    """Decoded frames, their time since the first one and how long they are shown, s.

    Times increase even where the file's do not. A frame is shown until the next one, the last one until the end.

    Raises:
        InputError: the times jump back.
    """
    rate = Fraction(stream.average_rate or stream.guessed_rate or DEFAULT_RATE)
    first, held = None, None
    for frame in decoded(container, stream):
        unit = Fraction(frame.time_base or stream.time_base)
        if frame.pts is None:
            time = Fraction(0) if held is None else held[1] + 1 / rate
            first = -time if first is None else first
        else:
            first = frame.pts * unit if first is None else first
            time = frame.pts * unit - first
        if held is not None:
            if time < held[1] - JUMP_BACK:
                raise InputError(
                    f"{path}: its times jump back from {float(held[1]):.2f} to {float(time):.2f} s, as in files that "
                    "were put together as they are; write it anew with another program first"
                )
            time = max(time, held[1] + unit)
            yield *held, time - held[1]
        held = frame, time
    if held is None or first is None:
        return
    length = held[0].duration * unit if held[0].duration else 1 / rate
    if stream.duration is not None and stream.start_time is not None:
        rest = (stream.start_time + stream.duration) * Fraction(stream.time_base) - first - held[1]
        length = rest if rest > 0 else length
    yield *held, length


def _info(path: Path, container: Any, stream: Any, first: Any) -> VideoInfo:
    if first is None:
        raise InputError(f"{path}: no frame of its video can be decoded: it is cut off or damaged")
    rotation, mirrored = orientation(first, path)
    width, height = first.width, first.height
    aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
    tags = color_tags(first, path)
    base = Fraction(stream.time_base)
    length = stream.duration * base if stream.duration else Fraction(container.duration or 0, 1_000_000)
    turned_size, turned_aspect = ((height, width), 1 / aspect) if rotation % 180 else ((width, height), aspect)
    return VideoInfo(
        path=path,
        width=turned_size[0],
        height=turned_size[1],
        coded_width=width,
        coded_height=height,
        rotation=rotation,
        rate=Fraction(stream.average_rate or stream.guessed_rate or DEFAULT_RATE),
        frames=stream.frames or None,
        duration=length,
        pixel_aspect=turned_aspect,
        bits=max(part.bits for part in first.format.components),
        codec=stream.codec_context.codec.canonical_name,
        color=tags,
        has_sound=bool(container.streams.audio),
        hdr=tags.hdr,
        mirrored=mirrored,
        time_base=base,
        start=(first.pts or 0) * Fraction(first.time_base or base),
        peak=mastering_peak(first) if tags.hdr == "pq" else DEFAULT_PEAK,
    )


def _check_size(info: VideoInfo, frame: Any, number: int) -> None:
    if (frame.width, frame.height) != (info.coded_width, info.coded_height):
        raise InputError(
            f"{info.path}: its pictures change from {info.coded_width} x {info.coded_height} to "
            f"{frame.width} x {frame.height} at frame {number}; cut it there, or give it one size first"
        )
