"""The identity embeddings of all crops in one memory-mapped table, written once and read by row.

``<folder>/<recognizer's hash>_<view>_<size>px_<hash of the crops>.npy``: float32 [N, E], row i for row i of the
manifest, NaN where the crop is unreadable. This module only stores rows and knows no network, so data and models stay
apart.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from simswap.data.manifest import SETTINGS_FILE, Manifest
from simswap.errors import InputError
from simswap.files import atomic_write

FOLDER = "identities"
ELSEWHERE = Path("outputs", "identities")
"""Below the working folder, as runs are."""
SIZES, CONTENTS = 4096, 64
Identities = npt.NDArray[np.float32]


def table_path(manifest: Manifest, recognizer: str, view: str, size: int, folder: Path | None = None) -> Path:
    """The path of the table, by default next to the manifest.

    Another recognizer (by SHA-256), view of the crops, size, manifest or content of the crops has another path.
    """
    name = f"{recognizer[:16]}_{view}_{size}px_{crops_digest(manifest)[:16]}.npy"
    return (folder or manifest.root / FOLDER) / name


def crops_digest(manifest: Manifest) -> str:
    """A hash that distinguishes these crops from others of the same names.

    SHA-256 over the manifest, the settings of prepare, the sizes in bytes of up to `SIZES` crops and the content of up
    to `CONTENTS`, evenly spaced.
    """
    digest = hashlib.sha256(manifest.fingerprint().encode())
    settings = manifest.root / SETTINGS_FILE
    digest.update(settings.read_bytes() if settings.is_file() else b"")
    for count, content in ((SIZES, False), (CONTENTS, True)):
        for row in np.unique(np.linspace(0, len(manifest) - 1, min(count, len(manifest))).astype(np.int64)):
            file = manifest.path(int(row))
            try:
                digest.update(file.read_bytes() if content else str(file.stat().st_size).encode() + b" ")
            except OSError:
                digest.update(b"unreadable ")
    return digest.hexdigest()


def choose_folder(root: Path, given: Path | None, name: str) -> tuple[Path, str]:
    """The folder of the table called ``name``, and a line for the log ("" if there is nothing to report).

    Args:
        root: the prepared folder.
        given: the value of ``data.embeddings``, used as it is. Otherwise the table is next to the manifest if it exists
            there or the disk is writable, else in ``outputs/identities``.
        name: file name of the table.
    """
    if given is not None:
        return given, ""
    usual = root / FOLDER
    if (usual / name).is_file() or _is_writable(usual):
        return usual, ""
    line = f"{usual} cannot be written to: the table of identities goes to {ELSEWHERE} (data.embeddings= names another)"
    return ELSEWHERE, line


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@lru_cache(maxsize=8)  # a table per recognizer, once per process, not once per row, and not pickled with the data set
def open_table(path: Path, rows: int) -> Identities:
    """The table, read-only and memory-mapped: only the rows that are read use memory.

    Raises:
        InputError: the file is damaged.
    """
    try:
        table = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} cannot be read ({error}); delete it, and the next run makes it again") from error
    if table.ndim != 2 or len(table) != rows or table.dtype != np.float32:
        raise InputError(
            f"{path} holds {table.dtype} {table.shape} for {rows} crops; delete it, and the next run makes it again"
        )
    return table


class TableParts:
    """The table while it is computed: chunks of rows in files of their own, divided among processes.

    A chunk file is complete or absent, so a killed run resumes with the missing ones.

    Args:
        path: of the finished table.
        rows: of the table.
        chunk: rows per chunk.
    """

    def __init__(self, path: Path, rows: int, chunk: int) -> None:
        self.path, self.rows, self.chunk = path, rows, chunk
        self.folder = path.with_suffix(".parts")

    @property
    def count(self) -> int:
        """Number of chunks."""
        return -(-self.rows // self.chunk)

    def rows_of(self, number: int) -> npt.NDArray[np.int64]:
        """Manifest rows of a chunk, int64 [n]."""
        return np.arange(number * self.chunk, min((number + 1) * self.chunk, self.rows))

    def missing(self, rank: int, world_size: int) -> Iterator[int]:
        """Chunks of this rank that do not exist yet; none once the table is complete."""
        for number in range(rank, self.count, world_size):
            if not self.path.is_file() and not self._file(number).is_file():
                yield number

    def write(self, number: int, identities: Identities) -> None:
        """Write one chunk, float32 [rows of it, E].

        Raises:
            InputError: the file cannot be written.
        """
        with atomic_write(self._file(number)) as part, part.open("wb") as stream:
            np.save(stream, identities)

    def join(self) -> None:
        """Join all chunks under the final name and remove them.

        Another run that computes the same table may have finished first; its table is used.

        Raises:
            InputError: a part is missing, or the disk is full.
        """
        gone = [number for number in range(self.count) if not self._file(number).is_file()]
        if gone and not self.path.is_file():
            raise InputError(f"{self.folder} lacks {len(gone)} of {self.count} parts: were they moved? start again")
        if not self.path.is_file():
            try:
                with atomic_write(self.path) as part:
                    width = np.load(self._file(0), mmap_mode="r").shape[1]
                    table = np.lib.format.open_memmap(part, "w+", np.float32, (self.rows, width))
                    for number in range(self.count):
                        table[self.rows_of(number)] = np.load(self._file(number))
                    table.flush()
            except InputError:
                if not self.path.is_file():
                    raise
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:07d}.npy"
