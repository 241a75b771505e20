"""Exclusive claims on folders and files: one process at a time."""

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
"""How long to wait before a refusal: the system takes a moment to end a killed process with much memory."""

WITHOUT_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
"""The errors of network drives without locks."""


@contextmanager
def claimed(folder: Path, work: str) -> Iterator[None]:
    """Hold a folder for one kind of work until the block ends; only one process can.

    The folder is created if it is missing. The claim ends with its process, even if the process is killed. Among ranks,
    only the first one claims. Ranks that `simswap.launching.processes` started hold a second lock, so that the folder
    is not free while they outlive a killed parent.

    Args:
        folder: The folder to hold.
        work: One word, such as ``training``. Other kinds of work may run in the same folder at the same time.

    Raises:
        InputError: Another process holds the folder (the line names it), or the folder cannot be written.
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
    """Hold a lock file; on a drive without locks, its existence is the lock.

    Args:
        file: The lock file.
        seconds: How long to wait; -1 waits forever.

    Raises:
        filelock.Timeout: Another process held the lock for that long.
    """
    # Not thread-local: one thread may release what another acquired.
    lock = FileLock(file, thread_local=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # filelock warns when it falls back to a SoftFileLock
        try:
            lock.acquire(timeout=seconds)
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
            # It takes over from a process of this machine that no longer runs.
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
        # It was killed there, or the locks of this drive work within one machine only.
        log.warning(
            "%s was last used %s, which did not end normally: check that it has stopped",
            folder,
            _who_holds(holder),
        )
    words = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    with atomic_write(holder) as part:
        part.write_text(json.dumps(words), encoding="utf-8")
