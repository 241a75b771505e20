"""Small video files made with PyAV alone, for tests of our reader and writer."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIDE = 64


def gray(level: int, width: int = SIDE, height: int = SIDE) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def levels(count: int, step: int = 8) -> list[np.ndarray]:
    """Pictures whose gray level tells their number."""
    return [gray(16 + step * k) for k in range(count)]


def write(
    path: Path,
    pictures: Sequence[np.ndarray],
    times: Sequence[Fraction] | None = None,
    *,
    codec: str = "libx264",
    form: str = "yuv420p",
    base: Fraction = Fraction(1, 12800),
    rate: int = 25,
    options: dict[str, str] | None = None,
    tags: tuple[int, int, int, int] = (2, 2, 2, 0),
    aspect: Fraction = Fraction(1),
    sound: str | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write RGB pictures (or, as uint16 planes [3, H, W], samples of a 4:4:4 format) at these times."""
    times = times or [Fraction(k, rate) for k in range(len(pictures))]
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        first = pictures[0]
        planar = first.ndim == 3 and first.shape[0] == 3
        stream.height, stream.width = first.shape[1:] if planar else first.shape[:2]
        stream.pix_fmt = form
        context = stream.codec_context
        context.time_base, context.sample_aspect_ratio = base, aspect
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = tags
        hum = container.add_stream(sound, rate=44_100) if sound else None
        for picture, time in zip(pictures, times, strict=True):
            frame = samples(picture, form) if planar else av.VideoFrame.from_ndarray(picture).reformat(format=form)
            frame.pts, frame.time_base = round(time / base), base
            container.mux(stream.encode(frame))
        if hum is not None:
            add_sound(container, hum, times[-1] + Fraction(1, rate))
        container.mux(stream.encode(None))
    return path


def samples(planes: np.ndarray, form: str) -> av.VideoFrame:
    """A frame of a planar format with these samples [3, H, W] (chroma of 4:2:0 is their first of each four)."""
    _, height, width = planes.shape
    frame = av.VideoFrame(width, height, form)
    for plane, values in zip(frame.planes, planes, strict=True):
        wide = 2 if frame.format.components[0].bits > 8 else 1
        rows = np.frombuffer(plane, np.uint16 if wide == 2 else np.uint8).reshape(-1, plane.line_size // wide)
        step = (-(-height // plane.height), -(-width // plane.width))
        rows[: plane.height, : plane.width] = values[:: step[0], :: step[1]]
    return frame


def flat(y: int, cb: int, cr: int, width: int = 32, height: int = 32) -> np.ndarray:
    """Samples [3, H, W] of one color."""
    return np.stack([np.full((height, width), value, np.uint16) for value in (y, cb, cr)])


def add_sound(container, stream, length: Fraction) -> None:
    """A tone of 440 Hz."""
    rate = 44_100
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(int(length * rate)) / rate)).astype(np.int16)
    for start in range(0, len(tone), 1024):
        part = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="s16", layout="mono")
        part.sample_rate, part.pts, part.time_base = rate, start, Fraction(1, rate)
        container.mux(stream.encode(part))
    container.mux(stream.encode(None))


def set_matrix(source: Path, out: Path, matrix: Sequence[int]) -> Path:
    """A copy of an MP4 file with another display matrix (a, b, c, d) in its first track's header."""
    data = bytearray(source.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 20 + 16
    a, b, c, d = (value * 65536 for value in matrix)
    values = [a, b, 0, c, d, 0, 0, 0, 0x40000000]
    data[at : at + 36] = b"".join((value & 0xFFFFFFFF).to_bytes(4, "big") for value in values)
    out.write_bytes(data)
    return out


def packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    """(time, s; content) of the packets of the first stream of a kind."""
    with av.open(str(path)) as container:
        stream = next(each for each in container.streams if each.type == kind)
        return [(each.pts * each.time_base, bytes(each)) for each in container.demux(stream) if each.size]


def noise(count: int = 3, side: int = 32) -> list[np.ndarray]:
    """Samples [3, H, W], whose colors RGB holds."""
    random = np.random.default_rng(1)
    lowest, highest = np.array([90, 112, 112])[:, None, None], np.array([160, 145, 145])[:, None, None]
    return [random.integers(lowest, highest, (3, side, side)).astype(np.uint16) for _ in range(count)]
