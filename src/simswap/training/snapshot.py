"""The state of a training at one moment, copied to host memory, while the training goes on changing its tensors."""

import copy
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

ALIGNMENT = 64  # bytes; of every copy's first value


class Snapshots:
    """Copies the content of a checkpoint to host memory, which the next copy uses again.

    The memory is pinned if a tensor comes from a CUDA device. Such copies are made by the device in the order of its
    work, so they hold the values of this moment although nobody waits for them here; `wait` does.
    """

    def __init__(self) -> None:
        self._layout: list[tuple[Any, ...]] = []
        self._copies: list[Tensor] = []
        self._copied: torch.cuda.Event | None = None

    def take(self, content: dict[str, Any]) -> dict[str, Any]:
        """A deep copy with all tensors on the CPU; valid after `wait` and until the next call.

        Args:
            content: Containers, tensors and plain values. Tensors inside of other objects are copied where they are.
        """
        tensors = list({id(tensor): tensor for tensor in _tensors(content)}.values())
        copies = self._memory_for(tensors)
        for tensor, host in zip(tensors, copies, strict=True):
            host.copy_(tensor, non_blocking=_is_on_cuda(tensor))
        self._copied = None
        if any(map(_is_on_cuda, tensors)):
            self._copied = torch.cuda.Event()
            self._copied.record()
        return copy.deepcopy(content, {id(tensor): host for tensor, host in zip(tensors, copies, strict=True)})

    def wait(self) -> None:
        """Wait until the device has made the copies; any thread may call this."""
        if self._copied is not None:
            self._copied.synchronize()

    def _memory_for(self, tensors: list[Tensor]) -> list[Tensor]:
        """Uninitialized tensors of the same shapes, strides and dtypes: those of the last call if they fit."""
        pinned = any(map(_is_on_cuda, tensors))
        layout = [(pinned, tensor.shape, _strides(tensor), tensor.dtype) for tensor in tensors]
        if layout != self._layout:
            self._copies = []  # free the earlier memory before more is taken
            self._copies, self._layout = _allocate(tensors, pinned), layout
        return self._copies


def _allocate(tensors: list[Tensor], pinned: bool) -> list[Tensor]:
    """Tensors in one piece of memory, because pinning each by itself is slow and rounds its size up.

    Each has a storage of its own, so that torch.save writes it by itself.
    """
    sizes = [tensor.numel() * tensor.element_size() for tensor in tensors]
    steps = [math.ceil(size / ALIGNMENT) * ALIGNMENT for size in sizes]
    memory = torch.empty(sum(steps) + ALIGNMENT, dtype=torch.uint8, pin_memory=pinned)
    start, made = -memory.data_ptr() % ALIGNMENT, []
    view = memory.numpy()
    for tensor, step in zip(tensors, steps, strict=True):
        if tensor.numel():
            flat = torch.frombuffer(view, dtype=tensor.dtype, count=tensor.numel(), offset=start)
            made.append(flat.as_strided(tensor.shape, _strides(tensor)))
        else:
            made.append(torch.empty(tensor.shape, dtype=tensor.dtype))
        start += step
    return made


def _strides(tensor: Tensor) -> tuple[int, ...]:
    """The strides of a dense copy, which keeps the memory format."""
    return torch.empty_like(tensor, device="meta").stride()


def _is_on_cuda(tensor: Tensor) -> bool:
    return tensor.is_cuda and torch.cuda.is_available()


def _tensors(node: Any) -> Iterator[Tensor]:
    """The plain dense tensors of nested containers."""
    if type(node) is Tensor:
        if node.layout == torch.strided and not node.is_quantized:
            yield node
    elif isinstance(node, dict):
        for value in node.values():
            yield from _tensors(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _tensors(value)
