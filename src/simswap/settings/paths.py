"""Paths on the command line: taken literally, with ``~`` as the home folder, for every key that is a path."""

import os
import re
from collections.abc import Callable, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from simswap.settings.words import hydra_quoted

PATHS = frozenset(
    {
        "raw",
        "out",
        "landmarks",
        "attributes",
        "checkpoint",
        "shipped",
        "source",
        "target",
        "only",
        "mapping",
        "weights",
        "resume",
        "start_from",
        "runs",
        "data.root",
        "data.embeddings",
        "recognition.path",
        "measure.raw",
        "judge.path",
        "pose.path",
        "pose.pack",
        "fid.path",
        "lpips.path",
        "detector.pack",
        "detector.path",
        "detector.cnn_path",
        "protocol.root",
        "protocol.pairs",
        "protocol.landmarks",
        "protocol.gallery",
        "protocol.swaps",
        "protocol.cache",
        "sweep.resume",
        "hydra.run.dir",
        "hydra.sweep.dir",
        "hydra.searchpath",
    }
)
"""Keys whose value is a path. A test checks that every path in conf/ is listed, but for those of `is_path_of_entry`."""

LISTS = frozenset({"landmarks", "source", "target", "runs", "protocol.landmarks", "protocol.swaps", "hydra.searchpath"})
"""Keys that also take a list of paths, as in ``[a,b]``."""

NUMBERS_TOO = frozenset({"protocol.pairs"})
"""Keys that are a path in one protocol and a number in another."""

_ENTRIES = ("loss_recognition", "judges")
_OF_ENTRY = re.compile(rf"(?:{'|'.join(_ENTRIES)})\.\w+\.path")

_KEY = re.compile(r"^(\+{0,2})([A-Za-z_][\w.]*)=(.*)$", re.S)
_PARSER = OverridesParser.create()


def read_arguments(arguments: Sequence[str]) -> list[str]:
    """Quote the values of path keys for Hydra, and expand ``~`` to the home folder.

    If a file of exactly the typed name exists, the value is that path. Otherwise a list stays a list, an interpolation
    (``${…}``) stays an interpolation, and with ``-m`` a choice (``a,b``) stays a choice. Every other character is part
    of the path.
    """
    several = bool({"-m", "--multirun", "hydra.mode=MULTIRUN"} & set(arguments))
    return [_read(argument, several) for argument in arguments]


def is_path_of_entry(key: str) -> bool:
    """Whether a dotted key is the path of a named entry, such as ``loss_recognition.onnx.path``."""
    return _OF_ENTRY.fullmatch(key) is not None


def _read(argument: str, several: bool) -> str:
    flag, equals, folder = argument.partition("=")
    if equals and flag.startswith("-"):
        return f"{flag}={os.path.expanduser(folder)}"
    found = _KEY.match(argument)
    if found is None or not (found[2] in PATHS or is_path_of_entry(found[2])):
        return argument
    prefix, key, value = found.groups()
    if value in ("", "null", "???") or (key in NUMBERS_TOO and re.fullmatch(r"[\d.,e+-]+", value)):
        return argument
    if os.path.lexists(os.path.expanduser(value)):
        return f"{prefix}{key}={_literal(value)}"
    if key in LISTS and value.startswith("[") and value.endswith("]"):
        return f"{prefix}{key}=[{','.join(_element(part.strip()) for part in _parts(value[1:-1]))}]"
    if several and (re.match(r"(choice|glob)\(.*\)$", value) or len(_parts(value)) > 1):
        if _parses(argument) or value.startswith(("choice(", "glob(")):
            return argument
        return f"{prefix}{key}={','.join(_element(part.strip()) for part in _parts(value))}"
    return f"{prefix}{key}={_element(value)}"


def _element(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" and not os.path.lexists(text):
        inner = _unquoted(text)
        if inner is not None:
            return _literal(inner, interpolated=True)
    return _literal(text, interpolated=not os.path.lexists(os.path.expanduser(text)))


def _unquoted(text: str) -> str | None:
    try:
        return str(_PARSER.parse_overrides([f"x={text}"])[0].value())
    except (HydraException, ValueError):
        return None


def _literal(value: str, interpolated: bool = False) -> str:
    """A path as a quoted string for Hydra. With ``interpolated``, ``${…}`` in it refers to another key."""
    value = os.path.expanduser(value)
    return hydra_quoted(value if interpolated else escaped(value))


def _parts(text: str) -> list[str]:
    """Split at the commas outside of quotes and brackets."""
    parts, depth, quote = [""], 0, ""
    for place, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote and text[place - 1] != "\\" else quote
        elif sign in "'\"" and not parts[-1].strip():
            quote = sign
        elif sign in "{[(":
            depth += 1
        elif sign in ")]}":
            depth -= 1
        if sign == "," and not quote and depth <= 0:
            parts.append("")
        else:
            parts[-1] += sign
    return parts


def _parses(argument: str) -> bool:
    try:
        _PARSER.parse_overrides([argument])
    except (HydraException, ValueError):
        return False
    return True


def escaped(text: str) -> str:
    """Escape a text so that OmegaConf returns it unchanged, even if it contains ``${``."""
    return re.sub(r"(\\*)\$\{", lambda m: m[1] * 2 + r"\${", text)


def escape_tree(tree: Any) -> Any:
    """Escape every text in a tree of plain values, so that a configuration made of it has no interpolations."""
    if isinstance(tree, dict):
        return {key: escape_tree(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [escape_tree(value) for value in tree]
    return escaped(tree) if isinstance(tree, str) else tree


def with_home(cfg: DictConfig) -> None:
    """Expand ``~`` at the start of the configuration's paths, including those from YAML files, in place."""
    for key in [key for key in PATHS if not key.startswith("hydra.")]:  # simswap.settings.before expands those
        _replace(cfg, key, os.path.expanduser)
    for group in _ENTRIES:
        entries = OmegaConf.select(cfg, group)
        for name in map(str, entries) if isinstance(entries, DictConfig) else ():
            _replace(cfg, f"{group}.{name}.path", os.path.expanduser)


def _replace(cfg: DictConfig, key: str, change: Callable[[str], str]) -> None:
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    if not isinstance(node, DictConfig) or name not in node or OmegaConf.is_missing(node, name):
        return
    value = node[name]
    if isinstance(value, str) and value.startswith("~"):
        OmegaConf.update(cfg, key, escaped(change(value)), merge=False)
    elif OmegaConf.is_list(value) and any(isinstance(one, str) and one.startswith("~") for one in value):
        changed = [escaped(change(one)) if isinstance(one, str) else one for one in value]
        OmegaConf.update(cfg, key, changed, merge=False)
