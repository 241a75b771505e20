"""A network's file: given itself, or as the folder of a pack in which one file alone has its form."""

from collections.abc import Callable
from pathlib import Path

from simswap.errors import InputError


def file_of_pack(path: Path, fits: Callable[[Path], bool], missing: str, several: str, none: str) -> Path:
    """The file itself, or the only ``.onnx`` file of the folder that ``fits``.

    missing, several, none: how the complaint goes on where there is nothing, more than one, or no such file.
    Raises InputError there.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise InputError(f"{path}: {missing}")
    files = sorted(path.glob("*.onnx"))
    found = [file for file in files if fits(file)]
    if len(found) != 1:
        seen = ", ".join(file.name for file in (found or files)) or "no .onnx file"
        raise InputError(f"{path}: holds {several if found else none}: {seen}; name the file itself")
    return found[0]
