"""Unreadable crops: counted, each listed once; too many of them stop the run."""

import csv
import io
import logging
import math
from pathlib import Path

from simswap.data.manifest import Manifest
from simswap.data.reading import may_pass
from simswap.errors import InputError
from simswap.launching.claims import locked

log = logging.getLogger(__name__)

COLUMNS = ["row", "path", "reason"]
Unreadable = list[tuple[int, str]]  # manifest row, reason


class UnreadableCrops:
    """Counts the unreadable crops that batches report.

    Args:
        manifest: of the crops.
        rows: number of training crops.
        share: stops the run, as soon as this share of the rows is known to be unreadable, or the share among the crops
            read so far exceeds it by three standard deviations.

    Attributes:
        reasons: manifest row → reason, for every unreadable crop so far.
        asked: how often a crop was read since this process started.
        failed: how often that failed.
    """

    def __init__(self, manifest: Manifest, rows: int, share: float) -> None:
        self.manifest, self.rows, self.share = manifest, rows, share
        self.reasons: dict[int, str] = {}
        self.asked = self.failed = 0
        self._file: Path | None = None

    def keep_list(self, file: Path) -> None:
        """Keep the list in this CSV too (`COLUMNS`), one line each; a resumed run continues it.

        All ranks may share the file: it is locked while it is read and extended.

        Raises:
            InputError: the file cannot be written, or has other content.
        """
        self._file = file
        if file.is_file():
            self.reasons |= self._add([])

    def add(self, found: Unreadable, asked: int) -> None:
        """Add the unreadable crops of a batch that read ``asked`` crops.

        Raises:
            InputError: there are more than the share allows.
        """
        self.asked += asked
        self.failed += len(found)
        new = {row: reason for row, reason in found if row not in self.reasons}
        if not new:
            return self._check(found)
        for row, reason in new.items():
            log.warning("unreadable crop, its pairs are replaced: %s (%s)", self.manifest.path(row), reason)
        self.reasons |= new
        if self._file is not None:
            self.reasons |= self._add(list(new.items()))  # includes those of other ranks
        return self._check(found)

    def _check(self, found: Unreadable) -> None:
        many = len(self.reasons) > self.share * self.rows
        often = self.failed - 3 * math.sqrt(self.failed) > self.share * self.asked
        if not (found and (many or often)):
            return
        row, reason = found[-1]
        counted = (
            f"{len(self.reasons)} of {self.rows} training crops are unreadable"
            if many
            else f"{self.failed} of {self.asked} crops asked for were unreadable"
        )
        where = f"all are listed in {self._file}; " if self._file is not None else ""
        raise InputError(
            f"{self.manifest.root}: {counted}, more than data.max_unreadable_share={self.share}, the last "
            f"{self.manifest.path(row)} ({reason}); {where}run simswap-prepare again"
        )

    def _add(self, new: Unreadable) -> dict[int, str]:
        """Append the crops that the file lacks.

        Returns all crops in the file, except those that a failing disk or network hid: this run may be able to read
        them.
        """
        assert self._file is not None
        try:
            with self._file.open("a+b") as stream, locked(self._file.with_name(f".{self._file.name}.lock")):
                stream.seek(0)
                text = stream.read()
                whole = text[: text.rfind(b"\n") + 1]  # a killed process may leave half a line
                stream.truncate(len(whole))
                held = _read(self._file, whole.decode("utf-8", "surrogateescape"))
                lines = io.StringIO()
                writer = csv.writer(lines, lineterminator="\n")
                if not whole:
                    writer.writerow(COLUMNS)
                for row, reason in new:
                    if row not in held:
                        writer.writerow([row, self.manifest.path(row), reason])
                        held[row] = reason
                stream.write(lines.getvalue().encode("utf-8", "surrogateescape"))
        except OSError as error:
            raise InputError(
                f"{self._file} cannot be written ({error.strerror or error}): free the disk or choose another output "
                "folder"
            ) from error
        return {row: reason for row, reason in held.items() if not may_pass(reason)}


def _read(file: Path, text: str) -> dict[int, str]:
    lines = csv.reader(io.StringIO(text))
    header = next(lines, COLUMNS)
    try:
        if header != COLUMNS:
            raise ValueError
        return {int(row): reason for row, _, reason in lines}
    except ValueError as error:
        raise InputError(f"{file} is no list of unreadable crops ({','.join(COLUMNS)}): move it away") from error
