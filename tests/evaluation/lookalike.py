"""A tiny FaceForensics++: videos of rendered faces in its folder layout, with a table of their landmarks."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from simswap.models.builtin import WEIGHTS
from simswap.rendered.dataset import LANDMARK_COLUMNS, draw_photo, person_seed
from simswap.rendered.rendering import render, render_person

SIDE, FRAMES = 96, 7


def write_video(path: Path, frames: list[np.ndarray], fps: float = 25) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
    for frame in frames:
        writer.write(frame[..., ::-1])
    writer.release()


def film(person: int, frames: int, swapped_with: int | None = None):
    """(pictures, landmarks) of a person who turns the head slowly; with ``swapped_with`` another person does it."""
    _, attributes = draw_photo(5, person, 0)
    identity = render_person(person_seed(5, person if swapped_with is None else swapped_with))
    start = replace(attributes, yaw=attributes.yaw / 3, glasses=0)
    made = [render(identity, replace(start, yaw=start.yaw + 2.0 * t), SIDE) for t in range(frames)]
    return [each.image for each in made], [each.landmarks for each in made]


def write_lookalike(root: Path) -> Path:
    """Videos, splits, one method's manipulated videos (the source rendered in the target's pose) and landmarks.csv."""
    names, lengths = ("000", "001", "002", "003"), (FRAMES, FRAMES + 2, FRAMES, FRAMES)
    rows = []
    for k, (name, length) in enumerate(zip(names, lengths, strict=True)):
        pictures, landmarks = film(k, length)
        write_video(root / "original_sequences/youtube/c23/videos" / f"{name}.mp4", pictures)
        rows += [[f"{name}/{t}", *(f"{v:.4f}" for v in points.ravel())] for t, points in enumerate(landmarks)]
    pairs = [list(names[k : k + 2]) for k in range(0, len(names), 2)]
    (root / "splits").mkdir(parents=True, exist_ok=True)
    for split in ("train", "val", "test"):
        (root / "splits" / f"{split}.json").write_text(json.dumps(pairs if split == "test" else []))
    for a, b in pairs:
        for target, source in ((a, b), (b, a)):
            length = min(lengths[names.index(target)], lengths[names.index(source)])
            pictures, _ = film(names.index(target), length, names.index(source))
            write_video(root / f"manipulated_sequences/Rendered/c23/videos/{target}_{source}.mp4", pictures)
    with open(root / "landmarks.csv", "w", newline="") as file:
        csv.writer(file).writerows([["NAME_ID", *LANDMARK_COLUMNS], *rows])
    return root


def command(root, out, *more: str) -> list[str]:
    """The arguments of an evaluation on such videos, which writes to ``out``."""
    return [
        f"checkpoint={WEIGHTS / 'demo.ckpt'}",
        "protocol=faceforensics",
        f"protocol.root={root}",
        f"out={out}",
        f"protocol.landmarks={root / 'landmarks.csv'}",
        "protocol.frames=3",
        "protocol.batch_size=4",
        f"protocol.swaps={root / 'manipulated_sequences/Rendered/c23'}",
        "grid_faces=6",
        *more,
    ]
