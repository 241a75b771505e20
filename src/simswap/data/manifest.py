"""The manifest of a prepared folder: one row an image, opened as columns so that millions of rows fit.

<root>/manifest.csv     the columns below, sorted by source
<root>/prepare.json     the settings that made the crops, and the counts
<root>/crops/<person>/<image>.png|jpg
<root>/attributes.csv   optional: NAME_ID and any columns, joined by `Manifest.name`
"""

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from simswap.data.tables import as_numbers, read_table
from simswap.errors import InputError
from simswap.faces.alignment import TEMPLATES, apply, fit_similarity, template_points
from simswap.settings.recorded_names import with_current_targets
from simswap.stand_ins import refuse_stand_in

MANIFEST_FILE, SETTINGS_FILE, ATTRIBUTES_FILE, CROPS_FOLDER = (
    "manifest.csv",
    "prepare.json",
    "attributes.csv",
    "crops",
)
LANDMARK_COLUMNS = [f"{axis}{number}" for number in range(1, 6) for axis in "xy"]
COLUMNS = ["path", "person", "source", "status", "detail", "view", "score", *LANDMARK_COLUMNS]
OK = "ok"

_NEEDED = {
    "path": pa.large_string(),
    "person": pa.dictionary(pa.int32(), pa.string()),
    "status": pa.dictionary(pa.int32(), pa.string()),
    "view": pa.int8(),
}


class Manifest:
    """The aligned crops of a prepared folder; skipped images are left out, so indices run over crops only.

    Attributes:
        root: the folder.
        template: name of the crops' alignment template.
        crop_size: side of the crops, px.
        view_count: views of the template.
        person_names: sorted names.
        person: int32 [N], index into the names.
        view: int8 [N], the template's view of each crop.
    """

    def __init__(
        self,
        root: Path,
        template: str,
        crop_size: int,
        person_names: list[str],
        person: npt.NDArray[np.int32],
        view: npt.NDArray[np.int8],
        paths: pa.LargeStringArray,
    ) -> None:
        self.root, self.template, self.crop_size = root, template, crop_size
        self.view_count = len(TEMPLATES[template])
        self.person_names, self.person, self.view = person_names, person, view
        self._paths = paths

    @classmethod
    def open(cls, root: str | Path) -> "Manifest":
        """Open a folder that ``simswap-prepare`` wrote.

        Raises:
            InputError: it is no such folder, or is damaged.
        """
        root = Path(root)
        template, crop_size = _read_settings(root)
        table = _read_rows(root / MANIFEST_FILE)
        table = table.filter(pc.equal(table["status"], OK)).combine_chunks()
        if table.num_rows == 0:
            raise InputError(f"{root / MANIFEST_FILE} lists no aligned crop; see its column status for the reasons")
        codes, names = _sorted_codes(table["person"])
        view = table["view"]
        if view.null_count or pc.min(view).as_py() < 0 or pc.max(view).as_py() >= len(TEMPLATES[template]):
            raise InputError(f"{root / MANIFEST_FILE} holds a view that template {template!r} does not have")
        paths = table["path"].combine_chunks()
        if isinstance(paths, pa.ChunkedArray):
            paths = pa.concat_arrays(paths.chunks)
        return cls(root, template, crop_size, names, codes, view.to_numpy().astype(np.int8), paths)

    def __len__(self) -> int:
        return len(self._paths)

    def path(self, row: int) -> Path:
        """The crop's file.

        Raises:
            InputError: the manifest points outside its own folder.
        """
        return self.root / self.relative_path(row)

    def relative_path(self, row: int) -> str:
        """The crop's file below ``root``, with slashes.

        Raises:
            InputError: it would be outside.
        """
        relative = Path(self._paths[int(row)].as_py())
        if relative.is_absolute() or ".." in relative.parts or not relative.parts:
            raise InputError(f"{self.root / MANIFEST_FILE} names {str(relative)!r}, which is not inside {self.root}")
        return relative.as_posix()

    def fingerprint(self) -> str:
        """SHA-256 of the manifest file; row numbers are valid for this file only."""
        digest = hashlib.sha256()
        with (self.root / MANIFEST_FILE).open("rb") as stream:
            while block := stream.read(2**24):
                digest.update(block)
        return digest.hexdigest()

    def rows_sha256(self) -> str:
        """SHA-256 of what decides the pairs: the persons' names, and each row's person and view."""
        digest = hashlib.sha256("\n".join(self.person_names).encode())
        digest.update(self.person.tobytes())
        digest.update(self.view.tobytes())
        return digest.hexdigest()

    def crop_landmarks(self, rows: npt.NDArray[np.integer], size: int) -> npt.NDArray[np.float32]:
        """The five landmarks of these crops, in pixels of a crop of ``size`` px: float32 [n, 5, 2].

        Raises:
            InputError: the manifest has no landmarks, or they do not define a crop.
        """
        found = np.empty((len(rows), 5, 2), np.float32)
        for place, row in enumerate(rows):
            points = self._photo_landmarks[row]
            try:
                matrix = fit_similarity(points, template_points(self.template, size, int(self.view[row])))
            except ValueError as error:
                raise InputError(
                    f"{self.root / MANIFEST_FILE}: the landmarks of {self.path(row)} fix no crop ({error}); prepare "
                    "the data again"
                ) from error
            found[place] = apply(matrix, points)
        return found

    @cached_property
    def _photo_landmarks(self) -> npt.NDArray[np.float32]:
        """[N, 5, 2] in px of the photos; read on first use, since training does not need them."""
        types = {name: pa.float32() for name in LANDMARK_COLUMNS} | {"status": _NEEDED["status"]}
        table = read_csv(self.root / MANIFEST_FILE, pacsv.ConvertOptions(column_types=types, include_columns=types))
        table = table.filter(pc.equal(table["status"], OK))
        return np.stack([table[name].to_numpy() for name in LANDMARK_COLUMNS], axis=-1).reshape(-1, 5, 2)

    def photo_landmarks(self, row: int) -> npt.NDArray[np.float64]:
        """The five landmarks [5, 2] of a crop's face in px of its photo."""
        return self._photo_landmarks[int(row)].astype(np.float64)

    def photo(self, row: int) -> str:
        """A crop's photo below the folder that was prepared, with slashes.

        Raises:
            InputError: it would be outside of that folder.
        """
        name = self._photos[int(row)].as_py() or ""
        if Path(name).is_absolute() or ".." in Path(name).parts or not Path(name).parts:
            raise InputError(f"{self.root / MANIFEST_FILE} names the photo {name!r}, which is in no folder of photos")
        return Path(name).as_posix()

    @cached_property
    def _photos(self) -> pa.ChunkedArray:
        types = {"source": pa.large_string(), "status": _NEEDED["status"]}
        table = read_csv(self.root / MANIFEST_FILE, pacsv.ConvertOptions(column_types=types, include_columns=types))
        return table.filter(pc.equal(table["status"], OK))["source"]

    def name(self, row: int) -> str:
        """``person/stem``, the NAME_ID of VGGFace2's tables."""
        return str(self._names(self._paths.slice(int(row), 1))[0].as_py())

    def attributes(self) -> pa.Table | None:
        """The columns of attributes.csv in the manifest's order, or None without that file.

        A column is numeric if every cell is a number, else text; null where there is no row.

        Raises:
            InputError: the file cannot be read or has no column NAME_ID.
        """
        file = self.root / ATTRIBUTES_FILE
        if not file.is_file():
            return None
        table = read_table(file)
        keys = pc.utf8_normalize(table.text("NAME_ID"), form="NFC").combine_chunks()
        own = pc.utf8_normalize(self._names(self._paths), form="NFC")
        columns = {name: as_numbers(cells) for name, cells in zip(table.names, table.columns, strict=True)}
        return pa.table(columns).take(pc.index_in(own, value_set=keys))

    @staticmethod
    def _names(paths: pa.LargeStringArray) -> pa.LargeStringArray:
        inside = pc.replace_substring_regex(paths, f"^{CROPS_FOLDER}/", "")
        return pc.replace_substring_regex(inside, r"\.[^./]*$", "")


def read_csv(file: Path, options: pacsv.ConvertOptions | None = None) -> pa.Table:
    """A CSV file as a table.

    Raises:
        InputError: the file cannot be read or has other columns; the message names it.
    """
    refuse_stand_in(file, "a table (CSV)", "text")
    try:
        return pacsv.read_csv(file, convert_options=options)
    except FileNotFoundError as error:
        raise InputError(f"{file} is not there") from error
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from error
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise InputError(f"{file} is not the table it should be: {' '.join(str(error).split())}") from error


def read_settings(root: Path) -> dict[str, Any] | None:
    """The content of prepare.json, or None without one.

    Raises:
        InputError: the file is damaged.
    """
    file = root / SETTINGS_FILE
    refuse_stand_in(file, "the settings of prepared data", "json")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read ({error}); prepare the data again into a new folder") from error
    if not isinstance(content, dict) or not isinstance(content.get("settings"), dict):
        raise InputError(f"{file} holds no settings; prepare the data again into a new folder")
    return with_current_targets(content)


def _read_settings(root: Path) -> tuple[str, int]:
    if not (root / MANIFEST_FILE).is_file():
        unfinished = (root / SETTINGS_FILE).is_file()
        hint = (
            "its preparation is not finished: run the same simswap-prepare again"
            if unfinished
            else (f"make one with: simswap-prepare raw=<folder of persons> out={root}")
        )
        raise InputError(f"{root} is no prepared folder, it has no {MANIFEST_FILE}; {hint}")
    content = read_settings(root)
    if content is None:
        raise InputError(f"{root} has no {SETTINGS_FILE}, so the template of its crops is not known; prepare it again")
    template, size = content["settings"].get("template"), content["settings"].get("size")
    if template not in TEMPLATES or not isinstance(size, int) or size < 1:
        raise InputError(f"{root / SETTINGS_FILE} names template {template!r} and size {size!r}; prepare it again")
    return template, size


def _read_rows(file: Path) -> pa.Table:
    options = pacsv.ConvertOptions(column_types=_NEEDED, include_columns=list(_NEEDED))
    return read_csv(file, options)


def _sorted_codes(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Dictionary codes against the sorted names that occur (the filter may leave some unused)."""
    encoded = column.unify_dictionaries().combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0)
    codes = encoded.indices.to_numpy()
    values = encoded.dictionary.to_pylist()
    used = np.flatnonzero(np.bincount(codes, minlength=len(values)))
    order = sorted(used.tolist(), key=lambda code: str(values[code]))
    rank = np.full(len(values), -1, np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank[codes], [str(values[code]) for code in order]
