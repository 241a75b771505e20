"""VGGFace2's table of landmarks, looked up person by person without a Python object a row."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from simswap.data.manifest import read_csv
from simswap.errors import InputError

LANDMARK_TABLE_COLUMNS = ["NAME_ID", *(f"P{number}{axis}" for number in range(1, 6) for axis in "XY")]


class LandmarkTable:
    """``NAME_ID,P1X,P1Y,…,P5Y``: left eye, right eye, nose, left and right mouth corner, in image pixels.

    Several files (VGGFace2's train and test) make one table. Rows are sorted once, so that a person's are
    found by bisection; of rows with the same NAME_ID the first counts.
    """

    def __init__(self, files: list[Path]) -> None:
        """Raises InputError for a file that is missing, has other columns, or holds text for numbers."""
        table = pa.concat_tables([_read(file) for file in files])
        names = table["NAME_ID"].combine_chunks()
        names = names if isinstance(names, pa.Array) else pa.concat_arrays(names.chunks)
        order = pc.sort_indices(names).to_numpy()
        self._names = names.take(pa.array(order))
        columns = [table[name].to_numpy()[order].astype(np.float32) for name in LANDMARK_TABLE_COLUMNS[1:]]
        self._points = np.stack(columns, axis=1)  # [N, 10]

    def __len__(self) -> int:
        return len(self._names)

    def of_person(self, identifier: str) -> dict[str, npt.NDArray[np.float32]]:
        """Image stem → [10] (x1, y1, …, x5, y5; NaN where the table has no number) of one person."""
        first, last = self._position(f"{identifier}/"), self._position(f"{identifier}0")  # "0" follows "/"
        start = len(identifier) + 1
        result: dict[str, npt.NDArray[np.float32]] = {}
        for row in range(first, last):
            result.setdefault(self._names[row].as_py()[start:], self._points[row])
        return result

    def find(self, name: str) -> npt.NDArray[np.float64] | None:
        """The five points [5, 2] of the row with this NAME_ID; None where there is none, or a number is missing."""
        row = self._position(name)
        if row == len(self) or self._names[row].as_py() != name or not np.isfinite(self._points[row]).all():
            return None
        return self._points[row].reshape(5, 2).astype(np.float64)

    def _position(self, name: str) -> int:
        """Number of rows before ``name``; Arrow sorts UTF-8 bytes, which is the order of code points."""
        low, high = 0, len(self._names)
        while low < high:
            middle = (low + high) // 2
            if self._names[middle].as_py() < name:
                low = middle + 1
            else:
                high = middle
        return low


def _read(file: Path) -> pa.Table:
    types = {"NAME_ID": pa.large_string(), **dict.fromkeys(LANDMARK_TABLE_COLUMNS[1:], pa.float32())}
    table = read_csv(file, pacsv.ConvertOptions(column_types=types))
    # Some copies of VGGFace2's tables have a space after each comma of the header.
    table = table.rename_columns([name.strip() for name in table.column_names])
    if sorted(table.column_names) != sorted(LANDMARK_TABLE_COLUMNS):
        raise InputError(
            f"{file} has the columns {', '.join(table.column_names)}; a landmark table has "
            f"{', '.join(LANDMARK_TABLE_COLUMNS)}"
        )
    return table.select(LANDMARK_TABLE_COLUMNS)
