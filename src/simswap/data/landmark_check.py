"""A check of a landmark table before the work: if most of its points cannot be faces, something is mixed up."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from simswap.data.landmarks import LandmarkTable, key_of
from simswap.data.listing import list_images
from simswap.data.reading import UnreadableImage, read_shape
from simswap.data.sources import PersonFolder
from simswap.errors import InputError
from simswap.faces.plausible import guess_mistake, landmark_fault

ENOUGH = 100
"""Images after which a table of mostly bad points ends the work before it begins."""


@dataclass(frozen=True)
class Verdict:
    """The result of the check.

    Attributes:
        judged: images checked.
        bad: images whose points cannot be a face.
        words: what is wrong with most of them, with the first as an example; empty if fewer than half are bad.
    """

    judged: int
    bad: int
    words: str


def look_at(raw: Path, folders: Sequence[PersonFolder], table: LandmarkTable) -> Verdict:
    """Check a table against up to `ENOUGH` images, spread over the folders; only their headers are read.

    Raises:
        InputError: enough images were checked, and the points of most cannot be faces.
    """
    faulty: list[tuple[npt.NDArray[np.float64], tuple[int, ...]]] = []
    judged, example = 0, ""
    for name, points, shape in _sample(raw, folders, table):
        judged += 1
        fault = landmark_fault(points, shape)
        if fault is not None:
            example = example or f"{name}: {fault}"
            faulty.append((points, shape))
    if 2 * len(faulty) <= judged:
        return Verdict(judged, len(faulty), "")
    guess = guess_mistake(faulty)
    words = (
        f"bad_landmarks in {len(faulty)} of the first {judged} images looked at ({example})"
        f"{f': it seems that {guess}' if guess else ''}"
    )
    if judged >= ENOUGH:
        raise InputError(
            f"landmarks={', '.join(str(file) for file in table.files)}: {words}; mend the table (left eye, right eye, "
            "nose, left and right mouth corner as seen in the image, x and y in pixels) and start again"
        )
    return Verdict(judged, len(faulty), words)


def _sample(
    raw: Path, folders: Sequence[PersonFolder], table: LandmarkTable
) -> Iterator[tuple[str, npt.NDArray[np.float64], tuple[int, ...]]]:
    """Up to `ENOUGH` images that have a row: (file below raw, points [5, 2], height and width).

    One image per folder in strides over all folders, then second ones, and so on.
    """
    chosen = folders[:: max(1, -(-len(folders) // ENOUGH))]
    known = [(folder, _with_rows(raw, folder, table)) for folder in chosen if folder.folder]
    given = 0
    for place in range(ENOUGH):
        left = [(folder, images) for folder, images in known if place < len(images)]
        for folder, images in left:
            image, points = images[place]
            try:
                shape = read_shape(raw / folder.folder / image)
            except UnreadableImage:
                continue
            yield f"{folder.folder}/{image}", points.reshape(5, 2).astype(np.float64), shape
            given += 1
            if given == ENOUGH:
                return
        if not left:
            return


def _with_rows(raw: Path, folder: PersonFolder, table: LandmarkTable) -> list[tuple[str, npt.NDArray[np.float32]]]:
    rows = table.of_person(folder.identifier)
    found = []
    for image in list_images(raw / folder.folder) if rows else ():
        key = key_of(image, rows)
        if key is not None:
            found.append((image, rows[key]))
        if len(found) == ENOUGH:
            break
    return found
