"""Where an evaluation's files are: the first one's beside the run's files, a named one's in ``evaluations/``."""

import re
from pathlib import Path

from simswap.errors import InputError

FOLDER = "evaluations"
TAKEN = ("_pairs", "_skipped", "_shipped", "_worst")
"""Ends of the names of an evaluation's other files."""


def stem_of(out: Path, name: str | None) -> Path:
    """How the names of an evaluation's files begin, and creates their folder."""
    if name is None:
        return out / "evaluation"
    (out / FOLDER).mkdir(parents=True, exist_ok=True)
    return out / FOLDER / str(name)


def check_name(name: str) -> None:
    """Raise InputError unless a name can be a file's, and is none of an evaluation's other files.

    Args:
        name: 1 to 64 letters, digits, ``-`` and ``_``, beginning with a letter or a digit.
    """
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise InputError(f"name={name}: use up to 64 letters, digits, - and _, beginning with a letter or a digit")
    timed = re.search(r"_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d$", name)
    end = timed[0] if timed else next((end for end in TAKEN if name.endswith(end)), None)
    if end is not None:
        raise InputError(
            f"name={name}: names that end in {end} are those of an evaluation's other files; choose another"
        )
