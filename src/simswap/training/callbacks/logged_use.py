"""What a run uses, recorded in W&B: its data, its frozen networks, and the checkpoint that it started from."""

import lightning as L

from simswap.data.datamodule import SwapDataModule
from simswap.tracking.logger import log_use
from simswap.tracking.wandb_artifacts import DataFacts
from simswap.training.callbacks.run_fingerprint import RunFingerprint


class LoggedUse(L.Callback):
    """Records names and hashes of `RunFingerprint` when training starts."""

    def __init__(self, data: SwapDataModule) -> None:
        self.data = data

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Record them, by the run's W&B logger if it has one."""
        (fingerprint,) = [one for one in trainer.callbacks if isinstance(one, RunFingerprint)]  # type: ignore[attr-defined]
        manifest, hashes = self.data.manifest, fingerprint.hashes
        data = DataFacts(
            hashes["data"], len(manifest), len(manifest.person_names), manifest.template, manifest.crop_size
        )
        networks = {
            group: {"name": fingerprint.words[group], "sha256": value}
            for group, value in hashes.items()
            if group != "data" and value != "none"
        }
        if "started_from" in pl_module.description:  # type: ignore[operator]
            networks["start_from"] = dict(pl_module.description["started_from"])  # type: ignore[index, arg-type]
        log_use(trainer.loggers, data, networks)
