"""Files that are either whole or not there, what tells one from another, and folders held by one process at a time."""

import errno
import hashlib
import json
import logging
import os
import pickle
import socket
import struct
import time
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

from simswap import ranks
from simswap.errors import InputError

log = logging.getLogger(__name__)

# What torch's reader raises, by the bytes that it meets, for files that are none of its own or are cut off.
NOT_A_PICKLE = (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, struct.error, ValueError,
                LookupError, TypeError, AttributeError)  # fmt: skip


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def whole_file(path: Path, durable: bool = False) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; it takes the final name when the block ends well.

    durable: the content is on the disk before it takes the name, so that it outlives a power cut too.

    Whatever ends the block early (Ctrl-C too), no file of either name is left half written; a former file of the
    name stays as it was. Missing folders are made. Raises InputError for a folder or disk that cannot be written to.
    """
    part = path.with_name(f".{_short(path.name)}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            if durable:
                _to_disk(part)
            os.replace(part, path)
            if durable:
                _to_disk(path.parent)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}): free the disk or choose another "
                         "output folder") from error


def _short(name: str) -> str:
    """A name with room for an ending on disks that take 255 bytes."""
    data = os.fsencode(name)
    return name if len(data) <= 200 else hashlib.sha256(data).hexdigest()


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes of this machine left of `whole_file` in a folder: their parts, never whole files."""
    for part in folder.glob(".*.part"):
        pid = part.name.split(".")[-2]
        if pid.isdigit() and not is_running(int(pid)):
            part.unlink(missing_ok=True)


HELD_AGAIN_SECONDS = 2.0
"""So long a refusal waits: the system takes a moment to end a killed process that held much memory."""

WITHOUT_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
"""What network drives answer that know no locks."""


@contextmanager
def claimed(folder: Path, work: str) -> Iterator[None]:
    """Hold a folder for one kind of work until the block ends: one process at a time.

    work: one word, as in ``training``; other kinds of work in the same folder go on beside it. Makes missing folders.
    The claim ends with its process, also a killed one. Of ranks the first one claims; ranks that `simswap.processes`
    started hold a second lock, so that the folder is not free while they outlive a killed parent.

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
            raise InputError(f"{folder} is in use: {work} {_who_holds(holder)}; wait for its end, stop it, or choose "
                             "another folder") from error
        except OSError as error:
            raise InputError(f"{folder} cannot be written to ({error.strerror or error}): choose another output "
                             "folder") from error
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
        log.warning("%s was last used %s, which did not end in order: make sure that it is gone", folder,
                    _who_holds(holder))
    words = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    with whole_file(holder) as part:
        part.write_text(json.dumps(words), encoding="utf-8")


def is_running(pid: int) -> bool:
    """Whether a process with this number is on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True
