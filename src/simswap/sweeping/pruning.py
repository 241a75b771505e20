"""Pruning: stopping a trial early that does worse than the earlier ones of its study."""

import logging
from pathlib import Path

import lightning as L
from omegaconf import DictConfig

log = logging.getLogger(__name__)


class PruneByStudy(L.Callback):
    """Reports a figure to the study at each validation, and stops all ranks if the study's pruner decides so.

    Args:
        folder: The sweep's folder.
        trial: The trial's number in the study.
        sweep: The configuration's node ``sweep``.
        metric: The figure's name in the log of validation.
    """

    def __init__(self, folder: Path, trial: int, sweep: DictConfig, metric: str) -> None:
        self.folder, self.trial, self.sweep, self.metric = folder, trial, sweep, metric

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report the figure and prune."""
        hopeless = False
        if trainer.is_global_zero and self.metric in trainer.callback_metrics:
            hopeless = self._report(float(trainer.callback_metrics[self.metric]), trainer.global_step)
        if trainer.strategy.broadcast(hopeless):  # every rank stops at the same iteration
            trainer.should_stop = True
            log.info("pruned at iteration %d: worse than the median of the study's other trials", trainer.global_step)

    def _report(self, value: float, iteration: int) -> bool:
        import optuna

        from simswap.sweeping.study import STUDY, storage

        pruner = optuna.pruners.MedianPruner(self.sweep.pruning_startup, self.sweep.pruning_warmup)
        study = optuna.load_study(study_name=STUDY, storage=storage(self.folder), pruner=pruner)
        trial = optuna.trial.Trial(study, study.trials[self.trial]._trial_id)
        trial.report(value, iteration)
        hopeless = trial.should_prune()
        if hopeless:
            trial.set_user_attr("pruned_at", iteration)
        return hopeless


def pruning_of(run: Path, sweep: DictConfig | None, metrics: list[str]) -> list[L.Callback]:
    """The callback for a trial of a pruned study; an empty list for any other run."""
    if sweep is None or sweep.trial is None or sweep.pruning == "none":
        return []
    return [PruneByStudy(run.parent, sweep.trial, sweep, metrics[0])]
