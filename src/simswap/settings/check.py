"""The check of a composed configuration, before anything is built from it.

A node with a ``_target_`` takes the parameters of the target's signature. Any other node takes the keys that the
default YAML files have. Numbers have the ranges of `simswap.settings.ranges`.
"""

import inspect
import types
import typing
from collections.abc import Iterable
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from simswap.errors import InputError
from simswap.settings.judges import check_judges
from simswap.settings.ranges import OPTIONAL, RANGES, range_of
from simswap.settings.recorded_names import NULLABLE
from simswap.settings.targets import NO_TARGET, TARGETS, check_target, check_targets, import_target, node_rule
from simswap.settings.trainer_keys import allowed_of_trainer
from simswap.settings.trusted import KEY, ONLY_HERE
from simswap.settings.words import explain_hydra, nearest

ANY_KEY = "**"
"""Stands among a target's parameters where it takes keys by any name, and checks them itself."""

ENTRIES = ("callbacks", "logger.more", "loss_recognition", "judges")
"""Groups of named entries: the user chooses the names, and each entry has its own ``_target_``."""

OWN_KEYS = {"loss_recognition.*": ("weight",)}
"""Node → keys beside its target's parameters, which the program reads itself."""

SUPPLIED = {"optimizer.algorithm": ("params", "lr")}
"""Node → parameters of its target that the program gives, so that a configuration does not."""


SWITCHES = {"channels_last", "reduced_decoding"}
"""Keys that take true, false or ``auto``."""


def check(cfg: DictConfig, reference: DictConfig) -> None:
    """Check keys, types, ranges and targets.

    Args:
        cfg: The composed configuration.
        reference: The same choice of groups without the user's changes. It has the allowed keys and their types.

    Raises:
        InputError: A key is unknown or missing, or its value has the wrong type, is out of range or is not given.
    """
    try:
        missing = sorted(OmegaConf.missing_keys(cfg))
        if missing:
            raise InputError(f"{missing[0]} has no value: give it as {missing[0]}=…")
        tree = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        raise InputError(explain_hydra(error)) from error
    check_targets(tree)
    _check_node(tree, OmegaConf.to_container(reference, resolve=False), "")


def _check_node(node: Any, reference: Any, path: str) -> None:
    if not isinstance(node, dict):
        return
    target, own = node.get("_target_"), OWN_KEYS.get(node_rule(path), ())
    hints: dict[str, Any] = {}
    if path in ENTRIES:
        _check_entries(node, path)
        allowed: set[str] | None = set(node)
    elif own and target is None:
        allowed = {*own, "_target_"}
    elif target is not None:
        hints = _signature_types(target, path)
        allowed = None if ANY_KEY in hints else {*hints, *own, "_target_"}
        if path == "trainer":
            allowed = allowed_of_trainer(node, reference, hints)
    elif isinstance(reference, dict) and f"{path}.*" not in RANGES:
        allowed = set(reference)
    else:
        allowed = None  # an open mapping: the code that takes it checks its keys
    for key, value in node.items():
        where = f"{path}.{key}" if path else str(key)
        if allowed is not None and key not in allowed:
            raise InputError(ONLY_HERE if where == KEY else f"unknown key {where}{nearest(str(key), allowed)}")
        known = reference.get(key) if isinstance(reference, dict) else None
        listed = target is None or target in TARGETS.get(
            node_rule(path), ()
        )  # ranges are those of this project's targets
        limit = range_of(where) if listed and _is_numeric(hints.get(str(key))) else None
        if limit is not None:
            limit.check(where, value)
        else:
            _check_type(value, hints.get(str(key)), known, where)
        if limit is None and (allowed is not None or isinstance(known, dict)):
            _check_node(value, known, where)
    if target is None and isinstance(reference, dict):
        gone = [key for key in reference if key not in node]
        if gone:
            raise InputError(
                f"{f'{path}.' if path else ''}{gone[0]} is missing: give it a value; a key cannot be left out"
            )


def _check_entries(node: dict[str, Any], path: str) -> None:
    """A group of named entries: each is null or has a ``_target_``; a judge may also be ``of_training``."""
    if path == "judges":
        check_judges(node)
        return
    for name, entry in node.items():
        unnamed = not isinstance(entry, dict) or entry.get("_target_") is None
        if isinstance(entry, dict) and "_target_" in entry and f"{path}.*" in NO_TARGET:
            unnamed = False
        if entry is not None and unnamed:
            raise InputError(f"{path}.{name} names no class: give {path}.{name}._target_=…, or remove the entry")


def fill(stored: DictConfig, default: DictConfig) -> None:
    """Give the configuration of an earlier version the keys that it lacks, with their default values, in place."""
    OmegaConf.set_struct(stored, False)
    for key in default:
        if key not in stored:
            stored[key] = default[key]
            continue
        given = (one for one in (stored, default) if not OmegaConf.is_interpolation(one, str(key)))
        nodes = [one[key] for one in given if not OmegaConf.is_missing(one, key)]
        if len(nodes) == 2 and all(isinstance(one, DictConfig) and "_target_" not in one for one in nodes):
            fill(*nodes)


def _is_numeric(hint: Any) -> bool:
    """Whether a parameter takes numbers. A key that is not a parameter takes numbers if it has a range."""
    accepted = None if hint is None else _plain_types(hint)
    return accepted is None or bool({int, float, list} & {*accepted})


def _signature_types(target: str, path: str) -> dict[str, Any]:
    """Parameter names of an allowed ``_target_`` with their types."""
    check_target(target, path)
    function = import_target(target)
    constructor = function.__init__ if inspect.isclass(function) else function
    try:
        hints = typing.get_type_hints(constructor)
    except (NameError, TypeError):
        hints = {}
    supplied = SUPPLIED.get(path, ())
    return {
        ANY_KEY if one.kind is one.VAR_KEYWORD else name: hints.get(name)
        for name, one in inspect.signature(function).parameters.items()
        if name not in supplied and one.kind is not one.VAR_POSITIONAL
    }


def _check_type(value: Any, hint: Any, known: Any, where: str) -> None:
    """Compare a value with the type in the signature, or without one with the type of the default."""
    if where in SWITCHES:
        if not isinstance(value, bool) and value != "auto":
            raise InputError(f"{where} is {value!r}: it takes true, false or auto")
        return
    accepted = _plain_types(hint) if hint is not None else _plain_types(type(known)) if known is not None else None
    if isinstance(known, str) and ("${" in known or known == "???") and hint is None:
        accepted = None  # the text of an interpolation does not show its type
    if value is None and known is not None and hint is None and where not in (*OPTIONAL, *NULLABLE):
        raise InputError(f"{where} is null: it takes {_names(accepted or (str,))}")
    if accepted is None or (value is None and hint is None):
        return
    if float in accepted:
        accepted = (*accepted, int)
    if isinstance(value, bool) and bool not in accepted and accepted:
        raise InputError(f"{where} is {value}: it takes {_names(accepted)}")
    if not isinstance(value, accepted):
        raise InputError(f"{where} is {value!r}: it takes {_names(accepted)}")


def _plain_types(hint: Any) -> tuple[type, ...] | None:
    """The scalar and container types of an annotation; None if it has others."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        parts = [_plain_types(part) for part in typing.get_args(hint)]
        return None if any(part is None for part in parts) else tuple(kind for part in parts if part for kind in part)
    if origin is typing.Literal:
        return tuple({type(value) for value in typing.get_args(hint)})
    if hint in (int, float, bool, str, list, dict, type(None)):
        return (hint,)
    if origin in (list, dict):
        return (origin,)
    return None


def _names(accepted: Iterable[type]) -> str:
    return " or ".join(sorted({"null" if kind is type(None) else kind.__name__ for kind in accepted}))
