"""Running statistics of batch norm: freezing them, and restoring them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed
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


@torch.no_grad()
def copy_of_buffers(network: nn.Module) -> list[Tensor]:
    """The current values of running statistics and counters, one flat tensor a dtype, for `restore_buffers`."""
    return [torch.cat([buffer.flatten() for buffer in buffers]) for buffers in _buffers_by_dtype(network)]


@torch.no_grad()
def restore_buffers(network: nn.Module, copies: list[Tensor], unless: Tensor | bool = False) -> None:
    """Undo what happened to running statistics and counters since `copy_of_buffers`.

    unless: do nothing where it is true; a scalar on the device causes no host wait.
    """
    if unless is True:
        return
    for buffers, copy in zip(_buffers_by_dtype(network), copies, strict=True):
        values = copy
        if isinstance(unless, Tensor):
            values = torch.where(unless, torch.cat([buffer.flatten() for buffer in buffers]), copy)
        write_flat(buffers, values)


def broadcast_buffers(network: nn.Module) -> None:
    """Overwrite the buffers with those of rank 0, in one operation a dtype. Called on all ranks."""
    for buffers, values in zip(_buffers_by_dtype(network), copy_of_buffers(network), strict=True):
        torch.distributed.broadcast(values, src=0)
        write_flat(buffers, values)


@torch.no_grad()
def write_flat(tensors: list[Tensor], flat: Tensor) -> None:
    """Overwrite tensors of one dtype with the parts of a flat one."""
    torch._foreach_copy_(tensors, parts_of(flat, tensors))


def parts_of(flat: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Views of a flat tensor that holds these tensors one after another, in their shapes."""
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def _buffers_by_dtype(network: nn.Module) -> list[list[Tensor]]:
    groups: dict[torch.dtype, list[Tensor]] = {}
    for buffer in network.buffers():
        groups.setdefault(buffer.dtype, []).append(buffer)
    return list(groups.values())
