"""PyAV (extra ``video``), and video files opened with it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from simswap.errors import InputError
from simswap.packages import import_package
from simswap.stand_ins import refuse_stand_in

INSTALL = "pip install av (setup.cfg's extra video)"

# The formats that hold a video in one file. Playlists and lists of pictures, which name other files, are not among
# them: a file may come from a stranger.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,apng,flv,mpegts,mpeg,ogg,asf,nut,mxf,ivf,"
    "mpegvideo,m4v,h264,hevc,obu,yuv4mpegpipe,mp3,wav,flac,aac,w64,aiff"
)


def av_module(key: str) -> ModuleType:
    """The installed PyAV.

    Args:
        key: What needs it, for the message.

    Raises:
        InputError: PyAV is not installed, or cannot be loaded.
    """
    return import_package("av", f"{key}: needs PyAV", INSTALL)


@contextmanager
def open_video(path: Path) -> Iterator[tuple[Any, Any]]:
    """The container (``av.container.InputContainer``) of a file and its video stream.

    Raises:
        InputError: the file is missing, no video, cut off before its index, or has no video stream.
    """
    av = av_module(str(path))
    if not path.is_file():
        raise InputError(f"{path}: {'a folder, and no video file' if path.is_dir() else 'no such file'}")
    refuse_stand_in(path, "a video", "video")
    try:
        # "file:" keeps a colon in a name from being taken for a protocol.
        container = av.open(
            f"file:{path}",
            metadata_errors="replace",
            options={"protocol_whitelist": "file", "format_whitelist": FORMATS},
        )
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(
            f"{path} cannot be opened as a video ({reason(error)}): it is cut off, damaged or in a format that is "
            "not read"
        ) from error
    with container:
        yield container, _video_stream(path, container)


def _video_stream(path: Path, container: Any) -> Any:
    """The first video stream that is not the cover picture of a piece of music."""
    av = av_module(str(path))
    cover = av.stream.Disposition.attached_pic
    found = next((stream for stream in container.streams.video if not stream.disposition & cover), None)
    if found is None:
        what = "only sound" if container.streams.audio else "no stream of pictures"
        raise InputError(f"{path} holds {what} and no video; give a file with a video stream")
    if found.codec_context is None:
        raise InputError(f"{path}: its video codec cannot be decoded here; convert it to H.264 first")
    found.thread_type = "AUTO"
    return found


def decoded(container: Any, stream: Any) -> Iterator[Any]:
    """The decoded frames (``av.VideoFrame``) in the order of display; packets that cannot be decoded are skipped."""
    av = av_module(str(container.name))
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except (av.error.FFmpegError, OSError):  # the file ends within a packet
            packet = None
        if packet is not None and packet.is_corrupt and "mov" in container.format.name:
            continue  # half a packet, where the file was cut off
        frames = []
        with suppress(av.error.FFmpegError):
            frames = stream.codec_context.decode(packet)  # None: what the decoder still holds
        yield from frames
        if packet is None or packet.size == 0:
            return


def reason(error: Exception) -> str:
    """FFmpeg's words for an error."""
    return str(getattr(error, "strerror", None) or error)[:200]
