"""The hidden folder beside a video's result: what is finished stays there until the result is, for the same swap."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from simswap.errors import InputError
from simswap.files import atomic_write, short_name
from simswap.inference.folder_job import JOB
from simswap.launching.claims import claimed
from simswap.video.joining import read_metadata


@dataclass
class Work:
    """A work folder that this process holds.

    Attributes:
        folder: Its path.
        worth_keeping: Whether it stays after bad input, for the same command to resume. Other errors and Ctrl-C always
            leave it.
    """

    folder: Path
    worth_keeping: bool = False


def work_folder(out: Path) -> Path:
    """The hidden folder beside a result that is not finished."""
    return out.with_name(f".{short_name(out.name)}.swap")


def part_file(out: Path) -> Path:
    """The playable part of a result that is not finished: ``b.part.mp4`` for ``b.mp4``."""
    return out.with_name(f"{short_name(out.stem)}.part{out.suffix}")


def job_of(video: Path) -> str | None:
    """The digest in the metadata of a video of ours; None for any other file."""
    try:
        return read_metadata(video).get(JOB.lower())
    except InputError:
        return None


@contextmanager
def open_work(out: Path, job: str) -> Iterator[Work]:
    """Hold the work folder of a result, new or from an earlier start of the same swap; the end of the block removes it.

    Args:
        out: The result.
        job: The digest of checkpoint, sources, target and settings.

    Raises:
        InputError: An earlier start with another digest left work behind, another process is at work, the part's name
            is taken by another file, or the folder cannot be written.
    """
    folder, part = work_folder(out), part_file(out)
    if os.path.lexists(part) and job_of(part) != job:
        raise InputError(
            f"{part} exists and is no part of this swap (another checkpoint, source, target or setting); nothing is "
            "overwritten: remove it, or choose another out="
        )
    begun = folder / "job.json"
    if folder.is_dir() and any(folder.iterdir()) and _read_job(begun) != job:
        raise InputError(
            f"{folder} holds the beginning of another swap (another checkpoint, source, target or setting); remove it, "
            "or choose another out="
        )
    with ExitStack() as afterwards, claimed(folder, "swapping"):
        work = Work(folder)
        try:
            if not begun.is_file():
                with atomic_write(begun) as file:
                    file.write_text(json.dumps({"job": job}))
            yield work
        except InputError:
            if not work.worth_keeping:
                afterwards.callback(shutil.rmtree, folder, ignore_errors=True)
            raise
        part.unlink(missing_ok=True)
        afterwards.callback(shutil.rmtree, folder, ignore_errors=True)


def _read_job(file: Path) -> str | None:
    try:
        told = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return told.get("job") if isinstance(told, dict) else None
