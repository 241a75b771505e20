"""Reading the rows of metrics.csv, without the libraries that its writer needs."""

import csv
import io
from pathlib import Path

from simswap.errors import InputError
from simswap.settings.recorded_names import current_figure

STEP = "step"
STEP_METRIC = "trainer/global_step"
"""The iteration's name in W&B."""


def recorded_names(path: Path) -> dict[str, str]:
    """The columns that a metrics.csv has under an earlier name: current name → earlier name.

    A resumed run keeps its columns and its series in W&B under the names it began with.
    """
    return {current_figure(name): name for name in (read_rows(path) or [{}])[0] if current_figure(name) != name}


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a metrics.csv, with numbers as written; none without a file.

    An incomplete last line of a killed process is dropped.

    Raises:
        InputError: If the file is not a metrics.csv.
    """
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    whole_lines = text[: text.rfind("\n") + 1]
    reader = csv.DictReader(io.StringIO(whole_lines))
    if STEP not in (reader.fieldnames or []) and whole_lines:
        raise InputError(f"{path} has no column {STEP!r}, so it is not a run's metrics.csv: move it away")
    rows = list(reader)
    for number, row in enumerate(rows, start=2):
        if not row[STEP].isdigit() or None in row or None in row.values():
            raise InputError(f"{path}, line {number}, is not a row of a metrics.csv: fix it or move the file away")
    return rows
