"""Photos to try without one's own: rendered faces with known landmarks, and photographs of installed packages."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simswap.errors import InputError
from simswap.faces.detection import Face, Pixels
from simswap.files import sha256_of
from simswap.inference.demo_photos import PHOTOS, photo_file
from simswap.inference.photos import Photo
from simswap.inference.swapper import Finder
from simswap.pictures import provenance, write_png
from simswap.rendered.dataset import photo

RENDERED = {"rendered, woman": (21, 0, 0), "rendered, man": (21, 1, 0), "rendered, turned": (21, 2, 1)}
"""Name → seed, person and image of a rendered photo (`rendered.dataset.photo`)."""
SIDE = 320  # px of a rendered photo


@dataclass(frozen=True)
class Example:
    """A photo that the page offers.

    Attributes:
        name: What it shows.
        path: Of the file.
        face: Its face where that is known, so that no detector is needed; None for a photograph.
    """

    name: str
    path: Path
    face: Face | None


def rendered_examples(folder: Path) -> list[Example]:
    """Render the faces as PNG files into a folder; the landmarks are the renderer's own."""
    made = []
    for number, (name, (seed, person, image)) in enumerate(RENDERED.items(), start=1):
        drawn, _ = photo(seed, person, image, SIDE)
        path = folder / f"rendered_{number}.png"
        write_png(path, drawn.image, provenance("renderer"))
        points = np.asarray(drawn.landmarks, np.float64)
        low, high = points.min(0), points.max(0)
        margin = (high - low) * 0.5
        made.append(Example(name, path, Face(np.concatenate([low - margin, high + margin]), points, 1.0)))
    return made


def photo_examples(folder: Path) -> list[Example]:
    """Copy the photographs of installed packages into a folder; those of absent packages are left out."""
    found = []
    for name in PHOTOS:
        try:
            file = photo_file(name)
        except InputError:
            continue
        copy = folder / f"{name}{file.suffix}"
        shutil.copyfile(file, copy)
        found.append(Example(f"photograph, {name}", copy, None))
    return found


class ExampleFinder:
    """A detector for photos, which knows the faces of rendered examples without one.

    Args:
        examples: The photos that are offered.
        detector: Finds faces in all others; None without a detector.
    """

    def __init__(self, examples: list[Example], detector: Finder | None) -> None:
        self.known = {sha256_of(one.path): one.face for one in examples if one.face is not None}
        self.detector = detector

    def __call__(self, photo: Photo, seen: Pixels) -> list[Face]:
        """See `inference.finding.PhotoFaceFinder`.

        Raises:
            InputError: There is no detector, and the photo is no rendered example.
        """
        known = self.known.get(hashlib.sha256(photo.path.read_bytes()).hexdigest()) if photo.path.is_file() else None
        if known is not None:
            return [known]
        if self.detector is None:
            raise InputError(
                f"{photo.path}: the page was started without a detector, so only the rendered examples can be used; "
                "start it with detector=dlib or detector=insightface detector.pack=<pack>"
            )
        return self.detector(photo, seen)
