"""One-line error messages about settings, with the nearest valid name."""

import difflib
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from simswap.errors import InputError

_PACKAGED = Path(__file__).resolve().parents[1] / "conf"
CONF_DIR = str(_PACKAGED if _PACKAGED.is_dir() else Path(__file__).resolve().parents[3] / "conf")
"""The folder of YAML files: inside an installed package, or at the top of a checkout."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """The end of a message about an unknown name: ``; did you mean …? Valid here: …``."""
    options = sorted(str(option) for option in valid)
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    guess = f"; did you mean {close[0]}?" if close else "."
    return f"{guess} Valid here: {', '.join(options) or 'nothing'}"


def explain_hydra(error: Exception, arguments: Iterable[str] = ()) -> str:
    """Turn an error of Hydra or OmegaConf into one line, with the nearest valid name if the error lists names.

    arguments: the command line as Hydra got it, which tells the node that a wrong choice was made for.
    """
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, InputError):  # raised by one of this project's resolvers
            return str(inner)
        inner = inner.__cause__ or inner.__context__
    text = str(error)
    cause = str(error.__cause__ or "")
    pattern = r"Could not find '([^']+)'\s+Available options in '([^']+)':\s+(.*?)(?:\nConfig search|\Z)"
    group = re.search(pattern, text, re.S)
    if group:
        name, folder, options = group.groups()
        short = name.removeprefix(f"{folder}/")
        node = _node_of_choice(folder, short, arguments)
        return f"{node}={short}: there is no such choice{nearest(short, options.split())}"
    member = re.search(r"Could not override '([^']+)'", text)
    if member:
        return f"unknown key {member.group(1)}{_nearest_in_defaults(member.group(1), cause or text)}"
    ambiguous = re.search(r"Ambiguous value for argument '(.*?)'\s*\n", text, re.S)
    unread = getattr(error, "override", None) or (ambiguous.group(1) if ambiguous else "")
    if "=" in unread:
        return f"{unread}: this value cannot be parsed; to use it literally, write {quoted(unread)}"
    return " ".join(f"{text} {cause}".split())


def _node_of_choice(group: str, member: str, arguments: Iterable[str]) -> str:
    """Where a member of the group was chosen: ``judges.second`` for ``judge@judges.second=…``, else the group."""
    typed = re.compile(rf"\+{{0,2}}{re.escape(group)}(?:@([\w.]+))?=(?:.*,)?{re.escape(member)}(?:,.*)?")
    nodes = [found[1] for argument in arguments if (found := typed.fullmatch(argument))]
    return nodes[0] if nodes and nodes[0] else group


def quoted(override: str) -> str:
    """Quote an override's value for Hydra and then for the shell, ready to copy."""
    key, _, value = override.partition("=")
    return shlex.quote(f"{key}={hydra_quoted(value)}")


def hydra_quoted(value: str) -> str:
    """Quote a text for Hydra's command line, which then returns it unchanged."""
    # Hydra reads a backslash literally unless a quote follows it.
    return "'" + re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value) + "'"


def _nearest_in_defaults(key: str, text: str) -> str:
    """Find the nearest key in the YAML files: there is no composed configuration yet."""
    keys: set[str] = set()
    for file in Path(CONF_DIR).rglob("*.yaml"):
        prefix = "" if file.parent == Path(CONF_DIR) else f"{file.parent.name}."
        keys |= {f"{prefix}{name}" for name in _flat_keys(OmegaConf.to_container(OmegaConf.load(file)))}
    if key in keys:
        return f": another member of the group {key.split('.')[0]} has it, the chosen one does not"
    close = difflib.get_close_matches(key, sorted(keys), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f" ({' '.join(text.split())})"


def _flat_keys(node: Any, path: str = "") -> Iterable[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("defaults", "hydra"):
                continue
            yield f"{path}{key}"
            yield from _flat_keys(value, f"{path}{key}.")
