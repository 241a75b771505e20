"""An evaluation in W&B: a table of pairs with pictures, and a run of its own with the files as an artifact.

The run of its own uses the artifact of the checkpoint, so that the lineage shows data, training, checkpoint,
evaluation. The table belongs to the summary of the training's run, where W&B joins the tables of several runs.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from simswap.files import atomic_write
from simswap.settings.wandb_environment import say, settled_mode
from simswap.tracking.status import RUNNING, current_state
from simswap.tracking.wandb_artifacts import (
    EVALUATION,
    ITERATION,
    USED,
    checkpoint_name,
    evaluation_name,
    log_files,
    staged_in,
)
from simswap.tracking.wandb_run import LONGEST_NAME, KnownAs, end, go_on, known_as, reason_of

JOB = "evaluate"
"""The job type of an evaluation's own run."""
PAIRS = "pairs"
"""The table's key behind the evaluation's prefix."""
PICTURES = ("target", "source", "result")


class PairsTable(NamedTuple):
    """Rows of pairs: the pictures are paths of image files, which are read when the table is logged."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


class EvaluationFiles(NamedTuple):
    """What an evaluation leaves besides its figures: files by name, and the facts of the measured checkpoint."""

    files: Mapping[str, Path]
    checkpoint: Mapping[str, Any]


def takes_evaluations(run: Path, mode: str) -> bool:
    """Whether the run in this folder logged to W&B, and has ended. A line says so if it is still running."""
    if known_as(run) is None or settled_mode(mode) == "disabled":
        return False
    if current_state(run) == RUNNING:
        say(f"the evaluation is not in W&B ({run} is still running): run simswap-evaluate again when it has ended")
        return False
    return True


def table_of(pairs: PairsTable) -> Any:
    """The table as wandb.Table."""
    import wandb

    def shown(column: str, value: Any) -> Any:
        return wandb.Image(str(value)) if column in PICTURES else value

    data = [[shown(*cell) for cell in zip(pairs.columns, row, strict=True)] for row in pairs.rows]
    return wandb.Table(columns=list(pairs.columns), data=data)


def log_evaluation(run: Path, mode: str, content: EvaluationFiles, name: str | None) -> bool:
    """Log an evaluation's files as a W&B run of its own, in the group of the training's run.

    Args:
        run: The run folder.
        mode: See `settled_mode`.
        content: The files, and what was measured.
        name: The evaluation's name; None for the first.

    Returns:
        Whether W&B has it; if not, a line says why.
    """
    trained = known_as(run)
    assert trained is not None
    called = evaluated_as(trained, name)
    config = {USED: {"checkpoint": {**content.checkpoint, "run": trained.id, "artifact": checkpoint_name(trained.id)}}}
    try:
        experiment, reason = go_on(run, called, settled_mode(mode), config=config, like=trained)
    except Exception as error:  # W&B may fail in any way; the evaluation is safe in its own files
        experiment, reason = None, reason_of(error)
    if experiment is None:
        say(f"the evaluation is not in W&B ({reason}): run simswap-evaluate again when its server answers")
        return False
    if not experiment.offline:
        _use(experiment, trained, content.checkpoint)
    with staged_in(run):
        log_files(experiment, evaluation_name(trained.id, name), EVALUATION, content.files, content.checkpoint)
    end(experiment)
    return True


def evaluated_as(trained: KnownAs, name: str | None) -> KnownAs:
    """The identity of an evaluation's run: a new id, in the group and the project of the training's run."""
    title = f"{trained.name[: LONGEST_NAME - 80]} evaluation {name or ''}".rstrip()
    return KnownAs(
        uuid.uuid4().hex[:8], title, trained.group, JOB, trained.project, trained.entity, trained.tags, None, ()
    )


def _use(experiment: Any, trained: KnownAs, measured: Mapping[str, Any]) -> None:
    """Use the checkpoint's artifact, if the server has the one that was measured."""
    import wandb

    place = f"{experiment.entity}/{experiment.project}/{checkpoint_name(trained.id)}"
    address = f"{place}:{ITERATION}{measured.get('iteration')}"
    try:
        artifact = wandb.Api().artifact(address)
        if measured.get("sha256") in (artifact.metadata.get("of"), artifact.metadata.get("sha256")):
            experiment.use_artifact(artifact)
    except (wandb.Error, ValueError, ConnectionError, TimeoutError) as error:
        say(f"W&B: the evaluation is not linked to {address} ({reason_of(error)})")


def remember_tables(run: Path, entries: Mapping[str, Any]) -> None:
    """Store how the summary refers to tables, for later fragments of an offline run, whose summary replaces it."""
    with atomic_write(run / "wandb" / "tables.json") as part:
        part.write_text(json.dumps(tables_in(run) | dict(entries)), encoding="utf-8")


def tables_in(run: Path) -> dict[str, Any]:
    """What `remember_tables` stored."""
    file = run / "wandb" / "tables.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
