"""Videos through simswap-swap: what must stay, how steady the result is, speed and memory.

``python benchmarks/video.py videos --videos <videos> --pack <pack> --source <photo> --out <folder> --seconds 1``
    for each video, with and without smoothing: length and sound beside the input's, jitter of landmarks and of identity
    beside the untouched video's, and CPU milliseconds a frame; a sheet of every tenth frame
``python benchmarks/video.py untouched --videos <videos> --pack <pack> --source <photo> --out <folder> --seconds 1``
    the faces of the second half are not looked for: PSNR of those frames' luma against the original, beside that of the
    decoded pictures given to the same encoder
``python benchmarks/video.py memory --videos <videos> --pack <pack> --source <photo> --out <folder>``
    peak memory for 10 s and for 3 min of a video at 320 px, made by looping

The network is the package's photo.ckpt, the judge of identity the pack's recognizer. Jitter is the mean length of the
second difference over time: landmarks in px per frame², at a face size of 112 px; identity in units of the judge's
embedding.
"""

import argparse
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from itertools import count
from pathlib import Path

import numpy as np
import torch
from video_files import direct, luma

from simswap import checkpoint
from simswap.faces.alignment import apply, fit_similarity, template_points, warp
from simswap.faces.detection import InsightFaceDetector
from simswap.faces.paste import PasteSettings
from simswap.faces.smoothing import steady
from simswap.inference.finding import PhotoFaceFinder
from simswap.inference.swapper import PhotoSwapper, embedder_of
from simswap.inference.video.settings import VideoSettings
from simswap.inference.video_job import swap_video
from simswap.measuring.window import as_images
from simswap.models.builtin import WEIGHTS
from simswap.models.embedder import Embedder
from simswap.models.recognition import onnx_recognizer
from simswap.models.recorded import recognizer_of
from simswap.pictures import write_png
from simswap.video.pyav import open_video
from simswap.video.reader import read_video, video_info
from simswap.video.writer import VideoWriter

SIZE = 320  # of the detector


def swapper_of(pack):
    trained = checkpoint.load(WEIGHTS / "photo.ckpt")
    embedder = embedder_of(trained, recognizer_of(trained.description["config"], None))
    finder = PhotoFaceFinder(InsightFaceDetector(str(pack), size=SIZE))
    return PhotoSwapper(trained, embedder, finder, PasteSettings(), 24, 8, torch.device("cpu"))


def sound_of(path, seconds):
    """The sound packets that begin in the first seconds, as bytes."""
    with open_video(path) as (container, _):
        streams = container.streams.audio
        return [bytes(packet) for packet in container.demux(streams)
                if packet.size and packet.pts * packet.time_base < seconds - 0.05] if streams else []  # fmt: skip


def measured(path, detector, judge, seconds):
    """Landmarks [N, 5, 2] of the main face at a face size of 112 px, and identity [N, E], of every frame."""
    points, crops = [], []
    for frame in read_video(path, end=Fraction(str(seconds))):
        faces = detector.detect(frame.pixels)
        points.append(max(faces, key=lambda face: np.ptp(face.box)).landmarks if faces else np.full((5, 2), np.nan))
        crops.append(frame.pixels)
    known = np.array(points)
    middle = fit_similarity(np.nanmean(known, 0), template_points("arcface", 112))
    crops = [warp(crop, middle, 112) for crop in crops]
    with torch.inference_mode():
        views = torch.zeros(len(crops), dtype=torch.int64)
        embeddings = judge(as_images(crops, torch.device("cpu")), views)
    return apply(middle, known), embeddings.numpy()


def jitter(values):
    """Mean length of the second difference over time of [N, ..., D]."""
    return float(np.nanmean(np.linalg.norm(np.diff(values, n=2, axis=0), axis=-1)))


def sheet(original, results, file, seconds):
    """Every tenth frame: the original above, the results below."""
    rows = []
    for path in (original, *results):
        shown = [frame.pixels for frame in read_video(path, end=Fraction(str(seconds))) if frame.number % 10 == 0]
        step = max(1, round(max(shown[0].shape[:2]) / 300))
        rows.append(np.concatenate([picture[::step, ::step] for picture in shown], 1))
    write_png(file, np.concatenate(rows, 0))


def videos(given):
    swapper = swapper_of(given.pack)
    judge_file = next(file for file in sorted(Path(given.pack).glob("*.onnx")) if file.stem != "scrfd_2.5g_bnkps")
    judge = Embedder(onnx_recognizer(str(judge_file)), "arcface", 112)
    detector = swapper.find_faces.detector
    print(
        "video   swapped  kept  sound  ms/frame | landmarks of the mask: unsmoothed  smoothed "
        "| landmarks found on the video: input  unsmoothed  smoothed | identity: the same"
    )
    for path in sorted(given.videos.glob("*.mp4"))[: given.most]:
        outs = {}
        for smoothing in (0.0, given.smoothing):
            outs[smoothing] = out = given.out / f"{path.stem}_{smoothing:g}.mp4"
            settings = VideoSettings(end=given.seconds, smoothing=smoothing)
            cpu = time.process_time()
            done = swap_video(swapper, given.source, path, out, settings)
            cpu = (time.process_time() - cpu) / done.frames * 1e3
        times = [
            [frame.time for frame in read_video(file, end=Fraction(str(given.seconds)))]
            for file in (path, *outs.values())
        ]
        kept = all(len(one) == len(times[0]) and np.allclose(np.diff(np.array(one, float)), np.diff(np.array(times[0], float)), atol=1e-6) for one in times)  # fmt: skip # noqa: E501
        heard = sound_of(path, given.seconds)
        sound = all(sound_of(out, given.seconds)[: len(heard)] == heard for out in outs.values())
        found = [measured(file, detector, judge, given.seconds) for file in (path, *outs.values())]
        points, moments = found[0][0], np.array(times[0], float)
        whole = np.isfinite(points).all((1, 2))
        used = [jitter(steady(moments[whole], points[whole], width)) for width in outs]
        rows = [used] + [[jitter(values) for values in column] for column in zip(*found, strict=True)]
        sheet(path, outs.values(), given.out / f"{path.stem}.png", given.seconds)
        print(f"{path.stem:8} {done.swapped:3}/{done.frames:3}  {kept!s:5} {sound!s:5} {cpu:8.0f}  | "
              + " | ".join("  ".join(f"{value:6.3f}" for value in row) for row in rows), flush=True)  # fmt: skip


def untouched(given):
    print("video   frames without a face   PSNR dB: swapped video  encoded again")
    for path in sorted(given.videos.glob("*.mp4"))[: given.most]:
        swapper, calls, out = swapper_of(given.pack), count(), given.out / f"{path.stem}_half.mp4"
        frames = sum(1 for _ in read_video(path, end=given.seconds))
        find = swapper.find_faces
        # the first call is for the source's photo
        swapper.find_faces = lambda *seen, find=find, calls=calls, n=frames: (
            find(*seen) if next(calls) <= n // 2 else []
        )
        done = swap_video(swapper, given.source, path, out, VideoSettings(end=given.seconds))
        again = given.out / f"{path.stem}_again.mp4"
        direct(path, again, frames)
        original, *copies = (np.stack([*luma(file, frames)][done.swapped :]) for file in (path, out, again))
        found = [10 * np.log10(255**2 / ((copy - original) ** 2).mean()) for copy in copies]
        print(f"{path.stem:8} {len(original):3} of {frames:3}   {found[0]:28.2f}  {found[1]:13.2f}", flush=True)


def looped(path, seconds, out):
    """A video at 320 px of this length, made by showing one again and again."""
    info = video_info(path)
    small = replace(info, width=320, height=320, coded_width=320, coded_height=320, rotation=0)
    number, step = 0, 1 / Fraction(25)
    with VideoWriter(out, small) as writer:
        while number * step < seconds:
            for frame in read_video(path, end=4):
                if number * step >= seconds:
                    break
                pixels = np.ascontiguousarray(warp(frame.pixels, np.array([[320 / info.width, 0, 0], [0, 320 / info.height, 0]]), 320))  # fmt: skip # noqa: E501
                writer.write(replace(frame, number=number, time=number * step, pixels=pixels, stored=None, duration=step))  # fmt: skip # noqa: E501
                number += 1


def memory(given):
    """Each length in a process of its own; the kernel keeps its peak."""
    for seconds in (10, 180):
        file = given.out / f"loop_{seconds}.mp4"
        looped(sorted(given.videos.glob("*.mp4"))[0], seconds, file)
        told = [sys.executable, __file__, "one", "--videos", str(file), "--pack", given.pack, "--source",
                str(given.source), "--out", str(given.out / f"loop_{seconds}_out.mp4")]  # fmt: skip
        print(f"{seconds:4} s: {subprocess.run(told, check=True, capture_output=True, text=True).stdout.strip()}")


def peak_mib():
    """This process's largest resident memory; ``ru_maxrss`` would be its parent's where that has more."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def one(given):
    swapper = swapper_of(given.pack)
    cpu = time.process_time()
    before = peak_mib()
    done = swap_video(swapper, given.source, given.videos, given.out, VideoSettings())
    cpu = time.process_time() - cpu
    print(f"{done.frames} frames, {peak_mib():.0f} MiB (before the swap {before:.0f}), "
          f"{cpu / done.frames * 1e3:.0f} ms of CPU a frame")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=("videos", "untouched", "memory", "one"))
    for name in ("videos", "source", "out"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--pack")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--smoothing", type=float, default=VideoSettings.smoothing)
    parser.add_argument("--most", type=int)
    given = parser.parse_args()
    torch.set_num_threads(1)
    {"videos": videos, "untouched": untouched, "memory": memory, "one": one}[given.job](given)


if __name__ == "__main__":
    main()
