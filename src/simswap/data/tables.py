"""Tables from users, in any dialect of CSV: every cell is text until its meaning is known.

A reader that guesses types turns the file "0000001" into 1 and the person "NA" into nobody. Here a cell is its text
without surrounding blanks; the caller names the few columns that contain numbers.
"""

import csv
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from simswap.errors import InputError
from simswap.stand_ins import refuse_stand_in

_DELIMITERS = ",;\t|"
_HEAD = 2**16  # the header must end within so many bytes
_NO_NUMBER = ["", "nan", "NaN", "NAN", "na", "NA", "N/A", "n/a", "null", "NULL", "None", "none", "-nan", "#N/A"]


@dataclass(frozen=True)
class TextTable:
    """A table's columns by name, all of one length; error messages name ``file``."""

    file: Path
    names: list[str]
    columns: list[pa.ChunkedArray]

    def __len__(self) -> int:
        return len(self.columns[0])

    def find(self, name: str) -> int | None:
        """The position of a column, ignoring case; None if there is none.

        Raises:
            InputError: two columns have this name.
        """
        for names, wanted in ((self.names, name), ([given.lower() for given in self.names], name.lower())):
            if names.count(wanted) > 1:
                raise InputError(f"{self.file} has two columns {name}; remove one")
            if wanted in names:
                return names.index(wanted)
        return None

    def lacking(self, needed: Sequence[str]) -> list[str]:
        """The needed columns that the table does not have."""
        return [name for name in needed if self.find(name) is None]

    def text(self, name: str) -> pa.ChunkedArray:
        """A column's cells, large_string; "" where a cell is empty.

        Raises:
            InputError: there is no such column.
        """
        place = self.find(name)
        if place is None:
            shown = ", ".join(given or "(no name)" for given in self.names)
            raise InputError(f"{self.file} has no column {name}; its columns are {shown}")
        return self.columns[place]

    def numbers(self, name: str) -> npt.NDArray[np.float32]:
        """A column that was read as numbers, float32; NaN where a cell is empty."""
        return self.text(name).to_numpy()


def read_table(file: Path, numbers: Collection[str] = ()) -> TextTable:
    """A CSV with commas, semicolons, tabs or bars, in UTF-8 or UTF-16; blank rows are ignored.

    Args:
        file: to read.
        numbers: columns that contain numbers, ignoring case; all others are text.

    Raises:
        InputError: the file cannot be read, has rows of another length than its header, or text instead of numbers; the
            message names the file.
    """
    refuse_stand_in(file, "a table (CSV)", "text")
    try:
        source, head = _open(file)
        delimiter, names, skip = _header(head)
        return _read(file, source, delimiter, names, skip, {name.lower() for name in numbers})
    except FileNotFoundError as error:
        raise InputError(f"{file} is not there") from error
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from error
    except UnicodeError as error:
        raise InputError(f"{file} is no UTF-8 text; save the table as UTF-8") from error
    except (pa.ArrowInvalid, pa.ArrowKeyError, csv.Error, ValueError) as error:
        hint = "; save it as UTF-8" if "invalid UTF8" in str(error) else ""
        raise InputError(f"{file} is not the table it should be: {' '.join(str(error).split())[:300]}{hint}") from error


def as_numbers(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of text as float64, null where a cell is empty; unchanged if a cell is no number."""
    try:
        nothing = pc.is_in(cells, value_set=pa.array(_NO_NUMBER, cells.type))
        return pc.cast(pc.if_else(nothing, None, cells), pa.float64())
    except pa.ArrowInvalid:
        return cells


def _open(file: Path) -> tuple[Path | bytes, str]:
    """The file, or its bytes as UTF-8 if it has another encoding; and its first lines."""
    with file.open("rb") as stream:
        start = stream.read(_HEAD)
    encoding = "utf-8-sig"
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif b"\0" in start[:64]:
        encoding = "utf-16-be" if start.startswith(b"\0") else "utf-16-le"
    if encoding == "utf-8-sig":
        whole = start if len(start) < _HEAD else start[: max(start.rfind(b"\n"), start.rfind(b"\r")) + 1]
        return file, whole.decode(encoding)
    text = file.read_bytes().decode(encoding)
    return text.encode(), text[:_HEAD]


def _header(head: str) -> tuple[str, list[str], int]:
    """The delimiter, the column names, and the number of lines before the first row."""
    lines = head.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    place = next((number for number, line in enumerate(lines) if line.strip()), None)
    if place is None:
        raise ValueError("it is empty")
    counts = {sign: len(next(csv.reader([lines[place]], delimiter=sign))) for sign in _DELIMITERS}
    delimiter = max(counts, key=lambda sign: counts[sign])
    names = next(csv.reader([lines[place]], delimiter=delimiter, skipinitialspace=True))
    return delimiter, [name.strip().lstrip("\ufeff") for name in names], place + 1


def _read(
    file: Path, source: Path | bytes, delimiter: str, names: list[str], skip: int, numbers: set[str]
) -> TextTable:
    def unequal(row: pacsv.InvalidRow) -> str:
        return "error" if row.text.strip(f" \t{delimiter}\"'") else "skip"

    keys = [str(place) for place in range(len(names))]
    types = {
        key: pa.float32() if name.lower() in numbers else pa.large_string()
        for key, name in zip(keys, names, strict=True)
    }
    # Where commas do not split, they may be decimal ones; points are tried first.
    points = [".", ","] if delimiter != "," and numbers else ["."]
    for point in points:
        try:
            table = pacsv.read_csv(
                file if isinstance(source, Path) else pa.BufferReader(source),
                pacsv.ReadOptions(column_names=keys, skip_rows=skip),
                pacsv.ParseOptions(delimiter=delimiter, invalid_row_handler=unequal),
                pacsv.ConvertOptions(
                    column_types=types, null_values=_NO_NUMBER, strings_can_be_null=False, decimal_point=point
                ),
            )
            break
        except pa.ArrowInvalid as error:
            if "Empty CSV" in str(error) or "no data" in str(error).lower():  # a header and no row
                table = pa.table({key: pa.array([], kind) for key, kind in types.items()})
                break
            if point == points[-1]:
                raise
    trimmed = [
        pc.utf8_trim_whitespace(column) if pa.types.is_large_string(column.type) else pc.fill_null(column, float("nan"))
        for column in table.columns
    ]
    return TextTable(file, names, _without_blank_rows(trimmed))


def _without_blank_rows(columns: list[pa.ChunkedArray]) -> list[pa.ChunkedArray]:
    blank = None
    for column in columns:
        empty = pc.equal(column, "") if pa.types.is_large_string(column.type) else pc.is_nan(column)
        blank = empty if blank is None else pc.and_(blank, empty)
        if not pc.any(blank).as_py():
            return columns
    assert blank is not None
    return [column.filter(pc.invert(blank)) for column in columns]
