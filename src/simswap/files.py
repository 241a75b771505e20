"""Files that are either whole or not there, and what tells one from another."""

import hashlib
import os
import pickle
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simswap.errors import InputError

# What torch's reader raises, by the bytes that it meets, for files that are none of its own or are cut off.
NOT_A_PICKLE = (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, struct.error, ValueError,
                LookupError, TypeError, AttributeError)  # fmt: skip


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def atomic_write(path: Path, durable: bool = False) -> Iterator[Path]:
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
        raise InputError(
            f"{path} cannot be written ({error.strerror or error}): free the disk or choose another output folder"
        ) from error


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
    """Remove the partial files that killed processes of this machine left of `atomic_write` in a folder."""
    for part in folder.glob(".*.part"):
        pid = part.name.split(".")[-2]
        if pid.isdigit() and not is_running(int(pid)):
            part.unlink(missing_ok=True)


def is_running(pid: int) -> bool:
    """Whether a process with this number is on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True
