"""Packages of the extras, which may be absent: their modules, folders and files."""

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

from simswap.errors import InputError


def import_package(module: str, needs: str, install: str) -> ModuleType:
    """Import a module of an optional package.

    Args:
        module: Its name in Python.
        needs: What needs which package, for the message: ``detector=dlib: needs dlib``.
        install: How it is installed, for the message.

    Raises:
        InputError: It is not installed, or cannot be loaded.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        reason = "" if isinstance(error, ModuleNotFoundError) else f" ({' '.join(str(error).split())[:200]})"
        raise InputError(f"{needs}, which is not installed or does not load{reason}; {install}") from error


def package_folder(name: str) -> Path | None:
    """The folder of an installed package, found without importing it; None if it is not installed."""
    found = importlib.util.find_spec(name)
    return None if found is None or found.origin is None else Path(found.origin).parent


def weights_file(key: str, package: str, inside: str, path: str | None, install: str) -> Path:
    """A file of weights that a package brings, found without importing the package.

    Args:
        key: The setting that needs it, such as ``lpips=alex``, for the message.
        package: Its name in Python.
        inside: The file's path in the package.
        path: The file given by the user; None for the package's.
        install: How the package is installed, for the message.

    Raises:
        InputError: The package is not installed, or the file is missing.
    """
    if path is not None:
        file = Path(path).expanduser()
    else:
        folder = package_folder(package)
        if folder is None:
            raise InputError(f"{key}: needs the package {package}, which is not installed; {install}")
        file = folder / inside
    if not file.is_file():
        raise InputError(f"{key}: {file}: no such file; give {package}'s {Path(inside).name}, or {install}")
    return file
