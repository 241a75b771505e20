"""One person's folder: each raw image becomes an aligned crop, or a line that says why not.

Every folder has a journal, ``<out>/.prepare/rows/<hash>.csv``, with one line an image in the manifest's
columns, written after the crop is in place. Whatever moment the process dies at, a second run finds what
is done and does the rest; a crop never stands half-written under its final name.
"""

import csv
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from simswap.data.listing import list_images
from simswap.data.manifest import COLUMNS, CROPS_FOLDER, OK
from simswap.data.reading import Pixels, UnreadableImage, read_image
from simswap.data.sources import PersonFolder, crop_names, is_plain_name, printable
from simswap.faces.alignment import align, warp
from simswap.faces.detection import Face, pick_main_face

WORK_FOLDER = ".prepare"
# Below this no five points can be told apart, whatever the table of landmarks says.
SMALLEST_SIDE = 16
SUFFIXES = {"png": ".png", "jpg": ".jpg"}


class Detector(Protocol):
    """What prepare needs of a face detector."""

    def detect(self, image: Pixels) -> list[Face]:
        """The faces of uint8 [H, W, 3] RGB."""


@dataclass(frozen=True)
class CropSettings:
    """What decides a crop's pixels: its template, size in px, file format, JPEG quality, and the smallest
    side in px that a raw image may have (0: any)."""

    template: str
    size: int
    image_format: str
    quality: int
    min_side: int


@dataclass(frozen=True)
class FolderTask:
    """One folder's work: its own landmarks (stem → [10]) where a table gives them, else the detector's."""

    source: PersonFolder
    landmarks: dict[str, npt.NDArray[np.float32]] | None


@dataclass
class FolderResult:
    """What became of a folder: images per status, new ones, and how many landmark rows found their image."""

    images: int = 0
    new: int = 0
    matched: int = 0
    counts: dict[str, int] = field(default_factory=dict)


class Skip(Exception):
    """An image that gives no crop: a status of the manifest, and a detail."""

    def __init__(self, status: str, detail: str = "") -> None:
        super().__init__(status)
        self.status, self.detail = status, detail


def journal_path(out: Path, folder: str) -> Path:
    """The journal of one raw folder (a hash: folder names may hold what a file name cannot)."""
    digest = hashlib.blake2b(os.fsencode(folder), digest_size=12).hexdigest()
    return out / WORK_FOLDER / "rows" / f"{digest}.csv"


def read_journal(file: Path) -> list[list[str]]:
    """The whole lines of a journal; a last line cut off by a kill, or by a full disk, is left out."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    whole = text[: text.rfind("\n") + 1]
    return [row for row in csv.reader(whole.splitlines()) if len(row) == len(COLUMNS)]


def process_folder(
    raw: Path,
    out: Path,
    task: FolderTask,
    settings: CropSettings,
    detector: Detector | None,
    stopped: Callable[[], bool] = lambda: False,
) -> FolderResult:
    """Align what is not yet in the folder's journal. Raises OSError where ``out`` cannot be written."""
    source = task.source
    images = list_images(raw / source.folder)
    journal = journal_path(out, source.folder)
    rows = read_journal(journal)
    done = {row[2].rpartition("/")[2]: row for row in rows}
    given = {name: row[0].rpartition("/")[2] for name, row in done.items() if row[0]}
    names = crop_names(images, given, SUFFIXES[settings.image_format])
    missing = [image for image in images if printable(image) not in done]
    result = FolderResult(images=len(images), new=0)
    if missing:
        with open(journal, "a+b") as stream:
            _drop_torn_line(stream.fileno())
            for image in missing:
                if stopped():
                    break
                row = _process_image(raw, out, task, image, names[image], settings, detector)
                stream.write(csv_line(row))
                stream.flush()
                rows.append(row)
                result.new += 1
    for row in rows:
        result.counts[row[3]] = result.counts.get(row[3], 0) + 1
    if task.landmarks is not None:
        result.matched = len({os.path.splitext(image)[0] for image in images} & set(task.landmarks))
    return result


def csv_line(row: list[str]) -> bytes:
    """One line of CSV, its fields quoted where needed."""
    fields = [f'"{value.replace(chr(34), chr(34) * 2)}"' if any(c in value for c in ',"') else value for value in row]
    return (",".join(fields) + "\n").encode()


def _drop_torn_line(descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    content = os.pread(descriptor, size, 0)
    os.ftruncate(descriptor, content.rfind(b"\n") + 1)


def _process_image(
    raw: Path,
    out: Path,
    task: FolderTask,
    image: str,
    crop_name: str,
    settings: CropSettings,
    detector: Detector | None,
) -> list[str]:
    source = task.source
    relative = f"{source.folder}/{image}" if source.folder else image
    path, view, score, points = "", "", "", [""] * 10
    try:
        face, pixels = _find(raw / relative, task, image, settings, detector)
        points = [f"{value:.3f}" for value in face.landmarks.reshape(-1)]
        score = "" if detector is None else f"{face.score:.4f}"
        crop, view = _crop(pixels, face, settings)
        path = f"{CROPS_FOLDER}/{source.identifier}/{crop_name}"
        write_atomically(out / path, encode(crop, settings), journal_path(out, source.folder).with_suffix(".partial"))
        status, detail = OK, ""
    except Skip as reason:
        status, detail = reason.status, printable(reason.detail)
    return [path, printable(source.person), printable(relative), status, detail, view, score, *points]


def _find(
    file: Path, task: FolderTask, image: str, settings: CropSettings, detector: Detector | None
) -> tuple[Face, Pixels]:
    """The face to align, and the image; raises Skip."""
    if not task.source.folder:
        raise Skip("no_person", "lies in the root, outside every person's folder")
    if not is_plain_name(f"{task.source.folder}/{image}"):
        raise Skip("bad_name", "the name holds control characters or is no UTF-8; rename it")
    given = None
    if task.landmarks is not None:
        given = task.landmarks.get(os.path.splitext(image)[0])
        if given is None:
            raise Skip("no_landmarks", "the table of landmarks has no row for it")
        if not np.isfinite(given).all():
            raise Skip("bad_landmarks", "the table of landmarks has no number in its row")
    try:
        pixels = read_image(file)
    except UnreadableImage as error:
        raise Skip("unreadable", error.reason) from error
    height, width = pixels.shape[:2]
    if min(height, width) < max(settings.min_side, SMALLEST_SIDE):
        raise Skip("too_small", f"{width} x {height}")
    if given is not None:
        points = given.reshape(5, 2).astype(np.float64)
        centre = points.mean(0)
        if not (0 <= centre[0] < width and 0 <= centre[1] < height):
            raise Skip("bad_landmarks", f"they lie outside the image of {width} x {height}")
        box = np.concatenate([points.min(0), points.max(0)])
        return Face(box=box, landmarks=points, score=1.0), pixels
    assert detector is not None
    faces = detector.detect(pixels)
    if not faces:
        raise Skip("no_face")
    return pick_main_face(faces, pixels.shape), pixels


def _crop(pixels: Pixels, face: Face, settings: CropSettings) -> tuple[Pixels, str]:
    try:
        alignment = align(face.landmarks, settings.template, settings.size)
    except ValueError as error:
        raise Skip("bad_landmarks", str(error)) from error
    return warp(pixels, alignment.matrix, settings.size), str(alignment.view)


def encode(crop: Pixels, settings: CropSettings) -> bytes:
    """The bytes of a crop's file."""
    options = [cv2.IMWRITE_JPEG_QUALITY, settings.quality] if settings.image_format == "jpg" else []
    done, data = cv2.imencode(SUFFIXES[settings.image_format], cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f"a crop {crop.shape} could not be encoded as {settings.image_format}")
    return data.tobytes()


def write_atomically(file: Path, data: bytes, partial: Path) -> None:
    """Write under another name on the same disk, then rename: the final name never holds half a file."""
    partial.write_bytes(data)
    try:
        os.replace(partial, file)
    except FileNotFoundError:
        file.parent.mkdir(parents=True, exist_ok=True)
        os.replace(partial, file)
