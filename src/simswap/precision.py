"""Full precision for results that must not depend on the training's settings or on the device.

fp32 without reduced precision inside, and float64 also on devices without it.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

DEVICE_TYPES = ("cpu", "cuda", "mps", "xpu")


@contextmanager
def full_precision() -> Iterator[None]:
    """Disable autocast on every device, and TF32 and bf16 in fp32 products and convolutions; restored at the end.

    It covers the instruments, the swaps that they measure, the identity table, and the gradient penalty with its
    backward pass. cuDNN's TF32 is on by default, and changes a cosine in its third decimal. bf16 tensors from
    outside stay so: convert them with ``.float()``.
    """
    with ExitStack() as stack:
        for kind in DEVICE_TYPES:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(_ieee_products())
        yield


@contextmanager
def _ieee_products() -> Iterator[None]:
    """The switches: torch has two sets, and the newer (2.9) refuses to read the older after it was used."""
    backends = _newer_switches()
    newer = [backend.fp32_precision for backend in backends]
    try:
        older = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    except RuntimeError:
        older = None
    try:
        if older is not None:
            _set_older(False, "highest")
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        if older is not None:
            _set_older(*older)
        for backend, before in zip(backends, newer, strict=True):
            backend.fp32_precision = before


def _set_older(convolutions: bool, products: str) -> None:
    torch.backends.cudnn.allow_tf32 = convolutions
    torch.set_float32_matmul_precision(products)


def _newer_switches() -> list[Any]:
    """Of convolutions and products, on CUDA and on the CPU (oneDNN); none before torch 2.9."""
    owners = (torch.backends.cudnn, torch.backends.mkldnn, torch.backends.cuda)
    found = [getattr(owner, name, None) for owner in owners for name in ("conv", "matmul")]
    return [switch for switch in found if hasattr(switch, "fp32_precision")]


def has_float64(device: torch.device) -> bool:
    """Whether this device computes in float64; Apple's GPUs do not, and refuse such tensors."""
    return device.type != "mps"


def figures_device(device: torch.device) -> torch.device:
    """The device for figures: ``device``, or the CPU if it has no float64."""
    return device if has_float64(device) else torch.device("cpu")


def to_float64(tensor: Tensor) -> Tensor:
    """The same numbers in float64, on the `figures_device` of their device."""
    return tensor.to(figures_device(tensor.device)).double()


def from_array(array: npt.NDArray, device: torch.device) -> Tensor:
    """An array on a device, unchanged; float64 becomes float32 if the device has none."""
    if array.dtype == np.float64 and not has_float64(device):
        array = array.astype(np.float32)
    return torch.from_numpy(array).to(device)
