"""The worker pool of prepare: raw identity folders in, aligned crops and one manifest out.

Nothing here grows with the number of images but the table of landmarks: the work is cut by person, each
folder keeps its own journal on disk (`data.aligning`), and the manifest is joined from the journals.
"""

import filecmp
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any

import cv2
from tqdm import tqdm

from simswap.data.aligning import (
    WORK_FOLDER,
    CropSettings,
    Detector,
    FolderResult,
    FolderTask,
    csv_line,
    journal_path,
    process_folder,
    read_journal,
)
from simswap.data.landmarks import LandmarkTable
from simswap.data.listing import PassedOver
from simswap.data.manifest import COLUMNS, MANIFEST_FILE, OK, SETTINGS_FILE, read_settings
from simswap.data.sources import PersonFolder, find_person_folders
from simswap.errors import InputError


@dataclass
class Summary:
    """What a run did: images seen, how many of them this run did, images per status, rows of the landmark
    table that found no image (None without a table), and what else lies in the folders."""

    images: int = 0
    new: int = 0
    persons: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    unused_landmark_rows: int | None = None
    passed_over: PassedOver = field(default_factory=PassedOver)

    @property
    def aligned(self) -> int:
        return self.counts.get(OK, 0)

    def add(self, result: FolderResult) -> None:
        """Count a folder's images in."""
        self.images += result.images
        self.new += result.new
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

    ``record`` holds the settings that decide the result; they are kept in prepare.json, and a later run with
    others is refused. ``workers``: processes, 0 does the work in this one. ``progress``: None shows a bar in a
    terminal only. Exactly one of ``landmarks`` and ``detector`` is given.
    Raises InputError for bad input, other settings than before, and an output that cannot be written;
    KeyboardInterrupt after the workers have stopped. What is done stays done either way.
    """
    if (landmarks is None) == (detector is None):
        raise ValueError("give either a table of landmarks or a detector")
    summary = Summary()
    folders = find_person_folders(raw, leave_out=out, passed=summary.passed_over)
    summary.persons = len({folder.person for folder in folders})
    try:
        _claim(out, record)
        matched = _run(raw, out, crops, folders, landmarks, detector, workers, progress, summary)
        if landmarks is not None:
            summary.unused_landmark_rows = len(landmarks) - matched
        _write_manifest(out, folders)
        _write_settings(out, record, summary)
    except BrokenProcessPool as error:
        raise InputError(
            "a worker process died, most likely for want of memory; run the same command again with fewer workers=, "
            "what is done is kept"
        ) from error
    except OSError as error:
        raise InputError(
            f"{error.filename or out}: {error.strerror or error}; what is done is kept, run the same command again "
            "when that is cured"
        ) from error
    if summary.aligned == 0:
        reason = max(summary.counts, key=lambda status: summary.counts[status])
        raise InputError(
            f"none of {summary.images} images below {raw} could be aligned, most of them: {reason}; see "
            f"{out / MANIFEST_FILE}"
        )
    return summary


def _claim(out: Path, record: dict[str, Any]) -> None:
    """Make the output folder, or check that it was made with the same settings."""
    earlier = read_settings(out)
    if earlier is not None:
        before = earlier["settings"]
        changed = [key for key in {**before, **record} if before.get(key) != record.get(key)]
        if changed:
            listed = ", ".join(f"{key} (was {before.get(key)!r}, now {record.get(key)!r})" for key in changed)
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
    """Work through the folders; returns how many rows of the landmark table found their image."""
    tasks = (
        FolderTask(folder, None if landmarks is None else landmarks.of_person(folder.identifier)) for folder in folders
    )
    matched = 0
    total = sum(folder.images for folder in folders)
    disable = None if progress is None else not progress
    setup = (raw, out, crops, detector)
    results = _in_process(tasks, setup) if workers == 0 else _in_workers(tasks, setup, workers)
    # Closed whatever happens, or the workers would go on while an error travels upwards.
    with closing(results), tqdm(total=total, unit="image", desc="aligning", disable=disable) as bar:
        for result in results:
            summary.add(result)
            matched += result.matched
            bar.update(result.images)
    return matched


_Setup = tuple[Path, Path, CropSettings, Detector | None]


def _in_process(tasks: Iterator[FolderTask], setup: _Setup) -> Generator[FolderResult, None, None]:
    raw, out, crops, detector = setup
    for task in tasks:
        yield process_folder(raw, out, task, crops, detector)


def _in_workers(tasks: Iterator[FolderTask], setup: _Setup, workers: int) -> Generator[FolderResult, None, None]:
    """Results as they come. Processes are spawned, not forked: Arrow's and OpenCV's threads do not survive a fork."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(setup, stop))
    pending: set[Future[FolderResult]] = set()
    try:
        while True:
            # A few tasks ahead of the workers, so that waiting tasks take no memory. Each may start a worker.
            for task in itertools.islice(tasks, max(0, 4 * workers - len(pending))):
                with _interrupt_held_back():
                    pending.add(pool.submit(_work, task))
            if not pending:
                return
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    finally:
        stop.set()  # each worker ends its current image and stops
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _interrupt_held_back() -> Iterator[None]:
    """Ctrl-C waits until the block is done, and processes started in it have it blocked: it is the parent's to
    handle, and a worker that is just starting would print a stack trace."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's, and only it may set them
        return
    held: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: held.append(number))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # unlike the handler, children inherit this
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt


_worker: tuple[_Setup, Callable[[], bool]] | None = None


def _start_worker(setup: _Setup, stop: Any) -> None:
    global _worker
    _worker = (setup, stop.is_set)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """A parent killed with signal 9 cannot stop its workers, which would wait for tasks for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(1)


def _work(task: FolderTask) -> FolderResult:
    assert _worker is not None
    (raw, out, crops, detector), stopped = _worker
    return process_folder(raw, out, task, crops, detector, stopped)


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
    """Rename into place, unless the same bytes stand there: a second run changes nothing that is done."""
    if final.is_file() and filecmp.cmp(partial, final, shallow=False):
        partial.unlink()
    else:
        os.replace(partial, final)


def copy_table(out: Path, file: Path, name: str) -> None:
    """Put a copy of a file into the output folder; raises InputError where it cannot be read or written."""
    try:
        (out / WORK_FOLDER).mkdir(parents=True, exist_ok=True)
        partial = out / WORK_FOLDER / f"{name}.partial"
        shutil.copyfile(file, partial)
        _move_if_new(partial, out / name)
    except OSError as error:
        raise InputError(f"{file} cannot be copied to {out}: {error.strerror or error}") from error
