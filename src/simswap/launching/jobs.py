"""Jobs of a sweep: a job that fails leaves a note in its folder and does not stop the others."""

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
"""Folder and error line of each failed job in this process's sweep, as `FailedJobs` found them."""

noted: list[Path] = []
"""Folders of the jobs that failed in this process."""


def note_failure(folder: Path, error: Exception) -> None:
    """Write ``<folder>/error.txt``: one line, and for a bug the stack trace. Also prints the line."""
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
    """The first line of a job's ``error.txt``; None if there is none newer than ``since`` (seconds since the epoch)."""
    file = folder / ERROR_FILE
    if not file.is_file() or file.stat().st_mtime < since:
        return None
    return (file.read_text(encoding="utf-8").splitlines() or ["no reason given"])[0]


def write_values(folder: Path, value: Any) -> None:
    """Write a finished job's objectives to ``<folder>/objectives.json``, in case its sweep is killed before it ends."""
    if value is not None and ranks.is_first():
        with atomic_write(folder / VALUES_FILE) as part:
            part.write_text(json.dumps(list(value) if isinstance(value, tuple) else [value]), encoding="utf-8")


def values_of(folder: Path) -> list[float] | None:
    """A finished job's objectives, or None."""
    file = folder / VALUES_FILE
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def survive(job: Any, cfg: DictConfig, folder: Path) -> Any:
    """Run ``job(cfg)`` and return its value, or None with a note if it fails; only interruptions are raised.

    In a process that torchrun or srun started, the error is raised after the note, because the other ranks wait.
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
    """Hydra callback that claims the sweep's folder, and lists the failed jobs at the end."""

    def __init__(self) -> None:
        """Note the time of the start."""
        self.start = time.time()

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Claim the sweep's folder. Raises SystemExit if another process holds it."""
        folder = Path(config.hydra.sweep.dir)
        if folder.is_dir() or not config.sweep.resume:  # the sweeper reports a mistyped folder
            try:
                hold(folder, "sweep")
            except InputError as error:
                print(f"error: {error}", file=sys.stderr)
                raise SystemExit(2) from error  # Hydra turns any other error into a warning
        failed_jobs.clear()
        self.start = time.time() - 1  # file systems round time stamps

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """List the failed jobs."""
        sweep = Path(config.hydra.sweep.dir)
        notes = {folder: failure_of(folder, self.start) for folder in sorted(sweep.glob("*"), key=_by_number)}
        failed_jobs.extend((folder, line) for folder, line in notes.items() if line is not None)
        report(failed_jobs)


def report(failures: list[tuple[Path, str]]) -> None:
    """Print the failed jobs on standard error."""
    if failures:
        print(f"error: {len(failures)} job(s) of the sweep failed:", file=sys.stderr)
        for folder, line in failures:
            print(f"  {folder}: {line}", file=sys.stderr)


def _by_number(folder: Path) -> tuple[int, str]:
    return (int(folder.name), "") if folder.name.isdigit() else (-1, folder.name)
