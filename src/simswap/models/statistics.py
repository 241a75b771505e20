"""Running statistics of batch norm: freezing them, and restoring them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """Every batch norm of a network, synchronized ones included."""
    return [m for m in network.modules() if isinstance(m, _BatchNorm)]


@contextmanager
def frozen_batch_norm_statistics(network: nn.Module) -> Iterator[None]:
    """A forward pass in this block normalizes by its batch as usual, but does not update the running statistics."""
    norms = batch_norms(network)
    for m in norms:
        m.track_running_stats = False
    try:
        yield
    finally:
        for m in norms:
            m.track_running_stats = True


@contextmanager
def unmoved_batch_norm_statistics(network: nn.Module) -> Iterator[None]:
    """As `frozen_batch_norm_statistics`, for forward passes of gradient checkpointing.

    The pass that recomputes a part must save as many tensors for the backward pass as the first one did, running
    statistics among them. So the statistics are updated here, by a momentum of 0, which leaves finite values as they
    are, and a copy of the counter counts.
    """
    norms = [(m, m.momentum, m.num_batches_tracked) for m in batch_norms(network)]
    for m, _, count in norms:
        m.momentum, m.num_batches_tracked = 0.0, None if count is None else count.clone()
    try:
        yield
    finally:
        for m, momentum, count in norms:
            m.momentum, m.num_batches_tracked = momentum, count


@contextmanager
def eval_mode_batch_norm(network: nn.Module) -> Iterator[None]:
    """Batch norm in eval mode: a per-sample gradient penalty is not defined while samples influence each other."""
    norms = [m for m in batch_norms(network) if m.training]
    for m in norms:
        m.eval()
    try:
        yield
    finally:
        for m in norms:
            m.train()


def copy_of_buffers(network: nn.Module) -> list[Tensor]:
    """The current values of running statistics and counters, for `restore_buffers`."""
    return [buffer.clone() for buffer in network.buffers()]


@torch.no_grad()
def restore_buffers(network: nn.Module, buffers: list[Tensor]) -> None:
    """Undo what forward passes did to running statistics and counters since `copy_of_buffers`."""
    for now, before in zip(network.buffers(), buffers, strict=True):
        now.copy_(before)
