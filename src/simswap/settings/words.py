"""Complaints about settings in one line, with the nearest valid name."""

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
"""The YAML files: in an installed package a folder of it, in a checkout the one at its top."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """``; did you mean …? valid here: …``, to end a complaint about an unknown name."""
    options = sorted(str(option) for option in valid)
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    guess = f"; did you mean {close[0]}?" if close else "."
    return f"{guess} Valid here: {', '.join(options) or 'nothing'}"


def explain_hydra(error: Exception) -> str:
    """One line from one of Hydra's or OmegaConf's errors, with the nearest valid name where it lists some."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, InputError):  # of a resolver of ours
            return str(inner)
        inner = inner.__cause__ or inner.__context__
    text = str(error)
    cause = str(error.__cause__ or "")
    pattern = r"Could not find '([^']+)'\s+Available options in '([^']+)':\s+(.*?)(?:\nConfig search|\Z)"
    group = re.search(pattern, text, re.S)
    if group:
        name, folder, options = group.groups()
        short = name.removeprefix(f"{folder}/")
        return f"{folder}={short}: there is no such choice{nearest(short, options.split())}"
    member = re.search(r"Could not override '([^']+)'", text)
    if member:
        return f"unknown key {member.group(1)}{_nearest_in_defaults(member.group(1), cause or text)}"
    ambiguous = re.search(r"Ambiguous value for argument '(.*?)'\s*\n", text, re.S)
    unread = getattr(error, "override", None) or (ambiguous.group(1) if ambiguous else "")
    if "=" in unread:
        return f"{unread}: this value cannot be read; if it is meant as it stands, write {quoted(unread)}"
    return " ".join(f"{text} {cause}".split())


def quoted(override: str) -> str:
    """An override with its value quoted for Hydra, and then for the shell: ready to copy."""
    key, _, value = override.partition("=")
    return shlex.quote(f"{key}={hydra_quoted(value)}")


def hydra_quoted(value: str) -> str:
    """A text as a quoted string of Hydra's command line, which gives it back as it is."""
    # Hydra takes a backslash as itself unless a quote follows it.
    return "'" + re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value) + "'"


def _nearest_in_defaults(key: str, text: str) -> str:
    """Look for the nearest key among all keys of the YAML files: the composed config is not there yet."""
    keys: set[str] = set()
    for file in Path(CONF_DIR).rglob("*.yaml"):
        prefix = "" if file.parent == Path(CONF_DIR) else f"{file.parent.name}."
        keys |= {f"{prefix}{name}" for name in _flat_keys(OmegaConf.to_container(OmegaConf.load(file)))}
    close = difflib.get_close_matches(key, sorted(keys), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f" ({' '.join(text.split())})"


def _flat_keys(node: Any, path: str = "") -> Iterable[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("defaults", "hydra"):
                continue
            yield f"{path}{key}"
            yield from _flat_keys(value, f"{path}{key}.")
