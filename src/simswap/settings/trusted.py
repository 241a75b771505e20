"""Packages of the user's own, opened by ``trusted=[mylab]`` on the command line and in no other way."""

import importlib
import re
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from simswap.errors import InputError

KEY = "trusted"
ENVIRONMENT = "SIMSWAP_TRUSTED"
"""Environment variable in which a run's process hands the names to the ranks that it starts."""

ONLY_HERE = f"{KEY} works on the command line alone, as in {KEY}=[mylab]; remove it here"

_packages: tuple[str, ...] = ()


def split_trusted(arguments: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Separate ``trusted=…`` from a command line.

    Returns:
        The names of the packages, and the other arguments.

    Raises:
        InputError: The value is not a list of names of packages.
    """
    given = [text for text in arguments if text.lstrip("+").startswith(f"{KEY}=")]
    names: list[str] = []
    for text in given:
        try:
            value = OverridesParser.create().parse_overrides([text])[0].value()
        except HydraException:
            value = ""
        for name in [] if value is None else value if isinstance(value, list) else [value]:
            if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", str(name)) or str(name).split(".")[0] == "simswap":
                raise InputError(f"{text}: give the names of Python packages of your own, as in {KEY}=[mylab]")
            names.append(str(name))
    return tuple(dict.fromkeys(names)), [text for text in arguments if text not in given]


def trust(names: Iterable[str]) -> None:
    """Import these packages and let configurations name their classes and functions, in this process.

    Each call replaces the packages of the call before. A package is found where Python finds packages, and in the
    working folder. What the package registers when it is imported (loss terms, figures) takes effect.

    Raises:
        InputError: A package cannot be imported; names the line of it that failed.
    """
    global _packages
    _packages = tuple(names)
    here = str(Path.cwd())
    if _packages and here not in sys.path:
        sys.path.append(here)
    for name in _packages:
        try:
            importlib.import_module(name)
        except Exception as error:  # the user's code may raise anything
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = "" if "importlib" in last.filename else f", {last.filename}:{last.lineno}"
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise InputError(f"{KEY}=[{name}]: the package cannot be imported ({reason}{where})") from error


def trusted_packages() -> tuple[str, ...]:
    """The packages that are trusted in this process."""
    return _packages


def is_trusted(name: str) -> bool:
    """Whether a dotted name lies in a trusted package."""
    return any(name.startswith(f"{package}.") for package in _packages)
