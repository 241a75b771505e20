"""The history rows of a run that W&B already has.

Each start of a run writes its own fragment below ``<run>/wandb/``, all with one id, and the server (or ``wandb sync``)
combines them.
"""

import json
from pathlib import Path

from simswap.compat.wandb import history_rows
from simswap.tracking.metrics_rows import STEP_METRIC


def offline_fragments(run: Path, identity: str) -> list[Path]:
    """W&B's files of the offline starts of this id, in the run's folder and in earlier values of WANDB_DIR."""
    file = run / "wandb" / "run.json"
    known = json.loads(file.read_text(encoding="utf-8")).get("folders", ()) if file.is_file() else ()
    folders = dict.fromkeys([run.resolve(), *(Path(folder).resolve() for folder in known)])
    found = [path for folder in folders for path in (folder / "wandb").glob(f"offline-run-*/run-{identity}.wandb")]
    return sorted(found, key=lambda path: path.parent.name)


def steps_of(fragment: Path) -> set[int]:
    """The steps of the history rows that a W&B file holds; incomplete rows of a killed process are ignored."""
    return {int(float(row[STEP_METRIC])) for row in history_rows(fragment) if STEP_METRIC in row}
