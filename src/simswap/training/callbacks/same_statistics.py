"""Running statistics across ranks: all take those of rank 0, as with DDP."""

from collections import defaultdict
from typing import Any

import lightning as L
import torch
import torch.distributed
from torch import Tensor, nn


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


@torch.no_grad()
def broadcast_buffers(module: nn.Module) -> None:
    """Overwrite the buffers with those of rank 0, in one operation per dtype. Called on all ranks."""
    by_type: dict[torch.dtype, list[Tensor]] = defaultdict(list)
    for buffer in module.buffers():
        by_type[buffer.dtype].append(buffer)
    for buffers in by_type.values():
        together = torch.cat([buffer.flatten() for buffer in buffers])
        torch.distributed.broadcast(together, src=0)
        for buffer, values in zip(buffers, together.split([buffer.numel() for buffer in buffers]), strict=True):
            buffer.copy_(values.view_as(buffer))
