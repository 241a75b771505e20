"""``metrics.csv`` of a run folder: one row per step, on disk as soon as it is logged."""

import csv
import io
import os
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from simswap.errors import InputError
from simswap.files import atomic_write
from simswap.tracking.metrics_rows import STEP, read_rows, recorded_names


class MetricsCsvLogger(Logger):
    """Writes ``<run>/metrics.csv``: the column ``step`` (the iteration), then one column per metric.

    Everything logged at one step (training, then validation) is one row; a cell is empty if its metric was not logged.
    A run resumed from a checkpoint replaces the rows that the killed process wrote after that checkpoint, so that no
    step appears twice, and keeps the column names that it began with.

    Args:
        run: The run folder.
        file: The file's name.

    Raises:
        InputError: On logging, if the file cannot be written or is not a metrics.csv.
    """

    def __init__(self, run: Path, file: str = "metrics.csv") -> None:
        super().__init__()
        self.run = Path(run)
        self.path = self.run / file
        self._columns: list[str] = []
        self._row: dict[str, str] = {}  # the last row, which can still grow
        self._row_start = 0  # its first byte in the file
        self._recorded: dict[str, str] = {}  # current name → the earlier name that a resumed run's file has
        self._opened = False

    @property
    def name(self) -> str:
        """The run folder's name."""
        return self.run.name

    @property
    def version(self) -> str:
        """Empty: the folder identifies the run."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run folder."""
        return str(self.run)

    @property
    def log_dir(self) -> str:
        """The run folder."""
        return str(self.run)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the run folder's .hydra/config.yaml and the checkpoint contain the config."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Put numbers into the row of ``step``. Raises ValueError without a step, InputError if writing fails."""
        if step is None:
            raise ValueError("metrics.csv has one row per step: log with a step")
        try:
            if not self._opened:
                self._recorded = recorded_names(self.path)
            values = {
                self._recorded.get(name, name): repr(float(value)) for name, value in metrics.items() if name != STEP
            }
            self._write({STEP: str(step), **values})
        except OSError as error:
            raise InputError(
                f"{self.path} cannot be written ({error.strerror or error}): free disk space or choose "
                "another output folder"
            ) from error

    def _write(self, new: dict[str, str]) -> None:
        step = int(new[STEP])
        if not self._opened:
            self._opened = True
            self._rewrite([row for row in read_rows(self.path) if int(row[STEP]) <= step] + [new])
        elif set(new) <= set(self._columns) and step >= int(self._row[STEP]):
            grown = self._row | new if step == int(self._row[STEP]) else new
            with self.path.open("r+b") as file:
                # If the last row grew it is rewritten; a new row is appended.
                if step == int(self._row[STEP]):
                    file.seek(self._row_start)
                    file.truncate()
                else:
                    self._row_start = file.seek(0, os.SEEK_END)
                file.write(_line([grown.get(column, "") for column in self._columns]))
            self._row = grown
        else:
            self._rewrite([*read_rows(self.path), new])

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        """Rewrite the file, for a new column or an earlier step; rows of the same step are merged."""
        by_step: dict[int, dict[str, str]] = {}
        for row in rows:
            by_step[int(row[STEP])] = by_step.get(int(row[STEP]), {}) | {k: v for k, v in row.items() if v != ""}
        self._columns = [STEP, *dict.fromkeys(name for row in rows for name in row if name != STEP)]
        lines = [_line(self._columns)]
        for step in sorted(by_step):
            lines.append(_line([by_step[step].get(column, "") for column in self._columns]))
        with atomic_write(self.path) as part:
            part.write_bytes(b"".join(lines))
        self._row = by_step[max(by_step)]
        self._row_start = sum(len(line) for line in lines[:-1])


def _line(cells: list[str]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue().encode("utf-8")
