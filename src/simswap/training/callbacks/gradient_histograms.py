"""Histograms of the gradients in W&B, by block of each network."""

from collections.abc import Iterator
from typing import Any

import lightning as L
import torch
from torch import nn
from torch.optim import Optimizer

from simswap.tracking.logger import log_histograms
from simswap.tracking.wandb_logger import HistoryLogger

BINS = 64
KEY = "gradients/"


class GradientHistograms(L.Callback):
    """Logs ``gradients/<network>.<block>`` every ``logger.watch`` iterations, before clipping.

    With several ranks the gradients are already reduced, and the first rank logs them. A gradient that is not finite is
    left out; the step is skipped then anyway.
    """

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer) -> None:
        """Log the gradients of the optimizer's network if it is due."""
        iteration = trainer.global_step
        due = [
            logger
            for logger in trainer.loggers
            if isinstance(logger, HistoryLogger)
            and logger.uploads.watch
            and (iteration + 1) % logger.uploads.watch == 0
        ]
        if not due:
            return
        own = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        found: dict[str, tuple[Any, Any]] = {}
        for name in ("generator", "discriminators"):
            for block, gradients in blocks(getattr(pl_module, name)):
                if id(gradients[0]) in own:
                    histogram = histogram_of([one.grad for one in gradients if one.grad is not None])
                    found |= {} if histogram is None else {f"{KEY}{name}.{block}": histogram}
        for logger in due:
            log_histograms(logger, found, iteration)


def blocks(network: nn.Module) -> Iterator[tuple[str, list[nn.Parameter]]]:
    """The parameters of each block: a child, or for lists of blocks each of their members (of lists in them, too)."""
    for name, child in network.named_children():
        parameters = [one for one in child.parameters() if one.requires_grad]
        if isinstance(child, nn.ModuleList) or any(isinstance(one, nn.ModuleList) for one in child.children()):
            yield from ((f"{name}.{inner}", found) for inner, found in blocks(child))
        elif parameters:
            yield name, parameters


def histogram_of(gradients: list[torch.Tensor]) -> tuple[Any, Any] | None:
    """Counts [64] and edges [65] of all values, from minus to plus the largest magnitude; None if not finite."""
    if not gradients:
        return None
    values = torch.cat([one.detach().float().flatten() for one in gradients])
    largest = float(values.abs().max())
    if not largest < float("inf"):  # NaN too
        return None
    largest = largest or 1.0
    counts = torch.histc(values, BINS, -largest, largest).cpu().numpy()
    return counts, torch.linspace(-largest, largest, BINS + 1).numpy()
