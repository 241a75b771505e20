"""Transfers between host and device for which nobody waits."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from simswap.measuring.predictions import Predictions

Arrays = dict[str, np.ndarray]


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on a device; through pinned memory and without a wait if that is CUDA's."""
    if device.type == "cuda" and torch.cuda.is_available():
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def to_host(chunks: Iterable[Predictions]) -> Iterator[Arrays]:
    """The predictions of each chunk as arrays, in order.

    A CUDA device computes the next chunk while the last one's values travel, so each comes one chunk late.
    """
    late: tuple[Predictions, torch.cuda.Event] | None = None
    for predictions in chunks:
        if not any(values.is_cuda for values in predictions.values()) or not torch.cuda.is_available():
            yield {name: values.cpu().numpy() for name, values in predictions.items()}
            continue
        coming = {name: _start(values) for name, values in predictions.items()}
        event = torch.cuda.Event()
        event.record()
        if late is not None:
            yield _arrived(*late)
        late = coming, event
    if late is not None:
        yield _arrived(*late)


def _start(values: Tensor) -> Tensor:
    pinned = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    return pinned.copy_(values, non_blocking=True)


def _arrived(coming: Predictions, event: torch.cuda.Event) -> Arrays:
    event.synchronize()
    return {name: values.numpy() for name, values in coming.items()}
