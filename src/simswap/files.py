"""Files that are either whole or not there."""

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


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; it takes the final name when the block ends well.

    Whatever ends the block early (Ctrl-C too), no file of either name is left half written; a former file of the
    name stays as it was. Missing folders are made. Raises InputError for a folder or disk that cannot be written to.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}): free the disk or choose another "
                         "output folder") from error
