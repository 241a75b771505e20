"""Files that are complete or absent, and hashes that identify them."""

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
    digest = hashlib.sha256()
    with path.open("rb") as stream:  # in parts: a video may not fit into memory
        while part := stream.read(2**20):
            digest.update(part)
    return digest.hexdigest()


@contextmanager
def atomic_write(path: Path, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path next to ``path``; it gets the final name when the block ends without an error.

    If the block ends early (Ctrl-C too), no half-written file remains, and an existing file of that name is unchanged.
    Missing folders are created.

    Args:
        path: final name.
        durable: flush the content to disk before the rename, so that it survives a power cut.

    Raises:
        InputError: the folder or disk cannot be written.
    """
    part = path.with_name(f".{short_name(path.name)}.{os.getpid()}.part")
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


def short_name(name: str) -> str:
    """A name with room for an ending, on disks with names of up to 255 bytes."""
    data = os.fsencode(name)
    return name if len(data) <= 200 else hashlib.sha256(data).hexdigest()


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove partial files of `atomic_write` that killed processes of this machine left in a folder."""
    for part in folder.glob(".*.part"):
        pid = part.name.split(".")[-2]
        if pid.isdigit() and not is_running(int(pid)):
            part.unlink(missing_ok=True)


def is_running(pid: int) -> bool:
    """Whether this machine has a process with this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True
