"""Folders and files held by one process at a time."""

import errno
import json
import logging
import os
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

from simswap.errors import InputError
from simswap.files import atomic_write
from simswap.launching import ranks

log = logging.getLogger(__name__)

HELD_AGAIN_SECONDS = 2.0
"""So long a refusal waits: the system takes a moment to end a killed process that held much memory."""

WITHOUT_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
"""What network drives answer that know no locks."""


@contextmanager
def claimed(folder: Path, work: str) -> Iterator[None]:
    """Hold a folder for one kind of work until the block ends: one process at a time.

    work: one word, as in ``training``; other kinds of work in the same folder go on beside it. Makes missing folders.
    The claim ends with its process, also a killed one. Of ranks the first one claims; ranks that
    `simswap.launching.processes` started hold a second lock, so that the folder is not free while they outlive a
    killed parent.

    Raises InputError that says who holds the folder, and where it cannot be written to.
    """
    if not ranks.is_first():
        yield
        return
    own, inner = folder / f".{work}.lock", folder / f".{work}.ranks.lock"
    is_rank = ranks.HANDOFF in os.environ
    holder = folder / f".{work}.holder.json"
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(inner if is_rank else own, HELD_AGAIN_SECONDS))
            if not is_rank and inner.exists():
                with locked(inner, HELD_AGAIN_SECONDS):
                    pass
        except Timeout as error:
            raise InputError(
                f"{folder} is in use: {work} {_who_holds(holder)}; wait for its end, stop it, or choose another folder"
            ) from error
        except OSError as error:
            raise InputError(
                f"{folder} cannot be written to ({error.strerror or error}): choose another output folder"
            ) from error
        if not is_rank:
            _say_whose(holder, folder)
            held.callback(holder.unlink, missing_ok=True)
        yield


@contextmanager
def locked(file: Path, seconds: float = -1) -> Iterator[None]:
    """Hold a lock file; where the drive knows no locks, by the file's being there.

    seconds: how long to wait for it, -1 without end. Raises filelock.Timeout when it is over.
    """
    # Not thread-local: what is taken in one thread may be given back in another.
    lock = FileLock(file, thread_local=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where it falls back to a SoftFileLock by itself
        try:
            lock.acquire(timeout=seconds)
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
            # It takes over by itself from a process of this machine that is gone.
            lock = SoftFileLock(f"{file}.held", thread_local=False)
            lock.acquire(timeout=seconds)
    try:
        yield
    finally:
        lock.release()


def _who_holds(holder: Path) -> str:
    try:
        found = json.loads(holder.read_text(encoding="utf-8"))
        return f"by process {found['pid']} on {found['host']} since {found['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "by another process"


def _say_whose(holder: Path, folder: Path) -> None:
    try:
        host = json.loads(holder.read_text(encoding="utf-8"))["host"]
    except (OSError, ValueError, KeyError, TypeError):
        host = None
    if host not in (None, socket.gethostname()):
        # Killed there, or this drive's locks are those of one machine only.
        log.warning(
            "%s was last used %s, which did not end in order: make sure that it is gone", folder, _who_holds(holder)
        )
    words = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    with atomic_write(holder) as part:
        part.write_text(json.dumps(words), encoding="utf-8")
