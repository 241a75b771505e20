"""Face positions of a photo, from a detector or from a table."""

from pathlib import Path

import numpy as np

from simswap.data.landmarks import LandmarkTable
from simswap.errors import InputError
from simswap.faces.detection import Detector, Face, Pixels
from simswap.faces.plausible import guess_mistake, landmark_fault
from simswap.inference.photos import Photo


class PhotoFaceFinder:
    """A detector that also finds faces that fill the photo: if it finds none, it tries again with a margin."""

    MARGIN = 0.5  # of each side; detectors know faces with something around them

    def __init__(self, detector: Detector) -> None:
        self.detector = detector

    def __call__(self, photo: Photo, seen: Pixels) -> list[Face]:
        """Faces in pixels of the photo; ``seen`` is its image [H, W, 3] in sRGB."""
        faces = self.detector.detect(seen)
        if faces:
            return faces
        high, wide = (int(self.MARGIN * side) for side in seen.shape[:2])
        framed = np.pad(seen, ((high, high), (wide, wide), (0, 0)), constant_values=127)
        shift = np.array([wide, high], np.float64)
        return [
            Face(face.box - np.tile(shift, 2), face.landmarks - shift, face.score)
            for face in self.detector.detect(framed)
        ]


class TableFinder:
    """A landmark table in VGGFace2's form: one face per photo, under ``<folder>/<name without extension>``."""

    def __init__(self, table: LandmarkTable) -> None:
        self.table = table

    def __call__(self, photo: Photo, seen: Pixels) -> list[Face]:
        """Like `PhotoFaceFinder`, but a single face.

        Raises:
            InputError: the table has no row for the photo, or its points cannot be a face (`faces.plausible`).
        """
        faces = self.of_frame(photo, seen)
        if not faces:
            raise InputError(
                f"{photo.path}: no face found: the table of landmarks has no complete row {_name(photo.path)}"
            )
        return faces

    def of_frame(self, photo: Photo, seen: Pixels) -> list[Face]:
        """The same for a frame of a video, which may have no row: then there is no face.

        Raises:
            InputError: The points of its row cannot be a face.
        """
        landmarks = self.table.find(_name(photo.path), photo.path.suffix)
        if landmarks is None:
            return []
        fault = landmark_fault(landmarks, seen.shape)
        if fault:
            guess = guess_mistake([(landmarks, seen.shape)])
            raise InputError(
                f"{photo.path}: its row in the table of landmarks is no face of it: {fault}"
                + (f"; perhaps {guess}" if guess else "; mend the row")
            )
        low, high = landmarks.min(0), landmarks.max(0)
        margin = (high - low) * 0.5
        return [Face(np.concatenate([low - margin, high + margin]), landmarks, 1.0)]


def _name(path: Path) -> str:
    return f"{path.resolve().parent.name}/{path.stem}"
