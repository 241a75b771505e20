"""Training batches on their way to a GPU: copied while the iteration before them computes."""

import torch
from torch import Tensor


class Transfer:
    """Copies batches to one GPU on a stream of its own.

    The copy of a batch begins when the loader hands it over. Lightning takes one batch ahead of the iteration, so the
    copy runs beside the kernels of the iteration before.

    Args:
        device: The GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device)

    def begin(self, batch: dict[str, Tensor]) -> "Copied":
        """Begin the copy of a batch in pinned memory; the host does not wait for it."""
        with torch.cuda.stream(self.stream):
            copies = {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
            return Copied(copies, self.stream.record_event(), self.device)


class Copied:
    """A batch whose copy has begun.

    Not a mapping, so that nothing reads it before `take`.
    """

    def __init__(self, batch: dict[str, Tensor], event: torch.cuda.Event, device: torch.device) -> None:
        self._batch, self._event, self._device = batch, event, device

    def take(self) -> dict[str, Tensor]:
        """The batch on the device, for the current stream, which waits for the copy; the host does not."""
        current = torch.cuda.current_stream(self._device)
        current.wait_event(self._event)
        for value in self._batch.values():
            value.record_stream(current)  # its memory is not used again before this stream has read it
        return self._batch


def transfer_to(device: torch.device) -> Transfer | None:
    """The transfer to a GPU; None for other devices, to which Lightning moves batches."""
    return Transfer(device) if device.type == "cuda" and torch.cuda.is_available() else None
