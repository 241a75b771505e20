"""Which files are written: containers, codecs, what each holds, and the scale of quality."""

from dataclasses import dataclass
from pathlib import Path

from simswap.errors import InputError
from simswap.video.pyav import av_module, open_video

CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
QUALITY = 75


@dataclass(frozen=True)
class Codec:
    """An encoder.

    Attributes:
        encoder: FFmpeg's name.
        containers: endings of the files that hold it.
        worst: CRF at quality 0; None without loss.
        best: CRF at quality 100.
        options: FFmpeg's other options.
        odd: whether 4:2:0 pictures may have odd sizes.
    """

    encoder: str
    containers: tuple[str, ...]
    worst: float | None
    best: float
    options: dict[str, str]
    odd: bool = True


CODECS = {
    # stitchable: headers depend on settings alone, so that segments have the same
    "h264": Codec(
        "libx264", (".mp4", ".mov", ".mkv"), 48, 8,
        {"preset": "medium", "x264-params": "stitchable=1"}, False,
    ),
    "hevc": Codec(
        "libx265", (".mp4", ".mov", ".mkv"), 50, 10,
        {"preset": "fast", "x265-params": "open-gop=0:log-level=none"}, False,
    ),
    "vp9": Codec("libvpx-vp9", (".mp4", ".mkv", ".webm"), 63, 11, {"b": "0", "cpu-used": "4", "row-mt": "1"}),
    "av1": Codec("libsvtav1", (".mp4", ".mkv", ".webm"), 63, 11, {"preset": "8"}),
    "ffv1": Codec("ffv1", (".mkv",), None, 0, {"level": "3"}),
}  # fmt: skip
"""By the name of the setting ``codec``; PyAV's own wheels have all of them."""


def options_of(codec: str, quality: float) -> dict[str, str]:
    """FFmpeg's options for a codec at a quality of 0 to 100: CRF falls linearly from the worst to the best."""
    choice = CODECS[codec]
    if choice.worst is None:
        return dict(choice.options)
    crf = choice.worst + (choice.best - choice.worst) * quality / 100
    return {**choice.options, "crf": f"{crf:.0f}" if codec in ("vp9", "av1") else f"{crf:.1f}"}


def check_container(path: Path, codec: str, sound_from: Path | None = None) -> None:
    """Check that a video can be written as ``path``.

    Args:
        path: of the result.
        codec: of its pictures.
        sound_from: the file whose sound it gets.

    Raises:
        InputError: the ending, codec or sound is none that can be written so.
    """
    av = av_module(f"out={path}")
    suffix = path.suffix.lower()
    if suffix not in CONTAINERS:
        raise InputError(f"out={path}: videos are written as {', '.join(CONTAINERS)}")
    if codec not in CODECS:
        raise InputError(f"codec={codec}: there are {', '.join(CODECS)}")
    if suffix not in CODECS[codec].containers:
        raise InputError(f"out={path}: {codec} is written as {', '.join(CODECS[codec].containers)}")
    encoder = CODECS[codec].encoder
    if encoder not in av.codecs_available:
        raise InputError(f"codec={codec}: this build of PyAV has no {encoder}; choose another codec")
    if sound_from is not None:
        with open_video(sound_from) as (container, _):
            names = [stream.codec_context.name for stream in container.streams.audio if stream.codec_context]
        for name in names:
            if not holds(suffix, name):
                others = ", ".join(other for other in CODECS[codec].containers if holds(other, name))
                raise InputError(f"out={path}: {suffix} does not hold its sound ({name}); write it as {others}")


def holds(suffix: str, codec: str) -> bool:
    """Whether files of this ending hold this codec of FFmpeg's."""
    av = av_module(f"writing {suffix}")
    name = {"dca": "dts"}.get(codec, codec)
    if suffix == ".webm":
        return name in ("opus", "vorbis", "vp8", "vp9", "av1")
    with av.open(_Nowhere(), "w", format=CONTAINERS[suffix]) as container:
        return name in container.supported_codecs


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, data: bytes) -> int:
        return len(data)
