"""Jobs of a sweep: one that fails leaves a note in its folder and does not stop the others."""

import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from simswap.errors import InputError, JobFailed
from simswap.files import atomic_write
from simswap.launching import ranks
from simswap.launching.folders import hold
from simswap.launching.processes import one_line
from simswap.launching.system_errors import explain_system

ERROR_FILE = "error.txt"
VALUES_FILE = "objectives.json"

failed_jobs: list[tuple[Path, str]] = []
"""Folder and line of each job that failed in the sweep of this process, as `FailedJobs` found them."""

noted: list[Path] = []
"""Folders of the jobs that failed in this very process."""


def note_failure(folder: Path, error: Exception) -> None:
    """Write ``<folder>/error.txt``: one line, and for a fault of the program its stack trace; say the line."""
    ours = isinstance(error, InputError | JobFailed)
    refused = explain_system(error)
    line = str(error) if ours else refused or one_line(error)
    trace = "" if isinstance(error, InputError) or refused else getattr(error, "trace", "") or traceback.format_exc()
    with atomic_write(folder / ERROR_FILE) as part:
        part.write_text(f"{line}\n\n{trace}" if trace else f"{line}\n", encoding="utf-8")
    noted.append(folder)
    where = f" (stack trace: {folder / ERROR_FILE})" if trace else ""
    print(f"error: {folder}: {line}{where}", file=sys.stderr, flush=True)


def failure_of(folder: Path, since: float = 0.0) -> str | None:
    """The line of a job's ``error.txt``, or None where it has none that is newer than ``since`` (seconds)."""
    file = folder / ERROR_FILE
    if not file.is_file() or file.stat().st_mtime < since:
        return None
    return (file.read_text(encoding="utf-8").splitlines() or ["no reason given"])[0]


def write_values(folder: Path, value: Any) -> None:
    """Keep a finished job's objectives in ``<folder>/objectives.json``: its sweep may be killed before it hears."""
    if value is not None and ranks.is_first():
        with atomic_write(folder / VALUES_FILE) as part:
            part.write_text(json.dumps(list(value) if isinstance(value, tuple) else [value]), encoding="utf-8")


def values_of(folder: Path) -> list[float] | None:
    """A finished job's objectives, or None."""
    file = folder / VALUES_FILE
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def survive(job: Any, cfg: DictConfig, folder: Path) -> Any:
    """``job(cfg)``'s value, or None with a note where it fails; only Ctrl-C and the like get through.

    Where torchrun or srun started this process, the error is raised after the note: the other ranks wait for this one.
    """
    try:
        value = job(cfg)
        write_values(folder, value)
        return value
    except Exception as error:
        note_failure(folder, error)
        if ranks.from_environment() is not None:
            raise
        return None


class FailedJobs(Callback):
    """Hydra callback: claims the sweep's folder, and says at the end which of its jobs failed."""

    def __init__(self) -> None:
        self.start = time.time()

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        if folder.is_dir() or not config.sweep.resume:  # what is mistyped, the sweeper says
            try:
                hold(folder, "sweep")
            except InputError as error:
                print(f"error: {error}", file=sys.stderr)
                raise SystemExit(2) from error  # Hydra would make a warning of any other error
        failed_jobs.clear()
        self.start = time.time() - 1  # file systems round

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        sweep = Path(config.hydra.sweep.dir)
        notes = {folder: failure_of(folder, self.start) for folder in sorted(sweep.glob("*"), key=_by_number)}
        failed_jobs.extend((folder, line) for folder, line in notes.items() if line is not None)
        report(failed_jobs)


def report(failures: list[tuple[Path, str]]) -> None:
    """Say on standard error which jobs failed."""
    if failures:
        print(f"error: {len(failures)} job(s) of the sweep failed:", file=sys.stderr)
        for folder, line in failures:
            print(f"  {folder}: {line}", file=sys.stderr)


def _by_number(folder: Path) -> tuple[int, str]:
    return (int(folder.name), "") if folder.name.isdigit() else (-1, folder.name)
