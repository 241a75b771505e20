"""Reading and writing video files: frames a second and CPU seconds of both readers, and what writing costs in quality.

python benchmarks/video_files.py <video> … [--frames 100]

For each video: the frames are read by PyAV and by OpenCV by turns; then they are written unchanged by our writer, and
the decoded pictures are given to the same encoder directly. PSNR is that of the luma samples against the original's, so
the two figures are equal where reading and writing lose nothing beyond the encoder.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from simswap.video.colors import planes
from simswap.video.containers import CODECS, options_of
from simswap.video.pyav import decoded, open_video
from simswap.video.reader import read_video, video_info
from simswap.video.writer import VideoWriter


def by_pyav(path: Path, frames: int) -> int:
    return sum(1 for _ in islice(read_video(path), frames))


def by_opencv(path: Path, frames: int) -> int:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    count = 0
    while count < frames:
        done, picture = capture.read()
        if not done:
            break
        cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        count += 1
    capture.release()
    return count


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """(result, seconds, CPU seconds)."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def luma(path: Path, frames: int) -> Iterator[np.ndarray]:
    with open_video(path) as (container, stream):
        for frame in islice(decoded(container, stream), frames):
            yield planes(frame)[0].astype(np.float64)


def psnr(original: Path, copy: Path, frames: int) -> float:
    """Of the luma samples, dB."""
    pairs = zip(luma(original, frames), luma(copy, frames), strict=True)
    return float(10 * np.log10(255**2 / np.mean([((a - b) ** 2).mean() for a, b in pairs])))


def ours(path: Path, out: Path, frames: int) -> None:
    with VideoWriter(out, video_info(path)) as writer:
        for frame in islice(read_video(path), frames):
            writer.write(frame)


def direct(path: Path, out: Path, frames: int) -> None:
    """The decoded pictures to the same encoder."""
    info = video_info(path)
    with open_video(path) as (source, stream), av.open(str(out), "w") as container:
        video = container.add_stream(CODECS["h264"].encoder, rate=info.rate, options=options_of("h264", 75))
        video.width, video.height, video.pix_fmt = info.width, info.height, "yuv420p"
        video.codec_context.time_base = info.time_base
        for frame in islice(decoded(source, stream), frames):
            frame.pict_type = 0
            container.mux(video.encode(frame))
        container.mux(video.encode(None))


def main() -> None:
    """Print one line of figures per video."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    for path in given.videos:
        info = video_info(path)
        print(f"{path.name}: {info.width} x {info.height}, {info.codec}, first {given.frames} frames")
        for name, read in [("PyAV", by_pyav), ("OpenCV", by_opencv)] * given.rounds:
            count, wall, cpu = timed(lambda read=read, path=path: read(path, given.frames))
            print(f"  read by {name}: {count / wall:.0f} frames/s, {1000 * cpu / count:.2f} ms of CPU a frame")
        with tempfile.TemporaryDirectory() as folder:
            for name, write in (("reader and writer", ours), ("encoder alone", direct)):
                out = Path(folder) / "out.mp4"
                _, wall, cpu = timed(lambda write=write, path=path, out=out: write(path, out, given.frames))
                size, quality = out.stat().st_size, psnr(path, out, given.frames)
                print(f"  {name}: {quality:.3f} dB, {size} bytes, {1000 * cpu / given.frames:.1f} ms of CPU a frame")


if __name__ == "__main__":
    main()
