"""VGGFace2's landmark table, looked up by person, without a Python object per row."""

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from simswap.data.listing import IMAGE_SUFFIXES
from simswap.data.tables import read_table
from simswap.errors import InputError

LANDMARK_TABLE_COLUMNS = ["NAME_ID", *(f"P{number}{axis}" for number in range(1, 6) for axis in "XY")]

_ENDING = rf"(?i)\.({'|'.join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))})$"


def landmark_files(landmarks: str | Sequence[str] | None, has_detector: bool, key: str = "landmarks") -> list[Path]:
    """The landmark tables that give face positions; [] where a detector does.

    Args:
        landmarks: one path, several, or none.
        has_detector: whether a detector is configured.
        key: of the tables in the configuration.

    Raises:
        InputError: unless exactly one of the two sources is given.
    """
    files = [Path(file) for file in ([landmarks] if isinstance(landmarks, str) else landmarks or [])]
    if bool(files) and has_detector:
        raise InputError(f"{key}= and detector= both give face positions; use one of them")
    if not files and not has_detector:
        raise InputError(
            f"nothing gives face positions; set {key}=<csv>, detector=dlib, or detector=insightface "
            "detector.pack=<pack>"
        )
    return files


class LandmarkTable:
    """``NAME_ID,P1X,P1Y,…,P5Y``: left eye, right eye, nose, left and right mouth corner, in pixels of the image.

    Several files (VGGFace2's train and test) make one table. Rows are sorted once, so that bisection finds those of a
    person; of rows with the same NAME_ID the first counts. Names match in either Unicode form (NFC or NFD), with a
    leading ``./``, with backslashes, with surrounding blanks, and with the image's extension.
    """

    def __init__(self, files: list[Path]) -> None:
        """Read the files.

        Raises:
            InputError: a file is missing or empty, has other columns, or contains text for numbers.
        """
        self.files = list(files)
        parts = [_read(file) for file in files]
        names = pc.replace_substring(pa.concat_arrays([names for names, _ in parts]), "\\", "/")
        names = pc.utf8_normalize(pc.replace_substring_regex(names, r"^(\./+)+", ""), form="NFC")
        order = pc.sort_indices(names).to_numpy()
        self._names = names.take(pa.array(order))
        self._points = np.concatenate([points for _, points in parts])[order]  # [N, 10]

    def __len__(self) -> int:
        return len(self._names)

    def of_person(self, identifier: str) -> dict[str, npt.NDArray[np.float32]]:
        """What follows the person's slash → [10] (x1, y1, …, x5, y5; NaN where the table has no number)."""
        start = row_name(f"{identifier}/")
        first, last = self._position(start), self._position(f"{start[:-1]}0")  # "0" follows "/"
        result: dict[str, npt.NDArray[np.float32]] = {}
        for row in range(first, last):
            result.setdefault(self._names[row].as_py()[len(start) :], self._points[row])
        return result

    def find(self, name: str, ending: str = "") -> npt.NDArray[np.float64] | None:
        """The five points [5, 2] of the row with this NAME_ID, with or without the extension.

        None if there is no such row, or it lacks a number.
        """
        for wanted in (row_name(name), row_name(name + ending)):
            row = self._position(wanted)
            if row < len(self) and self._names[row].as_py() == wanted:
                points = self._points[row].reshape(5, 2).astype(np.float64)
                return points if np.isfinite(points).all() else None
        return None

    def nearest(self, wanted: str) -> str:
        """The NAME_ID most similar to one without a row, for error messages.

        It differs only in its extension, case, blanks, leading zeros or leading folders; else it is the same image of
        any person; else the table's first.
        """
        for loosen in (_loose, lambda names: pc.replace_substring_regex(_loose(names), r"^.*/", "")):
            place = pc.index(loosen(self._names), loosen(pa.array([row_name(wanted)], pa.large_string()))[0]).as_py()
            if place >= 0:
                return str(self._names[place].as_py())
        return str(self._names[0].as_py())

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


def row_name(name: str) -> str:
    """A name in the form that the table keeps: NFC, slashes, no prefix and no surrounding blanks."""
    return re.sub(r"^(\./+)+", "", unicodedata.normalize("NFC", name).strip().replace("\\", "/"))


def key_of(image: str, rows: Mapping[str, object]) -> str | None:
    """The key of an image's row among a person's rows: its file name without extension, or with it; None if absent."""
    stem = os.path.splitext(image)[0]
    return next((key for key in map(_file_key, (stem, image)) if key in rows), None)


def count_matched(images: Iterable[str], rows: Mapping[str, object]) -> int:
    """How many of a person's rows belong to one of these images."""
    return len({key for image in images if (key := key_of(image, rows)) is not None})


def _file_key(name: str) -> str:
    return unicodedata.normalize("NFC", name).rstrip().replace("\\", "/")


def _loose(names: pa.LargeStringArray) -> pa.LargeStringArray:
    """Names without what often differs: case, blanks, extension, leading zeros, all but the last folder."""
    names = pc.utf8_lower(pc.utf8_normalize(names, form="NFKC"))
    for pattern, instead in (
        (r"[\s_]+", ""),
        (_ENDING, ""),
        (r"(^|[^0-9])0+([0-9])", r"\1\2"),
        (r"^.*/([^/]*/[^/]*)$", r"\1"),
    ):
        names = pc.replace_substring_regex(names, pattern, instead)
    return names


def _read(file: Path) -> tuple[pa.LargeStringArray, npt.NDArray[np.float32]]:
    table = read_table(file, numbers=LANDMARK_TABLE_COLUMNS[1:])
    if table.lacking(LANDMARK_TABLE_COLUMNS):
        raise InputError(
            f"{file} has the columns {', '.join(table.names)}; a landmark table has {', '.join(LANDMARK_TABLE_COLUMNS)}"
        )
    if not len(table):
        raise InputError(f"{file} holds no row but its header; give the table of these photos' landmarks")
    names = table.text("NAME_ID").combine_chunks()
    names = names if isinstance(names, pa.Array) else pa.concat_arrays(names.chunks)
    return names, np.stack([table.numbers(name) for name in LANDMARK_TABLE_COLUMNS[1:]], axis=1)
