"""One history in W&B for a run that goes on: no row twice, none missing.

Each start of the run writes a fragment of its own below ``<run>/wandb/``, all with one id, which the server (or
``wandb sync``) puts together. W&B keeps the last rows in memory: a killed process takes them with it. So a fragment
begins with the rows of metrics.csv that no fragment before it holds, and leaves out those that one holds already.
A run that was online and finds no server goes on offline under another id, with its whole history.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import WandbLogger
from lightning_utilities.core.rank_zero import rank_zero_only  # Lightning's own, without its seconds of imports

from simswap.compat.wandb import history_rows
from simswap.tracking.metrics_rows import STEP, STEP_METRIC, read_rows, recorded_names


class HistoryLogger(WandbLogger):
    """Lightning's logger, with a run's history in mind. W&B's own step is the iteration, so a row is known by it.

    run: the run folder. known: steps that W&B holds; it begins with rows of metrics.csv that W&B does not hold.
    """

    def __init__(self, run: Path, known: set[int], **keywords: Any) -> None:
        super().__init__(**keywords)
        self.run, self.known = run, known
        self._recorded = recorded_names(run / "metrics.csv")
        self._begun = False

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Send a row, or what belongs to the row that was sent last. Raises ValueError without a step."""
        if step is None:
            raise ValueError("a row of W&B's history is known by its step: log with a step")
        if not self._begun:
            self._begun = True
            self._send_missing(step)
        self._send({self._recorded.get(name, name): value for name, value in metrics.items()}, step)

    def _send(self, metrics: Mapping[str, Any], step: int) -> None:
        if step not in self.known:
            self.experiment.log({**metrics, STEP_METRIC: step}, step=step)

    def _send_missing(self, before: int) -> None:
        import wandb

        rows = {int(row[STEP]): row for row in read_rows(self.run / "metrics.csv")}
        grids = {int(path.stem) - 1: path for path in (self.run / "samples").glob("[0-9]*.png")}
        for step in sorted(rows.keys() | grids.keys()):
            if step >= before:
                break
            values: dict[str, Any] = {
                name: float(value) for name, value in rows.get(step, {}).items() if value and name != STEP
            }
            if step in grids:
                values["samples"] = [wandb.Image(str(grids[step]))]
            self._send(values, step)


def offline_fragments(run: Path, identity: str) -> list[Path]:
    """W&B's files of the starts of this id that had no server: in the run's folder, and where WANDB_DIR was."""
    file = run / "wandb" / "run.json"
    known = json.loads(file.read_text(encoding="utf-8")).get("folders", ()) if file.is_file() else ()
    folders = dict.fromkeys([run.resolve(), *(Path(folder).resolve() for folder in known)])
    found = [path for folder in folders for path in (folder / "wandb").glob(f"offline-run-*/run-{identity}.wandb")]
    return sorted(found, key=lambda path: path.parent.name)


def steps_of(fragment: Path) -> set[int]:
    """The steps of the history rows that a W&B file holds; what a killed process left half written is passed over."""
    return {int(float(row[STEP_METRIC])) for row in history_rows(fragment) if STEP_METRIC in row}
