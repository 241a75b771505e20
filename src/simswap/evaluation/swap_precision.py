"""The precision of the swaps that an evaluation makes; what measures them computes in fp32 always."""

import torch

from simswap.errors import InputError
from simswap.measuring.instruments import PRECISION
from simswap.precision import has_bfloat16

DTYPES = {"32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""``precision=`` → the dtype of the generator's products; None: fp32, as in training's own validation."""


def swap_dtype(precision: str | int, device: torch.device) -> torch.dtype | None:
    """The dtype in which the generator swaps on this device.

    Raises:
        InputError: There is no such precision, or the device does not compute in it.
    """
    name = str(precision)
    if name not in DTYPES:
        raise InputError(f"precision={precision}: it takes 32, bf16 or fp16")
    if name == "fp16" and device.type == "cpu":
        raise InputError("precision=fp16 needs a GPU; on a CPU take precision=32 or bf16")
    if name == "bf16" and not has_bfloat16(device):
        raise InputError(
            f"precision=bf16: {torch.cuda.get_device_name(device)} has no bfloat16; take precision=fp16 or 32"
        )
    return DTYPES[name]


def described_precision(dtype: torch.dtype | None) -> str:
    """The precision in evaluation.json, by which comparisons tell evaluations apart."""
    names = {of: name for name, of in DTYPES.items()}
    return PRECISION if dtype is None else f"{PRECISION}, swaps in {names[dtype]}"
