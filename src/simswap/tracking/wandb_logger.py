"""One history in W&B for a resumed run: no row twice, none missing.

W&B keeps the last rows in memory, and a killed process takes them with it. So a fragment of the history begins with the
rows of metrics.csv that no earlier fragment holds, and leaves out those that one holds already. A run that was online
and finds no server resumes offline under another id, with its complete history.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from simswap.tracking.metrics_rows import STEP, STEP_METRIC, read_rows, recorded_names
from simswap.tracking.wandb_artifacts import Uploads


class HistoryLogger(WandbLogger):
    """Lightning's logger for W&B, which sends each row once. W&B's own step is the iteration, so it identifies a row.

    Args:
        run: The run folder.
        known: Steps that W&B holds. The first row is preceded by the rows of metrics.csv that W&B does not hold.
        uploads: What the run sends beside its metrics.
        **keywords: For Lightning's logger.
    """

    def __init__(self, run: Path, known: set[int], uploads: Uploads | None = None, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.run, self.known, self.uploads = run, known, uploads or Uploads()
        self._recorded = recorded_names(run / "metrics.csv")
        self._begun = False

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Send a row, or what belongs to the row that was sent last.

        Raises:
            ValueError: ``step`` is None.
        """
        if step is None:
            raise ValueError("a row of W&B's history is identified by its step: log with a step")
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
