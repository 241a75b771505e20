"""The choice of a group's member: on the command line before Hydra reads it, and in YAML files after.

Hydra stacks the members of a list on each other: ``pose=[builtin,pnp]`` would be a mixture of two estimators, and
``loss_recognition=[dlib,none]`` would be none. It stops with a stack trace at a choice that is no name, such as null.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep
from hydra.errors import HydraException
from omegaconf import OmegaConf

from simswap.errors import InputError
from simswap.settings.targets import TARGETS
from simswap.settings.words import CONF_DIR, nearest

NONE = "none"
_CHOICE = re.compile(r"\+{0,2}(\w+)(@[\w.]+)?=(.*)", re.S)
_PARSER = OverridesParser.create()


def as_member(argument: str) -> str:
    """The argument, with null for a group that has a member ``none`` translated to it; others are returned unchanged.

    Raises:
        InputError: A group of one network or object gets a list, ``none`` stands beside other members, or the choice is
            no name.
    """
    found = _CHOICE.fullmatch(argument)
    members = groups().get(found[1]) if found else None
    if found is None or members is None:
        return argument
    group, given = found[1], found[3].strip()
    if given == "null" and NONE in members:
        return argument[: found.start(3)] + NONE
    try:
        value = _PARSER.parse_override(argument).value()
    except HydraException:
        return argument  # Hydra reports it
    for one in value.list if isinstance(value, ChoiceSweep) else [value]:
        _check(argument, group, one, members)
    if isinstance(value, list) and len(value) == 1 and group in TARGETS:
        return argument[: found.start(3)] + str(value[0])
    return argument


def refuse_stacked(config_name: str, chosen: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Refuse a group of one object whose members a defaults list of a YAML file stacks on each other.

    Args:
        config_name: The name of the command's file in conf/.
        chosen: Hydra's ``runtime.choices``, in which such a group is missing.
        config: The composed configuration.

    Raises:
        InputError: There is such a group.
    """
    for group in _defaults(config_name):
        if group in TARGETS and group in config and group not in chosen:
            members = ", ".join(groups()[group])
            raise InputError(
                f"{group} takes one choice, and a defaults list in a YAML file gives it several; choose {members}"
            )


@cache
def _defaults(config_name: str) -> tuple[str, ...]:
    """The groups in the defaults list of a command's file."""
    config = OmegaConf.load(Path(CONF_DIR) / f"{config_name}.yaml")
    entries = OmegaConf.to_container(config.defaults)
    assert isinstance(entries, list)
    return tuple(str(group) for entry in entries if isinstance(entry, Mapping) for group in entry)


def _check(argument: str, group: str, chosen: Any, members: tuple[str, ...]) -> None:
    if isinstance(chosen, Mapping):
        return  # the value itself, not a choice
    if isinstance(chosen, list):
        names = [str(one) for one in chosen]
        if len(names) > 1 and group in TARGETS:
            raise InputError(f"{argument}: {group} takes one choice, not a list; choose one of {', '.join(members)}")
        if len(names) > 1 and NONE in names:
            others = ",".join(name for name in names if name != NONE)
            raise InputError(f"{argument}: none stands alone; choose {group}={NONE} or {group}=[{others}]")
    elif chosen is None or isinstance(chosen, bool | int | float):
        shown = "null" if chosen is None else str(chosen)
        if chosen is None and NONE in members:
            raise InputError(f"{argument}: in a list of choices, write {NONE} for null")
        raise InputError(f"{group}={shown}: there is no such choice{nearest(shown, members)}")


@cache
def groups() -> dict[str, tuple[str, ...]]:
    """Group → its members among the YAML files, those of Hydra itself left out."""
    found = {folder.name: sorted(file.stem for file in folder.glob("*.yaml")) for folder in Path(CONF_DIR).iterdir()}
    return {name: tuple(members) for name, members in found.items() if members and name != "hydra"}
