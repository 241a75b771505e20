"""Steps that were skipped because a value was not finite: logged and listed; too many in a row end the run."""

import json
import logging
import math
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from simswap.errors import Diverged
from simswap.files import atomic_write
from simswap.tracking.logger import alert
from simswap.training.callbacks.saving import NEWEST, wait_for_checkpoints
from simswap.training.skips import Iteration
from simswap.training.stepping import SteppingModule

log = logging.getLogger(__name__)

DUMP = "diverged.json"


class SkippedSteps(L.Callback):
    """Ends a run in which more than ``max_in_a_row`` iterations in a row had a skipped step.

    The pairs of these iterations are then in ``<run>/diverged.json``, and the newest checkpoint precedes them. Must
    come before the callbacks that save checkpoints.

    Raises:
        Diverged: on all ranks.
    """

    def __init__(self, run: Path, max_in_a_row: int = 20) -> None:
        self.run, self.max_in_a_row = run, max_in_a_row
        self._streak: list[dict[str, Any]] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Report skipped steps, and end the run after too many in a row."""
        self._report(trainer, pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report those since the last logged iteration."""
        assert isinstance(pl_module, SteppingModule)
        pl_module.skips.read()
        self._report(trainer, pl_module)

    def _report(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, SteppingModule)
        for iteration in module.skips.news():
            if not iteration.steps:
                self._streak.clear()
                continue
            self._streak.append(self._record(trainer, module, iteration))
            if trainer.is_global_zero:
                log.warning(
                    "iteration %d: %s not finite, the step is left out (iteration %d in a row)",
                    iteration.number,
                    " and ".join(_words(step) for step in self._streak[-1]["steps"]),
                    iteration.in_a_row,
                )
            if iteration.in_a_row > self.max_in_a_row:
                self._end(trainer, iteration)

    def _record(self, trainer: L.Trainer, module: SteppingModule, iteration: Iteration) -> dict[str, Any]:
        """All that is known about an iteration, over all ranks."""

        def everywhere(values: Tensor) -> list:
            return module.all_gather(values.to(module.device)).flatten().tolist()  # type: ignore[union-attr]

        steps = [
            {
                "phase": skip.phase,
                "loss": [_plain(x) for x in everywhere(torch.tensor([skip.loss]))],  # one a rank
                "gradient_norm": _plain(skip.norm),
            }
            for skip in iteration.steps
        ]
        rows = {side: everywhere(iteration.batch[f"{side}_index"]) for side in ("target", "source")}
        record = {"iteration": iteration.number, "steps": steps}
        record |= {f"{side}_index": index for side, index in rows.items()}
        data = getattr(trainer, "datamodule", None)
        if data is not None:
            record |= {f"{side}_file": [str(data.manifest.path(row)) for row in rows[side]] for side in rows}
        return record

    def _end(self, trainer: L.Trainer, iteration: Iteration) -> None:
        phases = sorted({step["phase"] for record in self._streak for step in record["steps"]})
        wait_for_checkpoints(trainer)
        newest = self.run / "checkpoints" / NEWEST
        kept = f"the last good checkpoint is {newest}" if newest.is_file() else "no checkpoint was written before that"
        message = (
            f"training diverged at iteration {iteration.number}: {iteration.in_a_row} iterations in a row left a step "
            f"out ({' and '.join(phases)}), since a loss or gradient was not finite; {kept}, the pairs are in "
            f"{self.run / DUMP}; try optimizer.generator_clip=1 optimizer.discriminator_clip=1, lower learning rates "
            "or trainer.precision=32-true"
        )
        if trainer.is_global_zero:
            with atomic_write(self.run / DUMP) as part:
                content = {"message": message, "iterations": self._streak}
                part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            alert(trainer.loggers, "Training diverged", message)
        raise Diverged(message)


def _words(step: dict[str, Any]) -> str:
    what = "loss" if any(isinstance(x, str) for x in step["loss"]) else "gradient"
    return f"the {step['phase']} phase's {what}"


def _plain(x: float) -> float | str:
    """A number for JSON, which has no values that are not finite."""
    return x if math.isfinite(x) else str(x)
