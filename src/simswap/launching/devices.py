"""The device that a process works on."""

import torch

from simswap.errors import InputError
from simswap.launching import ranks


def choose_device(name: str) -> torch.device:
    """Choose a device by name; ``auto`` is a GPU if there is one, else the CPU.

    Several processes on one machine take one GPU each, by their local rank; a process that sees one GPU takes that.

    Raises:
        InputError: There is no such device.
    """
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    except RuntimeError as error:
        raise InputError(f"device={name}: choose auto, cpu, cuda, cuda:<number> or mps") from error
    count = torch.cuda.device_count() if device.type == "cuda" else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        raise InputError(f"device={name}: this process sees {count} GPU(s); choose another, or device=cpu")
    started = ranks.from_environment()
    if device.type == "cuda" and device.index is None and started is not None:
        return torch.device("cuda", started.local_rank % count)
    return device
