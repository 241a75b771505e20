"""Pixel ranges, only here: conversions from uint8 and from the unit range, and back.

Between modules, images are float [B, 3, H, W] RGB in the *unit* range [0, 1]. A network with another range converts
internally. The generator's range is stored in its checkpoint, by the names below.
"""

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from simswap.errors import InputError


@dataclass(frozen=True)
class PixelRange:
    """``value = (unit - mean) / std`` per RGB channel; ``tanh``: whether a generator ends in Tanh for this range."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    tanh: bool


RANGES = {
    # [0, 1]: the generator ends in (tanh + 1) / 2, as the public weights of 2021 do
    "unit": PixelRange((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), tanh=True),
    # [-1, 1]: for 8-bit values this is exactly (x - 127.5) / 127.5, insightface's input
    "symmetric": PixelRange((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), tanh=True),
    # ImageNet's channel statistics, linear output, as the public weights of 2022
    "imagenet": PixelRange((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), tanh=False),
}


def get_range(name: str) -> PixelRange:
    """The range of that name.

    Raises:
        InputError: there is none.
    """
    if name not in RANGES:
        raise InputError(f"pixel range {name!r} is not known; choose one of {', '.join(RANGES)}")
    return RANGES[name]


def from_uint8(images: Tensor, name: str, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 [B, 3, H, W] → float in the named range."""
    return to_range(images.to(dtype) / 255, name)


def to_range(unit: Tensor, name: str) -> Tensor:
    """Unit range [B, 3, H, W] → the named range."""
    if name == "unit":
        return unit
    mean, std = _constants(name, unit)
    return (unit - mean) / std


def to_unit(images: Tensor, name: str) -> Tensor:
    """The named range [B, 3, H, W] → unit range, not clamped (gradient passes)."""
    if name == "unit":
        return images
    mean, std = _constants(name, images)
    return images * std + mean


def to_uint8(unit: Tensor) -> Tensor:
    """Unit range [..., H, W] → uint8, rounded, clamped to [0, 255]; NaN is black."""
    return (unit.detach().float() * 255).nan_to_num(0.0).round().clamp(0, 255).to(torch.uint8)


def _constants(name: str, like: Tensor) -> tuple[Any, Any]:
    """Mean and std of a range: numbers if the channels share them, else [1, 3, 1, 1] in the images' dtype and place."""
    known = get_range(name)
    if len({*known.mean}) == len({*known.std}) == 1:
        return known.mean[0], known.std[0]
    return _columns(known, like.dtype, like.device)


@functools.cache
def _columns(known: PixelRange, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Kept, since a GPU would have to wait for each copy. Without inference mode, so that training can use them too."""
    with torch.inference_mode(False):
        mean, std = (torch.tensor(values, dtype=dtype, device=device) for values in (known.mean, known.std))
        return mean.view(1, 3, 1, 1), std.view(1, 3, 1, 1)
