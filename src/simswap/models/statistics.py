"""Running statistics of batch norm: holding them still, and putting them back."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """Every batch norm of a network, synchronized ones too."""
    return [m for m in network.modules() if isinstance(m, _BatchNorm)]


@contextmanager
def frozen_batch_norm_statistics(network: nn.Module) -> Iterator[None]:
    """A forward pass in here normalizes by its batch as ever, and leaves the running statistics alone."""
    norms = batch_norms(network)
    for m in norms:
        m.track_running_stats = False
    try:
        yield
    finally:
        for m in norms:
            m.track_running_stats = True


@contextmanager
def statistics_kept_in_recomputation(network: nn.Module) -> Iterator[None]:
    """For the second forward pass of gradient checkpointing: it may not count a batch twice.

    The pass must save as many tensors for the backward pass as the first one did, running statistics among them, so
    `frozen_batch_norm_statistics` will not do: here they move by a momentum of 0, which leaves finite values as they
    are.
    """
    norms = [(m, m.momentum, m.num_batches_tracked) for m in batch_norms(network)]
    for m, _, _ in norms:
        m.momentum, m.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for m, momentum, count in norms:
            m.momentum, m.num_batches_tracked = momentum, count


def copy_of_buffers(network: nn.Module) -> list[Tensor]:
    """The values of running statistics and counters now, for `restore_buffers`."""
    return [buffer.clone() for buffer in network.buffers()]


@torch.no_grad()
def restore_buffers(network: nn.Module, buffers: list[Tensor]) -> None:
    """Undo what forward passes did to running statistics and counters since `copy_of_buffers`."""
    for now, before in zip(network.buffers(), buffers, strict=True):
        now.copy_(before)
