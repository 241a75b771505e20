"""A sweep's trials as a table in W&B: ``sweep/trials`` of a run of its own, in the group of the sweep's runs."""

import csv
import json
import uuid
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from simswap.launching import ranks
from simswap.settings.wandb_environment import given, say, settled_mode, tags
from simswap.tracking.wandb_artifacts import staged_in
from simswap.tracking.wandb_run import (
    DEFAULT_PROJECT,
    LONGEST_NAME,
    KnownAs,
    as_it_began,
    end,
    go_on,
    known_as,
    reason_of,
    remember,
)

JOB = "sweep"
TABLE = "sweep/trials"


def trials_in(folder: Path) -> tuple[list[str], list[list[Any]]]:
    """The columns and rows of ``trials.csv``, with numbers as numbers, and each trial's run in W&B.

    Args:
        folder: The sweep's folder.

    Returns:
        The columns and the rows; both empty without a table.
    """
    file = folder / "trials.csv"
    if not file.is_file():
        return [], []
    with file.open(newline="", encoding="utf-8") as text:
        columns, *rows = csv.reader(text)
    runs = [known_as(folder / row[columns.index("job")]) for row in rows]
    found = [
        [*map(_value, row), run.id if run else "", run.name if run else ""] for row, run in zip(rows, runs, strict=True)
    ]
    return [*columns, "run", "name"], found


def _value(text: str) -> Any:
    """A cell: settings are JSON, objectives are numbers. Lists and mappings stay texts: a column has one type."""
    try:
        value = json.loads(text)
    except ValueError:
        return text if text else None
    return text if isinstance(value, list | dict) else value


def new_identity(folder: Path, experiment: str, project: str | None, entity: str | None) -> KnownAs:
    """The identity of the table's run; of W&B's variables, those for single runs do not apply."""
    return KnownAs(
        uuid.uuid4().hex[:8],
        f"trials of {folder.name}"[:LONGEST_NAME],
        f"{experiment} {folder.name}"[:LONGEST_NAME],
        JOB,
        project or given("WANDB_PROJECT") or DEFAULT_PROJECT,
        entity or given("WANDB_ENTITY"),
        tags(),
    )


def put_trials(folder: Path, config: DictConfig) -> None:
    """Log the table of a sweep's trials, unless its logger is disabled. A later start adds to the same run.

    Args:
        folder: The sweep's folder.
        config: The sweep's configuration.
    """
    logger = config.get("logger")
    columns, rows = trials_in(folder)
    if not rows or logger is None or settled_mode(logger.mode) == "disabled" or not ranks.is_first():
        return
    before = known_as(folder)
    called = before or new_identity(folder, config.name, logger.project, logger.entity)
    try:
        import wandb

        mode = settled_mode(logger.mode)
        config_of_run = {"sweep": {"metrics": list(config.sweep.metrics), "directions": list(config.sweep.directions)}}
        like = None if before is not None else called
        experiment, reason = go_on(folder, called, mode, config=config_of_run, like=like)
        if experiment is None:
            say(f"the sweep's trials are not in W&B ({reason})")
            return
        remember(folder, as_it_began(called, experiment))
        with staged_in(folder):
            experiment.log({TABLE: wandb.Table(columns=list[str | int](columns), data=rows, allow_mixed_types=True)})
        end(experiment)
    except Exception as error:  # W&B may fail in any way; the table is safe in its file
        say(f"the sweep's trials are not in W&B ({reason_of(error)})")
