"""One person's folder: each raw image becomes an aligned crop, or a line with the reason why not.

Every folder has a journal, ``<out>/.prepare/rows/<hash>.csv``, with one line per image in the manifest's columns,
written after the crop is in place. Whenever the process dies, a second run finds what is done and does the rest; no
crop is ever half-written under its final name.
"""

import csv
import errno
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from simswap.data.cropping import (
    BAD_LANDMARKS,
    BAD_NAME,
    NO_LANDMARKS,
    SUFFIXES,
    UNREADABLE,
    CropSettings,
    SkippedImage,
    crop_face,
    encode,
    find_face,
)
from simswap.data.landmarks import count_matched, key_of
from simswap.data.listing import list_images
from simswap.data.manifest import COLUMNS, CROPS_FOLDER, OK
from simswap.data.reading import may_pass
from simswap.data.sources import PersonFolder, crop_names, printable, repeated_names
from simswap.faces.detection import Detector

WORK_FOLDER = ".prepare"


@dataclass(frozen=True)
class FolderTask:
    """The work on one folder, with its landmarks (name → [10]) if a table gives them."""

    source: PersonFolder
    landmarks: dict[str, npt.NDArray[np.float32]] | None


@dataclass
class FolderResult:
    """What became of a folder.

    It holds the number of images per status, the number of new ones, how many rows of the landmark table have an image,
    and the NAME_ID of the first image without a row.
    """

    images: int = 0
    new: int = 0
    matched: int = 0
    lacking: str = ""
    counts: dict[str, int] = field(default_factory=dict)


def journal_path(out: Path, folder: str) -> Path:
    """The journal of one raw folder; its name is a hash, since folder names may not be valid file names."""
    digest = hashlib.blake2b(os.fsencode(folder), digest_size=12).hexdigest()
    return out / WORK_FOLDER / "rows" / f"{digest}.csv"


def read_journal(file: Path) -> list[list[str]]:
    """The complete lines of a journal, without a last line that a kill or a full disk cut off."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    whole = text[: text.rfind("\n") + 1]
    # Not splitlines(), which also splits at characters that a name may contain.
    return [row for row in csv.reader(whole.split("\n")) if len(row) == len(COLUMNS)]


def process_folder(
    raw: Path,
    out: Path,
    task: FolderTask,
    settings: CropSettings,
    detector: Detector | None,
    stopped: Callable[[], bool] = lambda: False,
) -> FolderResult:
    """Align the images that are not yet in the folder's journal, and those that may succeed now.

    Raises:
        OSError: ``out`` cannot be written.
    """
    source = task.source
    images = list_images(raw / source.folder)
    journal = journal_path(out, source.folder)
    rows = _settled(journal, task)
    done = {row[2].rpartition("/")[2]: row for row in rows}
    given = {name: row[0].rpartition("/")[2] for name, row in done.items() if row[0]}
    names = crop_names(images, given, SUFFIXES[settings.image_format])
    missing = [image for image in images if printable(image) not in done]
    repeated = repeated_names(images, [name for twin in source.twins for name in list_images(raw / twin)])
    result = FolderResult(images=len(images), new=0)
    if missing:
        with open(journal, "a+b") as stream:
            _drop_torn_line(stream.fileno())
            for image in missing:
                if stopped():
                    break
                row = _process_image(raw, out, task, image, names[image], repeated.get(image), settings, detector)
                stream.write(csv_line(row))
                stream.flush()
                rows.append(row)
                result.new += 1
    for row in rows:
        result.counts[row[3]] = result.counts.get(row[3], 0) + 1
    if task.landmarks is not None:
        result.matched = count_matched(images, task.landmarks)
        lacking = next((row for row in rows if row[3] == NO_LANDMARKS), None)
        if lacking is not None:
            result.lacking = f"{source.identifier}/{os.path.splitext(lacking[2].rpartition('/')[2])[0]}"
    return result


def _settled(journal: Path, task: FolderTask) -> list[list[str]]:
    """The journal's rows without those to try again, which are also removed from the file.

    Tried again are images that could not be opened, and images whose landmarks were missing or bad and have changed.
    """
    rows = read_journal(journal)
    settled = [row for row in rows if not _may_succeed(row, task)]
    if len(settled) < len(rows):
        partial = journal.with_suffix(".partial")
        partial.write_bytes(b"".join(map(csv_line, settled)))
        os.replace(partial, journal)
    return settled


def _may_succeed(row: list[str], task: FolderTask) -> bool:
    status, detail = row[3], row[4]
    if status == UNREADABLE:
        return may_pass(detail)
    if status not in (NO_LANDMARKS, BAD_LANDMARKS) or task.landmarks is None:
        return False
    key = key_of(row[2].rpartition("/")[2], task.landmarks)
    return key is not None and _written(task.landmarks[key]) != row[-10:]


def _written(landmarks: npt.NDArray[np.floating]) -> list[str]:
    return [f"{value:.3f}" for value in landmarks.reshape(-1)]


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
    same_as: str | None,
    settings: CropSettings,
    detector: Detector | None,
) -> list[str]:
    source = task.source
    relative = f"{source.folder}/{image}" if source.folder else image
    path, view, score, points = "", "", "", [""] * 10
    try:
        if same_as is not None:
            raise SkippedImage(BAD_NAME, f"has the name of {same_as} in another Unicode form; rename one of them")
        found = find_face(raw / relative, task.source, task.landmarks, image, settings, detector)
        points = _written(found.face.landmarks)
        score = "" if detector is None else f"{found.face.score:.4f}"
        crop, view = crop_face(found, settings)
        path = f"{CROPS_FOLDER}/{source.crops}/{crop_name}"
        _write_crop(out / path, encode(crop, settings), journal_path(out, source.folder).with_suffix(".partial"))
        status, detail = OK, ""
    except SkippedImage as reason:
        status, detail, path, view = reason.status, printable(reason.detail), "", ""
        points = points if reason.landmarks is None else _written(reason.landmarks)
    return [path, printable(source.person), printable(relative), status, detail, view, score, *points]


def _write_crop(file: Path, data: bytes, partial: Path) -> None:
    try:
        write_atomically(file, data, partial)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        partial.unlink(missing_ok=True)
        raise SkippedImage(BAD_NAME, "its crop's name is too long for the disk of out; shorten it") from error


def write_atomically(file: Path, data: bytes, partial: Path) -> None:
    """Write under another name on the same disk, then rename: the final name never holds half a file."""
    partial.write_bytes(data)
    try:
        os.replace(partial, file)
    except FileNotFoundError:
        file.parent.mkdir(parents=True, exist_ok=True)
        os.replace(partial, file)
