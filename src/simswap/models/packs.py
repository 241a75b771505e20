"""The file of a network, given by its own path or by the folder of a pack that holds one such file."""

from collections.abc import Callable
from pathlib import Path

from simswap.errors import InputError


def file_of_pack(path: Path, fits: Callable[[Path], bool], missing: str, several: str, none: str) -> Path:
    """Find a network's file.

    Args:
        path: The file, or the folder of a pack.
        fits: Whether an ``.onnx`` file is such a network.
        missing: The message where the path does not exist.
        several: What a folder with several such files holds, for the message.
        none: What a folder without such a file holds, for the message.

    Returns:
        The file itself, or the only file of the folder that fits.

    Raises:
        InputError: The path does not exist, or the folder holds no such file or several.
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
