"""Segments of a video joined to one file, with the sound of the original; nothing is encoded again."""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from simswap.errors import InputError
from simswap.files import atomic_write
from simswap.video.containers import holds
from simswap.video.pyav import av_module, open_video, reason
from simswap.video.reader import JUMP_BACK, Seconds, seconds, video_info
from simswap.video.writer import START, open_output


@dataclass(frozen=True)
class _Picture:
    """A packet's times in ticks of the result."""

    pts: int
    dts: int
    duration: int


def join_segments(
    segments: Sequence[Path],
    out: Path,
    sound_from: Path | None = None,
    start: Seconds | None = None,
    end: Seconds | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write segments as one video; the packets of pictures and sound are copied as they are.

    Args:
        segments: files of `VideoWriter` with the same settings, in order.
        out: the result, with the ending of the segments.
        sound_from: the original, whose sound streams are copied; None for none.
        start: s since the original's first frame; sound packets that end before it are left out. A result that begins
            later than the original has no sound before its first frame either.
        end: s; sound packets that begin at or after it are left out.
        metadata: of the container.

    Raises:
        InputError: a segment cannot be read or differs from the others; the container cannot hold the sound; the disk
            is full.
    """
    if not segments:
        raise InputError(f"{out}: there is no segment to join")
    av = av_module(f"out={out}")
    with atomic_write(out, durable=True) as part:
        try:
            _join(av, list(segments), out, part, sound_from, start, end, dict(metadata or {}))
        except av.error.FFmpegError as error:
            raise InputError(f"{out} cannot be written ({reason(error)}): free the disk or write it as .mkv") from error


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a video's container; keys in lower case, as some containers have them in capitals.

    Raises:
        InputError: it cannot be opened as a video.
    """
    with open_video(path) as (container, _):
        return {key.lower(): value for key, value in container.metadata.items()}


def _join(
    av: Any,
    segments: list[Path],
    out: Path,
    part: Path,
    sound_from: Path | None,
    start: Seconds | None,
    end: Seconds | None,
    metadata: dict[str, str],
) -> None:
    base, times = _plan(segments)
    first = _begin(segments[0])
    original = video_info(sound_from) if sound_from is not None else None
    with ExitStack() as stack:
        sound = stack.enter_context(open_video(sound_from))[0] if sound_from is not None else None
        whole = first == 0 and start is None
        # A result from the beginning keeps the original's clock, on which sound may begin before the pictures.
        clock = Fraction(sound.start_time or 0, 1_000_000) if sound is not None else Fraction(0)
        offset = original.start - clock if original is not None and whole else Fraction(0)
        result = stack.enter_context(open_output(av, part, out.suffix, base, metadata))
        template = stack.enter_context(open_video(segments[0]))[1]
        stream = _copied(result, template)
        stream.time_base = base
        lanes = [_pictures(segments, stream, times, round(offset / base), base)]
        if sound is not None and original is not None:
            shift = -clock if whole else -original.start - first
            begin = None if whole else max(Fraction(0), (seconds(start) or Fraction(0)) - first)
            limit = seconds(end)
            stop = None if limit is None else limit + (offset if whole else -first)
            lanes.append(_sound(sound, _sound_streams(sound, result, out), shift, begin, stop))
        for _, _, packet in heapq.merge(*lanes, key=lambda each: each[:2]):
            result.mux_one(packet)


def _copied(result: Any, source: Any) -> Any:
    """A new stream of the result for the packets of another file's stream."""
    stream = result.add_stream_from_template(source, opaque=True)  # its codec need not be one that encodes
    if source.type == "video" and source.codec_context.name == "hevc" and result.format.name != "matroska":
        stream.codec_context.codec_tag = "hvc1"
    return stream


def _begin(segment: Path) -> Fraction:
    """The `Frame.time` of a segment's first frame."""
    text = read_metadata(segment).get(START, "")
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(f"{segment} is no segment of this program; remove it and start again") from error


def _plan(segments: list[Path]) -> tuple[Fraction, list[list[_Picture]]]:
    """The unit of time of the result, s, and the times of each segment's packets in the order of the file."""
    base, headers, starts, shown = None, None, [], []
    for segment in segments:
        starts.append(_begin(segment))
        with open_video(segment) as (container, stream):
            context = stream.codec_context
            these = (context.name, context.width, context.height, context.pix_fmt, context.extradata)
            headers, base = headers or these, base or Fraction(stream.time_base)
            if these != headers:
                raise InputError(f"{segment} was written with other settings than {segments[0]}; start again")
            times = [packet.pts for packet in container.demux(stream) if packet.size]
            zero, unit = min(times), Fraction(stream.time_base)
            moved = starts[-1] - starts[0] - zero * unit
            shown.append([round((moved + time * unit) / base) for time in times])
            length = stream.duration * unit if stream.duration else Fraction(container.duration, 10**6) - zero * unit
    assert base is not None
    return base, _decoding_times(shown, round((starts[-1] - starts[0] + length) / base))


def _decoding_times(shown: list[list[int]], end: int) -> list[list[_Picture]]:
    """Decoding times for packets with these display times: the sorted display times, early enough for each packet.

    A packet's duration is the distance to the next picture shown, and for the last one to ``end``. The last one in the
    file has that one's as well, since MP4 counts a track's length in decoding times.
    """
    every = [time for segment in shown for time in segment]
    order = sorted(every)
    early = max((decoded - time for decoded, time in zip(order, every, strict=True)), default=0)
    last = max(1, end - order[-1])
    lengths = {**dict(pairwise(order)), order[-1]: order[-1] + last}
    decoding = iter(order)
    found = [[_Picture(time, next(decoding) - early, lengths[time] - time) for time in segment] for segment in shown]
    found[-1][-1] = replace(found[-1][-1], duration=last)
    return found


Timed = Iterator[tuple[Fraction, int, Any]]
"""(time, s; stream's number; ``av.Packet``)."""


def _pictures(segments: list[Path], stream: Any, times: list[list[_Picture]], offset: int, base: Fraction) -> Timed:
    for segment, planned in zip(segments, times, strict=True):
        with open_video(segment) as (container, source):
            packets = (packet for packet in container.demux(source) if packet.size)
            for packet, at in zip(packets, planned, strict=True):
                packet.stream, packet.time_base = stream, base
                packet.pts, packet.dts, packet.duration = at.pts + offset, at.dts + offset, at.duration
                yield (at.dts + offset) * base, 0, packet


def _sound_streams(sound: Any, result: Any, out: Path) -> dict[int, Any]:
    """By the number of each sound stream of the original: that of the result."""
    made = {}
    for source in sound.streams.audio:
        name = source.codec_context.name if source.codec_context else "unknown"
        if not holds(out.suffix.lower(), name):
            raise InputError(f"{out}: {out.suffix} does not hold the original's sound ({name}); write it as .mkv")
        made[source.index] = stream = _copied(result, source)
        stream.time_base = source.time_base
        if "language" in source.metadata:
            stream.metadata["language"] = source.metadata["language"]
    return made


def _sound(
    sound: Any, streams: dict[int, Any], shift: Fraction, begin: Fraction | None, stop: Fraction | None
) -> Timed:
    """The sound packets, moved by ``shift``; with limits, those that overlap ``begin`` to ``stop`` on the new clock."""
    if not streams:
        return
    for packet in _ascending(sound.demux([sound.streams[number] for number in streams])):
        unit = Fraction(packet.time_base)
        time = packet.pts * unit + shift
        if begin is not None and time + (packet.duration or 0) * unit <= begin:
            continue
        if stop is not None and time >= stop:
            continue
        number, ticks = packet.stream_index, round(shift / unit)
        packet.pts += ticks
        packet.dts += ticks
        packet.stream = streams[number]
        yield time, 1 + number, packet


def _ascending(packets: Iterator[Any]) -> Iterator[Any]:
    """The packets whose decoding times ascend in each stream, as containers demand.

    In damaged files they do not. A packet is left out if the next one is far before it, so that one wrong time ahead
    does not cost what follows, and if it is not after the last one that was kept.
    """
    waiting: dict[int, Any] = {}
    last: dict[int, int] = {}

    def kept(packet: Any, ahead: bool = False) -> bool:
        return not ahead and packet.dts > last.get(packet.stream_index, packet.dts - 1)

    for packet in packets:
        if not packet.size or packet.pts is None:
            continue
        packet.dts = packet.pts if packet.dts is None else packet.dts
        before = waiting.get(packet.stream_index)
        waiting[packet.stream_index] = packet
        ahead = before is not None and (before.dts - packet.dts) * Fraction(packet.time_base) > JUMP_BACK
        if before is not None and kept(before, ahead):
            last[before.stream_index] = before.dts
            yield before
    yield from (packet for packet in waiting.values() if kept(packet))
