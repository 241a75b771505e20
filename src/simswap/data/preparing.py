"""Prepare's main loop: raw folders of persons in, aligned crops and one manifest out.

Memory does not grow with the number of images, except for the landmark table: the work is split by person, each folder
keeps its own journal on disk (`data.aligning`), and the manifest is joined from the journals.
"""

import filecmp
import json
import os
import shutil
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from simswap.data.aligning import (
    WORK_FOLDER,
    FolderResult,
    FolderTask,
    csv_line,
    journal_path,
    read_journal,
)
from simswap.data.cropping import CropSettings
from simswap.data.landmark_check import look_at
from simswap.data.landmarks import LandmarkTable
from simswap.data.listing import PassedOver
from simswap.data.manifest import COLUMNS, CROPS_FOLDER, MANIFEST_FILE, OK, SETTINGS_FILE, read_settings
from simswap.data.preparing_pool import in_process, in_workers
from simswap.data.sources import PersonFolder, find_person_folders
from simswap.errors import InputError
from simswap.faces.detection import Detector
from simswap.launching.claims import claimed
from simswap.launching.system_errors import explain_system
from simswap.settings.recorded_names import PREPARED_LATER


@dataclass
class Summary:
    """What a run did.

    It counts images, those done by this run, images per status, rows of the landmark table without an image (None
    without a table) and ignored files, and it notes what seems wrong with the landmark table.
    """

    images: int = 0
    new: int = 0
    persons: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    unused_landmark_rows: int | None = None
    passed_over: PassedOver = field(default_factory=PassedOver)
    notes: list[str] = field(default_factory=list)
    lacking: str = ""  # the NAME_ID of the first image that has no row

    @property
    def aligned(self) -> int:
        """Number of images with a crop."""
        return self.counts.get(OK, 0)

    def add(self, result: FolderResult) -> None:
        """Add the counts of a folder."""
        self.images += result.images
        self.new += result.new
        self.lacking = self.lacking or result.lacking
        for status, count in result.counts.items():
            self.counts[status] = self.counts.get(status, 0) + count


def prepare_folder(
    raw: Path,
    out: Path,
    crops: CropSettings,
    record: dict[str, Any],
    landmarks: LandmarkTable | None,
    detector: Detector | None,
    workers: int,
    progress: bool | None = None,
) -> Summary:
    """Align every image below ``raw`` that ``out`` does not have yet, and write the manifest.

    Args:
        raw: folder of persons' folders.
        out: folder of the result.
        crops: what decides a crop's pixels.
        record: settings that decide the result; kept in prepare.json. A later run with other settings is refused.
        landmarks: table of face positions; exactly one of it and ``detector`` is given.
        detector: finds faces.
        workers: processes; 0 works in this one.
        progress: False hides the bar, None shows it in a terminal only.

    Raises:
        InputError: bad input, settings that differ from the first run's, an output that cannot be written.
        KeyboardInterrupt: after the workers have stopped. Finished images stay finished in every case.
    """
    if (landmarks is None) == (detector is None):
        raise ValueError("give either a table of landmarks or a detector")
    check_folders(raw, out)
    summary = Summary()
    folders = find_person_folders(raw, leave_out=out, passed=summary.passed_over)
    summary.persons = len({folder.person for folder in folders})
    if landmarks is not None and (words := look_at(raw, folders, landmarks).words):
        summary.notes.append(words)
    try:
        with claimed(out, "prepare"):
            _claim(out, record)
            matched = _run(raw, out, crops, folders, landmarks, detector, workers, progress, summary)
            _write_manifest(out, folders)
            if landmarks is not None:
                _compare_names(landmarks, matched, summary)
            _write_settings(out, record, summary)
    except BrokenProcessPool as error:
        raise InputError(
            "a worker process died, probably out of memory; run the same command again with fewer workers=, "
            "finished images are kept"
        ) from error
    except OSError as error:
        raise InputError(
            f"{explain_system(error)}; finished images are kept; fix this and run the same command again"
        ) from error
    if summary.aligned == 0:
        reason = max(summary.counts, key=lambda status: summary.counts[status])
        notes = "".join(f"; {note}" for note in summary.notes)
        raise InputError(
            f"none of {summary.images} images below {raw} could be aligned, most of them: {reason}{notes}; see "
            f"{out / MANIFEST_FILE}"
        )
    return summary


def check_folders(raw: Path, out: Path) -> None:
    """Check that raw images and crops do not mix.

    Raises:
        InputError: the crops would be among the raw images, or the raw images are crops of ``out``.
    """
    below, own = raw.resolve(), out.resolve()
    if own.is_relative_to(below):
        raise InputError(f"out={out} lies in raw={raw}, where its crops would be taken for photos; give another folder")
    if any(below.is_relative_to(own / name) for name in (CROPS_FOLDER, WORK_FOLDER)):
        raise InputError(f"raw={raw} lies in out={out}, among its crops; give the folder of the photos themselves")


def _compare_names(landmarks: LandmarkTable, matched: int, summary: Summary) -> None:
    """Count the rows without an image; if images lack rows too, note an example of each name."""
    summary.unused_landmark_rows = len(landmarks) - matched
    if summary.unused_landmark_rows and summary.lacking:
        summary.notes.append(
            f"no row of the table is called {summary.lacking!r}, which is the name of an image; there is one called "
            f"{landmarks.nearest(summary.lacking)!r}"
        )


def _claim(out: Path, record: dict[str, Any]) -> None:
    """Make the output folder, or check that it was made with the same settings."""
    earlier = read_settings(out)
    if earlier is not None:
        before, now = {**PREPARED_LATER, **earlier["settings"]}, {**PREPARED_LATER, **record}
        changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        if changed:
            listed = ", ".join(f"{key} (was {before.get(key)!r}, now {now.get(key)!r})" for key in changed)
            raise InputError(f"{out} was prepared with other settings: {listed}; use the same ones or another out=")
    elif (out / MANIFEST_FILE).exists():
        raise InputError(f"{out} holds a {MANIFEST_FILE} but no {SETTINGS_FILE}; use another out=")
    (out / WORK_FOLDER / "rows").mkdir(parents=True, exist_ok=True)
    if earlier is None:
        _replace(out, SETTINGS_FILE, _json({"settings": record}))


def _run(
    raw: Path,
    out: Path,
    crops: CropSettings,
    folders: list[PersonFolder],
    landmarks: LandmarkTable | None,
    detector: Detector | None,
    workers: int,
    progress: bool | None,
    summary: Summary,
) -> int:
    """Process the folders; returns how many rows of the landmark table have an image."""
    tasks = (
        FolderTask(folder, None if landmarks is None else landmarks.of_person(folder.identifier)) for folder in folders
    )
    matched = 0
    total = sum(folder.images for folder in folders)
    disable = None if progress is None else not progress
    setup = (raw, out, crops, detector)
    results = in_process(tasks, setup) if workers == 0 else in_workers(tasks, setup, workers)
    # Always closed, or the workers would continue while an exception propagates.
    with closing(results), tqdm(total=total, unit="image", desc="aligning", disable=disable) as bar:
        for result in results:
            summary.add(result)
            matched += result.matched
            bar.update(result.images)
    return matched


def _write_manifest(out: Path, folders: list[PersonFolder]) -> None:
    """Join the journals, folder by folder, in the order of the sources."""
    partial = out / WORK_FOLDER / f"{MANIFEST_FILE}.partial"
    with open(partial, "wb") as stream:
        stream.write(csv_line(COLUMNS))
        for folder in folders:
            for row in sorted(read_journal(journal_path(out, folder.folder)), key=lambda row: row[2]):
                stream.write(csv_line(row))
    _move_if_new(partial, out / MANIFEST_FILE)


def _write_settings(out: Path, record: dict[str, Any], summary: Summary) -> None:
    counts = {"images": summary.images, "persons": summary.persons, **dict(sorted(summary.counts.items()))}
    content: dict[str, Any] = {"settings": record, "counts": counts}
    if summary.unused_landmark_rows is not None:
        content["unused_landmark_rows"] = summary.unused_landmark_rows
    if summary.passed_over.counts:
        content["passed_over"] = dict(sorted(summary.passed_over.counts.items()))
    _replace(out, SETTINGS_FILE, _json(content))


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _replace(out: Path, name: str, data: bytes) -> None:
    partial = out / WORK_FOLDER / f"{name}.partial"
    partial.write_bytes(data)
    _move_if_new(partial, out / name)


def _move_if_new(partial: Path, final: Path) -> None:
    """Rename into place unless the content is unchanged, so that a second run changes no finished file."""
    if final.is_file() and filecmp.cmp(partial, final, shallow=False):
        partial.unlink()
    else:
        os.replace(partial, final)


def copy_table(out: Path, file: Path, name: str) -> None:
    """Copy a file into the output folder.

    Raises:
        InputError: it cannot be read or written.
    """
    try:
        (out / WORK_FOLDER).mkdir(parents=True, exist_ok=True)
        partial = out / WORK_FOLDER / f"{name}.partial"
        shutil.copyfile(file, partial)
        _move_if_new(partial, out / name)
    except OSError as error:
        raise InputError(f"{file} cannot be copied to {out}: {error.strerror or error}") from error
