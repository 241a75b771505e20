"""Swaps faces in photographs that installed packages bring (``make photos``), with the package's own checkpoint.

The photographs: a group and a portrait in insightface's data, an astronaut in scikit-image's. For each pair of source
and photo it writes the swapped photo, and a picture of before and after; ``figures.csv`` holds what was measured. The
judge is dlib's network, which the checkpoint was trained with: it is not independent (docs/models.md has a judge that
is).
"""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from simswap import checkpoint
from simswap.errors import InputError
from simswap.faces.detection import Pixels
from simswap.faces.dlib_detector import DlibDetector
from simswap.faces.paste import PasteSettings
from simswap.files import atomic_write
from simswap.inference.finding import PhotoFaceFinder
from simswap.inference.photos import Photo, read_photo
from simswap.inference.swap_figures import SwapFigures, measure_swaps
from simswap.inference.swapper import Aligned, PhotoSwapper, embedder_of
from simswap.inference.writing import write_photo
from simswap.models.builtin import WEIGHTS
from simswap.models.dlib_pose import Dlib68Pose
from simswap.models.dlib_recognizer import dlib_recognizer
from simswap.models.embedder import Embedder
from simswap.models.recorded import recognizer_of
from simswap.packages import package_folder
from simswap.pictures import GAP, mark_synthetic, provenance, write_png

PHOTO_CHECKPOINT = WEIGHTS / "photo.ckpt"
# Name → package and path of the photograph inside of it.
PHOTOS = {
    "group": ("insightface", "data/images/t1.jpg"),
    "portrait": ("insightface", "data/images/Tom_Hanks_54745.png"),
    "astronaut": ("skimage", "data/astronaut.png"),
}
# (source, target)
SWAPS = (
    ("portrait", "group"),
    ("astronaut", "group"),
    ("portrait", "astronaut"),
    ("astronaut", "portrait"),
)


def photo_file(name: str) -> Path:
    """Where an installed package keeps a photograph, found without importing it.

    Raises:
        InputError: The package is not installed, or has no such file.
    """
    package, inside = PHOTOS[name]
    folder = package_folder(package)
    if folder is None:
        raise InputError(f"photograph {name!r}: the package {package} is not installed; install the project again")
    file = folder / inside
    if not file.is_file():
        raise InputError(f"photograph {name!r}: {file} is not there; install the package {package} again")
    return file


def demo_swapper(device: torch.device) -> tuple[PhotoSwapper, checkpoint.SwapCheckpoint]:
    """The package's checkpoint for photographs, with dlib's detector. Raises InputError without the extra."""
    trained = checkpoint.load(PHOTO_CHECKPOINT)
    embedder = embedder_of(trained, recognizer_of(trained.description["config"], None))
    finder = PhotoFaceFinder(DlibDetector(size=1024, upsample=0))
    return PhotoSwapper(trained, embedder, finder, PasteSettings(), 24, 8, device), trained


def swap_all(out: Path) -> list[tuple[str, str, int, SwapFigures]]:
    """Write every swap and its picture of before and after to a folder.

    Returns:
        Source, target, number of the face and figures of each swapped face.

    Raises:
        InputError: A package or a photograph is missing.
    """
    swapper, trained = demo_swapper(torch.device("cpu"))
    judge = Embedder(dlib_recognizer(centered=False), trained.template, trained.image_size)
    pose = Dlib68Pose()
    words = provenance(f"sha256:{trained.sha256}")
    photos = {name: read_photo(photo_file(name)) for name in PHOTOS}
    faces: dict[str, list[Aligned]] = {name: swapper.find(photo) for name, photo in photos.items()}
    rows = []
    for source, target in SWAPS:
        photo, targets = photos[target], faces[target]
        sources = [faces[source][0]] * len(targets)
        done = swapper.paste(photo, targets, swapper.swap_crops(targets, sources))
        write_photo(out / f"{source}_on_{target}.png", done, photo, words, mark=True)
        result = photo.to_srgb(done)
        shown = before_and_after(faces[source][0], photo, result)
        write_png(out / f"{source}_on_{target}_before_after.png", shown, words)
        found = measure_swaps(judge, pose, trained.template, targets, sources, result)
        rows += [(source, target, number, figures) for number, figures in enumerate(found, start=1)]
    return rows


def before_and_after(source: Aligned, photo: Photo, result: Pixels) -> Pixels:
    """The source's face, the photo and the swapped photo side by side, uint8 [max(H, S), S + 2 W + 2 gaps, 3]."""
    pictures = [source.crop, photo.seen(), mark_synthetic(result)]
    height = max(picture.shape[0] for picture in pictures)
    gap = np.full((height, GAP, 3), 255, np.uint8)
    columns = [np.pad(one, ((0, height - len(one)), (0, 0), (0, 0)), constant_values=255) for one in pictures]
    return np.hstack([columns[0], gap, columns[1], gap, columns[2]])


def write_figures(file: Path, rows: Sequence[tuple[str, str, int, SwapFigures]]) -> None:
    """Write the table as CSV, atomically."""
    with atomic_write(file) as part, part.open("w", newline="") as text:
        table = csv.writer(text)
        table.writerow(["source", "target", "face", *SwapFigures._fields])
        table.writerows([source, target, face, *(f"{value:.4f}" for value in figures)]
                        for source, target, face, figures in rows)  # fmt: skip


def main() -> None:
    """``python -m simswap.inference.demo_photos --out FOLDER``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("outputs/photos"))
    out = parser.parse_args().out
    try:
        rows = swap_all(out)
        write_figures(out / "figures.csv", rows)
    except InputError as error:
        parser.exit(2, f"error: {error}\n")
    print("source     on target    face  cosine to source: before  after  share  pose error")
    for source, target, face, one in rows:
        print(f"{source:10} {target:12} {face:4}  {one.before:24.2f} {one.to_source:6.2f} {100 * one.share:5.0f}%  "
              f"{one.pose_error_deg:9.1f}°")  # fmt: skip
    print(f"judge: dlib, the network that the checkpoint was trained with\npictures and figures.csv: {out}")


if __name__ == "__main__":
    main()
