"""Arguments as W&B's agents write them: Python's ``None``, lists and mappings, which Hydra writes in another way."""

import ast
import re
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from simswap.settings.words import CONF_DIR, hydra_quoted

_ARGUMENT = re.compile(r"(\+{0,2}[A-Za-z_][\w./@]*)=(.*)", re.S)
_NAME = re.compile(r"[A-Za-z_][\w.]*")
_PARSER = OverridesParser.create()


def of_agent(argument: str, by_agent: bool = False) -> list[str]:
    """Translate one argument for Hydra.

    - ``None`` becomes null, also in lists and mappings, and quoted names in mappings lose their quotes.
    - A mapping for a group of configurations (``objective={'weights': {'identity': 3}}``) becomes one argument for each
      of its keys, because Hydra would take it for the choice of a member.
    - ``by_agent``: a text that means something to Hydra (``a,b``) is quoted. On a command line that a person typed, it
      keeps Hydra's meaning.

    Returns:
        The arguments; the same one if there is nothing to translate.
    """
    found = _ARGUMENT.fullmatch(argument)
    if found is None:
        return [argument]
    key, text = found.groups()
    if text == "None":
        return [f"{key}=null"]
    value = _literal(text) if text[:1] in ("[", "{") else None
    if value is None:
        return [f"{key}={hydra_quoted(text)}"] if by_agent and not _is_plain(argument) else [argument]
    if isinstance(value, dict) and value and (Path(CONF_DIR) / key.lstrip("+")).is_dir():
        return [f"{key}.{name}={_written(part)}" for name, part in value.items()]
    return [f"{key}={_written(value)}"]


def _literal(text: str) -> Any:
    """A list or mapping in Python's syntax; None if it is not one, or is written the same way in Hydra's."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, list | dict) and _names_are_plain(value) else None


def _names_are_plain(value: Any) -> bool:
    """Whether every name of a mapping can be written without quotes, as Hydra needs it."""
    if isinstance(value, dict):
        return all(
            isinstance(name, str) and _NAME.fullmatch(name) and _names_are_plain(part) for name, part in value.items()
        )
    return not isinstance(value, list) or all(map(_names_are_plain, value))


def _written(value: Any) -> str:
    """A value in Hydra's syntax."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{_written(part)}" for name, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_written, value)) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, int | float) else hydra_quoted(str(value))


def _is_plain(argument: str) -> bool:
    """Whether Hydra reads one value, not a choice of a sweep and not an error."""
    try:
        return not _PARSER.parse_overrides([argument])[0].is_sweep_override()
    except (HydraException, ValueError):
        return False
