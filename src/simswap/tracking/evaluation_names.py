"""Where a run's evaluations are: the first one's files beside the run's, a named one's in ``evaluations/``."""

import re
from pathlib import Path

from simswap.errors import InputError

FOLDER = "evaluations"
TAKEN = ("_pairs", "_skipped", "_shipped", "_worst")
"""Ends of the names of an evaluation's other files."""


def stem_in(run: Path, name: str | None) -> Path:
    """How the names of an evaluation's files in a run begin. name: None for the first evaluation."""
    return run / "evaluation" if name is None else run / FOLDER / str(name)


def stem_of(out: Path, name: str | None) -> Path:
    """`stem_in`, and creates the files' folder."""
    stem = stem_in(out, name)
    if name is not None:
        stem.parent.mkdir(parents=True, exist_ok=True)
    return stem


def names_in(run: Path) -> list[str | None]:
    """The names of a run's evaluations: None for the first, then the others; earlier ones under a time are left out."""
    first: list[str | None] = [None] if Path(f"{stem_in(run, None)}.json").is_file() else []
    return first + sorted(file.stem for file in (run / FOLDER).glob("*.json") if _refusal(file.stem) is None)


def check_name(name: str, key: str = "name") -> None:
    """Raise InputError unless a name can be a file's, and is none of an evaluation's other files.

    Args:
        name: 1 to 64 letters, digits, ``-`` and ``_``, beginning with a letter or a digit.
        key: The setting, for the error.
    """
    if refusal := _refusal(name):
        raise InputError(f"{key}={name}: {refusal}")


def _refusal(name: str) -> str | None:
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        return "use up to 64 letters, digits, - and _, beginning with a letter or a digit"
    timed = re.search(r"_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d$", name)
    end = timed[0] if timed else next((end for end in TAKEN if name.endswith(end)), None)
    if end is None:
        return None
    return f"names that end in {end} are those of an evaluation's other files; choose another"
