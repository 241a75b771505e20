"""The judges of an evaluation beside the first: ``judges.<name>``, each a choice of the group ``judge``."""

import re
from typing import Any

from simswap.errors import InputError

KEY = "judges"
OF_TRAINING = "of_training"
_CHOICE = re.compile(rf"\+{{0,2}}{KEY}\.([^.=]*)=([\w,.-]*)")
_SEVERAL = re.compile(r"\+{0,2}(judge|judges\.\w+)=\[")
HOW = "further judges are chosen by names of your own, as in judges.second=builtin"


def as_choice(argument: str) -> str:
    """Translate ``judges.<name>=<member>`` for Hydra, which takes the member from the group ``judge``.

    ``of_training`` becomes a plain value, and ``none`` null, because these members replace the first judge.

    Raises:
        InputError: ``judge`` is a list, or a further judge has a name that cannot be used.
    """
    if _SEVERAL.match(argument):
        raise InputError(f"{argument}: judge takes one network; {HOW}")
    found = _CHOICE.fullmatch(argument)
    if found is None:
        return argument
    name, member = found.groups()
    check_name(name)
    if member in ("none", "null"):
        return f"++{KEY}.{name}=null"
    return f"++{KEY}.{name}={member}" if member == OF_TRAINING else f"+judge@{KEY}.{name}={member}"


def check_name(name: str) -> None:
    """Raise InputError unless a judge's name can be part of a column's name: a letter, then letters, digits and _."""
    if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name):
        raise InputError(f"{KEY}.{name}: use letters, digits and underscores in a judge's name, starting with a letter")


def check_judges(node: dict[str, Any]) -> None:
    """Raise InputError unless each judge is a network, ``of_training`` or null."""
    for name, entry in node.items():
        check_name(str(name))
        if entry is None or entry == OF_TRAINING or (isinstance(entry, dict) and entry.get("_target_") is not None):
            continue
        raise InputError(
            f"{KEY}.{name} names no network: choose a member of the group judge, as in {KEY}.{name}=builtin, or "
            f"{KEY}.{name}={OF_TRAINING}"
        )
