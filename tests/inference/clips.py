"""Small videos of rendered people whose faces are known, and a swapper that finds them by what it was told."""

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image

from simswap.faces.detection import Face
from simswap.faces.paste import PasteSettings
from simswap.inference.finding import PhotoFaceFinder
from simswap.inference.swapper import PhotoSwapper
from simswap.models import builtin
from simswap.models.embedder import Embedder
from simswap.models.generator import Generator
from simswap.rendered.rendering import Attributes, render, render_person
from simswap.video.colors import ColorTags
from simswap.video.reader import Frame, VideoInfo, read_video
from simswap.video.writer import VideoWriter

SIDE, RATE = 64, 10
PEOPLE = {"ann": 3, "bob": 8, "eve": 21}


def info(width, height):
    return VideoInfo(
        Path("rendered"), width, height, width, height, 0, Fraction(RATE), None, Fraction(0), Fraction(1), 8, "raw",
        ColorTags(1, 1, 1, 1), False, None, time_base=Fraction(1, 1000),
    )  # fmt: skip


def face_of(points):
    low, high = points.min(0), points.max(0)
    return Face(np.concatenate([low - 12, high + 12]), points, 0.9)


class Told:
    """A detector that looks pictures up by their pixels."""

    name, sha256, settings = "told", "0" * 64, {}

    def __init__(self):
        self.known = {}
        self.asked = 0

    def tell(self, pixels, faces):
        self.known[hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).digest()] = faces

    def detect(self, image):
        self.asked += 1
        return list(self.known.get(hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest(), []))


@dataclass
class Clip:
    """A video of ann on the left and bob on the right, and what its detector knows."""

    path: Path
    detector: Told
    landmarks: np.ndarray  # [frames, 2, 5, 2]


def picture_of(who, frame=0, **more):
    attributes = Attributes(yaw=12 * np.sin(frame / 4), shift_x=0.004 * frame, scene=5, **more)
    return render(render_person(PEOPLE[who]), attributes, SIDE)


def write_clip(path, frames, missing=(), empty=()):
    """Write a clip in ``ffv1``: on ``missing`` frames the detector finds nobody, on ``empty`` ones nobody is there."""
    detector, points = Told(), []
    with VideoWriter(path, info(2 * SIDE, SIDE), codec="ffv1" if path.suffix == ".mkv" else "h264") as writer:
        for number in range(frames):
            left, right = (picture_of(who, number) for who in ("ann", "bob"))
            shown = np.concatenate([left.image, right.image], 1)
            if number in empty:
                shown = np.full_like(shown, 90)
            writer.write(Frame(number, Fraction(number, RATE), shown))
            points.append([left.landmarks, right.landmarks + np.array([SIDE, 0])])
    for frame, pair in zip(read_video(path), points, strict=True):
        there = frame.number not in empty and frame.number not in missing
        detector.tell(frame.pixels, [face_of(one) for one in pair] if there else [])
    return Clip(path, detector, np.array(points))


def write_photo_of(who, file, detector):
    """A photo that shows one person, and which the detector knows."""
    made = picture_of(who)
    Image.fromarray(made.image).save(file)
    detector.tell(made.image, [face_of(made.landmarks)])
    return file


def swapper_for(detector, batch_size=3, min_face=8):
    torch.manual_seed(0)
    generator = Generator(width=4, stages=2, blocks=1, identity_size=64, max_width=8).eval()
    checkpoint = SimpleNamespace(generator=generator, template="arcface", image_size=32, sha256="1" * 64)
    embedder = Embedder(builtin.recognizer(), "arcface", 32)
    return PhotoSwapper(
        checkpoint, embedder, PhotoFaceFinder(detector), PasteSettings(), min_face, batch_size, torch.device("cpu")
    )
