"""Running statistics across ranks: all take those of rank 0, as with DDP."""

from typing import Any

import lightning as L

from simswap.models.statistics import broadcast_buffers


class SameStatistics(L.Callback):
    """Sends rank 0's buffers (running statistics, also the EMA's) to all ranks, before each iteration and validation.

    DDP would do so itself, but not with manual optimization: Lightning switches off the forward pass that triggers it.
    Otherwise every rank would penalize and validate with its own statistics, of which a checkpoint has only rank 0's.
    With one rank it does nothing.
    """

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Send the buffers."""
        if trainer.world_size > 1:
            broadcast_buffers(pl_module)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Send the buffers."""
        if trainer.world_size > 1:
            broadcast_buffers(pl_module)
