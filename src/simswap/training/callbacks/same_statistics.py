"""Running statistics over ranks: all take those of rank 0, as DDP has it."""

from collections import defaultdict
from typing import Any

import lightning as L
import torch
import torch.distributed
from torch import Tensor, nn


class SameStatistics(L.Callback):
    """Hands rank 0's buffers (batch norm's running statistics, the average's too) to all ranks, before each iteration
    and each validation. With one rank it does nothing.

    DDP would do so itself, but not with manual optimization: Lightning switches off in its forward pass what DDP
    decides by. Without it every rank penalizes and validates by statistics of its own, of which a checkpoint holds
    rank 0's alone.
    """

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if trainer.world_size > 1:
            broadcast_buffers(pl_module)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.world_size > 1:
            broadcast_buffers(pl_module)


@torch.no_grad()
def broadcast_buffers(module: nn.Module) -> None:
    """Overwrite the buffers with those of rank 0, in one go for each dtype. Called on all ranks."""
    by_type: dict[torch.dtype, list[Tensor]] = defaultdict(list)
    for buffer in module.buffers():
        by_type[buffer.dtype].append(buffer)
    for buffers in by_type.values():
        together = torch.cat([buffer.flatten() for buffer in buffers])
        torch.distributed.broadcast(together, src=0)
        for buffer, values in zip(buffers, together.split([buffer.numel() for buffer in buffers]), strict=True):
            buffer.copy_(values.view_as(buffer))
