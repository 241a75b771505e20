"""A rendered head that turns for 3 s: how far smoothed landmarks, and the heads of swapped videos, are from the truth.

``python benchmarks/video_truth.py landmarks``
    the true landmarks with noise, smoothed: their error, and what it does to the alignment of the crops
``python benchmarks/video_truth.py pose``
    the video swapped by demo.ckpt with such landmarks: the head pose of the finished frames against the true one, over
    time, beside what the same pose estimator says of the untouched frames

Noise is normal, in px of a frame of 224 px, in which the eyes are 45 px apart. The pose estimator is the package's for
rendered faces; it sees crops that the true landmarks align, so that its input depends on the frames alone. Pose error
is the L2 distance of (yaw, pitch, roll); jitter the mean length of the second difference from frame to frame.
"""

import argparse
import tempfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from simswap import checkpoint
from simswap.faces.alignment import align, warp
from simswap.faces.detection import Face
from simswap.faces.paste import PasteSettings
from simswap.faces.smoothing import steady
from simswap.inference.swapper import PhotoSwapper, embedder_of
from simswap.inference.video.settings import VideoSettings
from simswap.inference.video_job import swap_video
from simswap.measuring.window import as_images
from simswap.models.builtin import WEIGHTS, pose_estimator
from simswap.models.recorded import recognizer_of
from simswap.pictures import write_png
from simswap.rendered.rendering import Attributes, landmarks_of, render, render_person
from simswap.video.colors import ColorTags
from simswap.video.reader import Frame, VideoInfo, read_video
from simswap.video.writer import VideoWriter
from video import jitter

SIDE, RATE, FRAMES = 224, 25, 75
TIMES = np.arange(FRAMES) / RATE
HEAD = [
    Attributes(yaw=25 * np.sin(2 * t), pitch=6 * np.sin(3 * t), roll=8 * np.sin(1.5 * t), shift_x=0.1 * np.sin(t))
    for t in TIMES
]
TARGET, SOURCE = 3, 21


def landmarks():
    random, exact = np.random.default_rng(0), true_landmarks()
    print(f"noise px  smoothing s   error of points px  roll °  scale %  jitter px (truth {jitter(exact):.2f})")
    for noise in (0.0, 0.5, 1.0, 2.0):
        seen = exact + random.normal(0, noise, exact.shape)
        for width in (0.0, 0.04, 0.08, 0.1, 0.15, 0.2, 0.3):
            made = steady(TIMES, seen, width)
            fits = [[align(one, "arcface", 112).matrix for one in points] for points in (made, exact)]
            parts = [np.array([complex(m[0, 0], m[1, 0]) for m in one]) for one in fits]
            ratio = parts[0] / parts[1]
            error = np.linalg.norm(made - exact, axis=-1).mean()
            print(f"{noise:8.1f}  {width:11.2f}   {error:18.2f}  {np.degrees(np.abs(np.angle(ratio))).mean():6.2f}  "
                  f"{100 * np.abs(np.abs(ratio) - 1).mean():7.2f}  {jitter(made):6.2f}")  # fmt: skip


def true_landmarks():
    """[FRAMES, 5, 2] in px."""
    person = render_person(TARGET)
    return np.array([landmarks_of(person, attributes, SIDE) for attributes in HEAD])


class Given:
    """A detector that returns the landmarks that it is given for a picture."""

    name, sha256, settings = "given", "0" * 64, {}

    def __init__(self):
        self.known = {}

    def tell(self, pixels, points):
        self.known[pixels.tobytes()] = points

    def detect(self, pixels):
        points = self.known.get(np.ascontiguousarray(pixels).tobytes())
        if points is None:
            return []
        return [Face(np.concatenate([points.min(0) - 40, points.max(0) + 40]), points, 1.0)]


def pose():
    exact, detector, measured = true_landmarks(), Given(), Measured()
    truth = np.array([[one.yaw, one.pitch, one.roll] for one in HEAD])
    print("video       noise px  smoothing s   pose error °: mean  in the 1st  2nd  3rd second  95 %  "
          f"against the untouched   jitter ° (truth {jitter(truth[:, None]):.2f})")  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder, trained = Path(name), checkpoint.load(WEIGHTS / "demo.ckpt")
        original, source = folder / "a.mkv", folder / "source.png"
        frames = write_video(original)
        photo = render(render_person(SOURCE), Attributes(), SIDE)
        write_png(source, photo.image)
        embedder = embedder_of(trained, recognizer_of(trained.description["config"], None))
        swapper = PhotoSwapper(trained, embedder, lambda _, seen: detector.detect(seen), PasteSettings(), 24, 8,
                               torch.device("cpu"))  # fmt: skip
        untouched = measured(original, exact)
        say("untouched   " + 23 * " ", untouched, truth, untouched)
        for noise in (0.0, 0.5, 1.0, 2.0):
            random = np.random.default_rng(0)
            detector.tell(photo.image, photo.landmarks)
            for pixels, points in zip(frames, exact, strict=True):
                detector.tell(pixels, points + random.normal(0, noise, points.shape))
            for width in (0.0, VideoSettings.smoothing):
                out = folder / f"{noise}_{width}.mkv"
                swap_video(swapper, source, original, out, VideoSettings(codec="ffv1", mark=False, smoothing=width))
                say(f"swapped     {noise:8.1f}  {width:11.2f}  ", measured(out, exact), truth, untouched)


def write_video(path):
    """The rendered video; returns its frames as they are read."""
    info = VideoInfo(
        path, SIDE, SIDE, SIDE, SIDE, 0, Fraction(RATE), None, Fraction(0), Fraction(1), 8, "raw",
        ColorTags(1, 1, 1, 1), False, None, time_base=Fraction(1, 1000),
    )  # fmt: skip
    person = render_person(TARGET)
    with VideoWriter(path, info, codec="ffv1") as writer:
        for number, attributes in enumerate(HEAD):
            shown = render(person, replace(attributes, scene=5), SIDE).image
            writer.write(Frame(number, Fraction(number, RATE), shown))
    return [frame.pixels for frame in read_video(path)]


class Measured:
    """Head poses [FRAMES, 3] of a video in degrees, roll in the frame, from crops that the true landmarks align."""

    def __init__(self):
        self.estimator = pose_estimator()

    def __call__(self, path, exact):
        aligned = [align(points, "arcface", 64) for points in exact]
        crops = [warp(frame.pixels, one.matrix, 64) for one, frame in zip(aligned, read_video(path), strict=True)]
        with torch.inference_mode():
            views = torch.zeros(len(crops), dtype=torch.int64)
            found = self.estimator(as_images(crops, torch.device("cpu")), "arcface", views).double().numpy()
        turned = [np.degrees(np.arctan2(one.matrix[1, 0], one.matrix[0, 0])) for one in aligned]
        return found - np.stack([np.zeros(FRAMES), np.zeros(FRAMES), turned], 1)


def say(words, found, truth, untouched):
    error, apart = (np.linalg.norm(found - other, axis=1) for other in (truth, untouched))
    seconds = "  ".join(f"{part.mean():4.2f}" for part in np.split(error, 3))
    figures = f"{error.mean():19.2f}  {seconds}  {np.quantile(error, 0.95):4.1f}  {apart.mean():21.2f}"
    print(f"{words}{figures}   {jitter(found[:, None]):6.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=("landmarks", "pose"))
    torch.set_num_threads(1)
    {"landmarks": landmarks, "pose": pose}[parser.parse_args().job]()


if __name__ == "__main__":
    main()
