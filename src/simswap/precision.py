"""Full precision for results that must not depend on the training's settings or on the device.

fp32 without reduced precision inside, and float64 also on devices without it.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

DEVICE_TYPES = ("cpu", "cuda", "mps", "xpu")
GPU, CPU = (torch.backends.cudnn, torch.backends.cuda), torch.backends.mkldnn


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
        stack.enter_context(_products("ieee"))
        yield


@contextmanager
def products_of_training(tf32: bool) -> Iterator[None]:
    """Compute fp32 products and convolutions on CUDA in TF32 (10 bits instead of 23), or in fp32; restored at the end.

    `full_precision` inside of it disables TF32 for its block. The CPU computes in fp32.
    """
    with _products("tf32" if tf32 else "ieee"):
        yield


@contextmanager
def _products(precision: str) -> Iterator[None]:
    """Set CUDA's switches to ``tf32`` or ``ieee``, and the CPU's to ``ieee``.

    Torch has two sets, and since 2.9 it refuses to read the older where the two disagree. Setting the older sets most
    of the newer as well, so both are set here, and agree.
    """
    gpu, cpu = _newer_switches(*GPU), _newer_switches(CPU)
    switches, wanted = [*gpu, *cpu], [precision] * len(gpu) + ["ieee"] * len(cpu)
    newer = [switch.fp32_precision for switch in switches]
    try:
        older = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    except RuntimeError:
        older = None
    try:
        if older is not None:
            _set_older(precision == "tf32", "high" if precision == "tf32" else "highest")
        _set_newer(switches, wanted)
        yield
    finally:
        if older is not None:
            _set_older(*older)
        _set_newer(switches, newer)


def _set_older(convolutions: bool, products: str) -> None:
    torch.backends.cudnn.allow_tf32 = convolutions
    torch.set_float32_matmul_precision(products)


def _set_newer(switches: Sequence[Any], values: Sequence[str]) -> None:
    for switch, value in zip(switches, values, strict=True):
        switch.fp32_precision = value


def _newer_switches(*owners: Any) -> list[Any]:
    """The switches of these backends' convolutions and products; none before torch 2.9."""
    found = [getattr(owner, name, None) for owner in owners for name in ("conv", "matmul")]
    return [switch for switch in found if hasattr(switch, "fp32_precision")]


def has_float64(device: torch.device) -> bool:
    """Whether this device computes in float64; Apple's GPUs do not, and refuse such tensors."""
    return device.type != "mps"


def has_bfloat16(device: torch.device) -> bool:
    """Whether this device computes in bf16 itself; NVIDIA's GPUs older than Ampere emulate it, slowly."""
    if device.type != "cuda":
        return True
    with torch.cuda.device(device):
        return torch.cuda.is_bf16_supported(including_emulation=False)


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
