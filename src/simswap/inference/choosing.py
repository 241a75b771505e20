"""The faces that a command's photos of sources and persons mean."""

from pathlib import Path

from simswap.data.tables import read_table
from simswap.errors import InputError
from simswap.inference.photos import read_photo
from simswap.inference.swapper import Aligned, PhotoSwapper


def source_face(swapper: PhotoSwapper, path: Path, which: str) -> Aligned:
    """The face of a source's photo: its ``only`` one, or its ``largest``. Raises InputError if there is none."""
    photo = read_photo(path)
    return swapper.only_face(photo) if which == "only" else swapper.find(photo)[0]


def read_mapping(file: Path) -> tuple[list[Path], list[Path]]:
    """Photos of persons in the targets and of their sources; paths are relative to the file.

    Raises:
        InputError: The file is no table with the columns person and source, or a row lacks one.
    """
    try:
        table = read_table(file)
        persons, sources = (table.text(name).to_pylist() for name in ("person", "source"))
    except InputError as error:
        raise InputError(f"mapping={error}; give a CSV with the columns person,source") from error
    if not persons or not all(persons) or not all(sources):
        raise InputError(f"mapping={file}: every row needs both columns, person and source")
    return [file.parent / name for name in persons], [file.parent / name for name in sources]
