"""Frames into a video file that is there as a whole or not at all."""

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

from simswap.errors import InputError
from simswap.files import atomic_write
from simswap.video.colors import RGB_MATRIX, from_rgb, has_alpha, keep_unchanged, planes
from simswap.video.containers import CODECS, CONTAINERS, QUALITY, check_container, options_of
from simswap.video.orientation import turned
from simswap.video.pyav import av_module, reason
from simswap.video.reader import Frame, VideoInfo
from simswap.video.scheduling import ordinary_scheduling

START = "simswap_start"
"""Metadata key of a segment: its first frame's `Frame.time`, s, as a fraction."""
MOST_TICKS = 2**31 - 1  # per second, in MP4


class VideoWriter:
    """A context manager that writes frames to a video file.

    The file has the size, pixel aspect and color tags of ``info``; its pictures are upright, 8-bit, and have 4:2:0
    chroma (4:4:4 for odd sizes, where the codec has none in 4:2:0). The first frame begins the file; frames keep their
    distance in time. The file gets its name when the block ends without an error, and is on the disk then.

    Args:
        path: of the result, one of `CONTAINERS`.
        info: of the video that the frames come from.
        codec: one of `CODECS`.
        quality: 0 to 100, see `options_of`.
        metadata: of the container.
        threads: of the encoder; 0 for its own choice.

    Raises:
        InputError: it cannot be written so; the disk is full.
        ValueError: a frame's size, dtype or time is wrong.
    """

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        *,
        codec: str = "h264",
        quality: float = QUALITY,
        metadata: Mapping[str, str] | None = None,
        threads: int = 0,
    ) -> None:
        check_container(path, codec)
        if not 0 <= quality <= 100:
            raise InputError(f"quality={quality}: it is a number of 0 to 100")
        self.path, self.info, self.codec, self.quality, self.threads = path, info, codec, quality, threads
        self.metadata = dict(metadata or {})
        self.tags = info.color.written()
        odd = (info.width % 2 or info.height % 2) and not CODECS[codec].odd
        self.form = "yuv444p" if odd else "yuv420p"
        self.written = 0
        self._av = av_module(str(path))
        self._blocks = ExitStack()
        self._container: Any = None
        self._stream: Any = None
        self._first = Fraction(0)
        self._before, self._end = -1, 0
        self._held: Any = None  # the last packet, whose duration is known when the file ends
        self._first_dts = 0
        base = info.time_base
        self._base = base if base.denominator <= MOST_TICKS else Fraction(1, 1_000_000)

    def __enter__(self) -> "VideoWriter":
        self._part = self._blocks.enter_context(atomic_write(self.path, durable=True))
        return self

    def write(self, frame: Frame) -> None:
        """Write the next frame."""
        pixels = frame.pixels
        if pixels.shape != (self.info.height, self.info.width, 3) or pixels.dtype != "uint8":
            wanted = (self.info.height, self.info.width, 3)
            raise ValueError(f"frame {frame.number}: {pixels.dtype} {pixels.shape} and not uint8 {wanted}")
        if self._container is None:
            self._first = frame.time
            self._open()
        ticks = round((frame.time - self._first) / self._base)
        if ticks <= self._before:
            raise ValueError(f"frame {frame.number}: its time {float(frame.time):.6f} s is not after the one before")
        self._before = ticks
        picture = self._samples(frame)
        picture.pts, picture.time_base = ticks, self._base
        length = frame.duration or 1 / self.info.rate
        picture.duration = max(1, round(length / self._base))
        self._end = ticks + picture.duration
        self._encode(picture)
        self.written += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._blocks:  # which gives the file its name, or removes it
            if error is not None:
                self._abandon()
                raise error
            if self._container is None:
                raise InputError(f"{self.path}: there is no frame to write")
            self._encode(None)
            try:
                self._container.close()
            except self._av.error.FFmpegError as failure:
                raise self._unwritable(failure) from failure

    def _abandon(self) -> None:
        if self._container is not None:
            with suppress(self._av.error.FFmpegError):
                self._container.close()

    def _open(self) -> None:
        av, info = self._av, self.info
        metadata = {**self.metadata, START: str(self._first)}
        try:
            self._container = open_output(av, self._part, self.path.suffix, self._base, metadata)
            choice = CODECS[self.codec]
            stream = self._container.add_stream(
                choice.encoder, rate=_plain(info.rate), options=options_of(self.codec, self.quality)
            )
            stream.width, stream.height, stream.pix_fmt = info.width, info.height, self.form
            context = stream.codec_context
            context.time_base = self._base
            context.sample_aspect_ratio = info.pixel_aspect
            context.thread_count = self.threads
            context.color_primaries, context.color_trc = self.tags.primaries, self.tags.transfer
            context.colorspace, context.color_range = self.tags.matrix, self.tags.range
            if self.codec == "hevc" and self.path.suffix.lower() != ".mkv":
                context.codec_tag = "hvc1"  # the name under which Apple's players know it
            with ordinary_scheduling():
                context.open()
            self._stream = stream
        except (av.error.FFmpegError, ValueError) as error:
            raise self._unwritable(error) from error

    def _encode(self, picture: Any) -> None:
        try:
            for packet in self._stream.encode(picture):
                if picture is None and self.written <= 2:
                    # Two frames are coded in their own order, but x265 gives them decoding times that it never set.
                    packet.dts = packet.pts
                if self._held is None:
                    self._first_dts = packet.dts
                else:
                    self._container.mux_one(self._held)
                self._held = packet
            if picture is None and self._held is not None:
                # MP4 counts a track's length in decoding times
                self._held.duration = max(1, self._end + self._first_dts - self._held.dts)
                self._container.mux_one(self._held)
        except self._av.error.FFmpegError as error:
            raise self._unwritable(error) from error

    def _samples(self, frame: Frame) -> Any:
        """The frame in the encoder's format; unchanged pixels keep the samples that the file has."""
        av, stored = self._av, frame.stored
        new = from_rgb(av, frame.pixels, self.tags, self.form)
        self._tag(new)
        if stored is None or not self._keeps(stored.frame):
            return new
        source, info = stored.frame, stored.info
        kept = source if source.format.name.replace("yuvj", "yuv") == self.form else source.reformat(format=self.form)
        base = [turned(plane, info.rotation, info.mirrored) for plane in planes(kept)]
        old = from_rgb(av, stored.pixels(), self.tags, self.form)
        keep_unchanged(base, old, new)
        return new

    def _keeps(self, source: Any) -> bool:
        """Whether the samples of a decoded frame can be kept: same colors, and chroma that survives turning."""
        odd = source.width % 2 or source.height % 2
        turns = self.info.rotation or self.info.mirrored
        plain = self.info.hdr is None and self.info.color.matrix != RGB_MATRIX and not has_alpha(source)
        return plain and not (turns and odd and self.form == "yuv420p")

    def _tag(self, picture: Any) -> None:
        picture.colorspace, picture.color_range = self.tags.matrix, self.tags.range
        picture.color_primaries, picture.color_trc = self.tags.primaries, self.tags.transfer

    def _unwritable(self, error: Exception) -> InputError:
        return InputError(
            f"{self.path} cannot be written as {self.codec} of {self.info.width} x {self.info.height} "
            f"({reason(error)}): free the disk or choose another codec"
        )


def open_output(av: Any, part: Path, suffix: str, base: Fraction, metadata: Mapping[str, str]) -> Any:
    """A container (``av.container.OutputContainer``) that is written to ``part`` in the format of ``suffix``."""
    form = CONTAINERS[suffix.lower()]
    options = {}
    if form in ("mp4", "mov"):
        # the index in front, for players of streams; any key; the edit list in the unit of the pictures' times
        options = {"movflags": "+faststart+use_metadata_tags"}
        if 1000 <= base.denominator <= MOST_TICKS:
            options["movie_timescale"] = str(base.denominator)
    container = av.open(f"file:{part}", "w", format=form, options=options)
    container.metadata.update(metadata)
    return container


def _plain(rate: Fraction) -> Fraction:
    """A rate in numbers that encoders take."""
    return rate.limit_denominator(1001) or Fraction(25)
