"""The ArcFace network of the public SimSwap code: an IR-SE ResNet for ImageNet-normalized 112-px crops, 512 values.

The number of blocks of each layer is read from the file.
"""

from pathlib import Path

from torch import Tensor, nn

from simswap.errors import InputError
from simswap.files import sha256_of
from simswap.models.pickled import read_pickled_module
from simswap.models.recognition import Recognizer
from simswap.models.state_dicts import count_blocks, fitted, network_in

INPUT_SIZE = 112
EMBEDDING_SIZE = 512
WIDTHS = (64, 128, 256, 512)


class SqueezeExcitation(nn.Module):
    """Multiplies each channel by a gate in 0..1, computed from the means of all channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // 16), nn.PReLU(), nn.Linear(channels // 16, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C, H, W]."""
        return x * self.fc(x.mean((2, 3)))[:, :, None, None]


class IRBlock(nn.Module):
    """BN, conv, BN, PReLU, conv (with the stride), BN, gate; the input is added, then the same PReLU follows."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, before, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(before)
        self.prelu = nn.PReLU()
        self.conv2 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.se = SqueezeExcitation(after)
        self.downsample = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        """[B, before, H, W] → [B, after, H / stride, W / stride]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.prelu(self.bn1(self.conv1(self.bn0(x))))
        return self.prelu(self.se(self.bn2(self.conv2(x))) + shortcut)


class ArcFace(nn.Module):
    """The network; ``blocks`` is the number of blocks of each of its four layers."""

    def __init__(self, blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.prelu = nn.PReLU()
        self.maxpool = nn.MaxPool2d(2)
        self.layer1 = _layer(WIDTHS[0], WIDTHS[0], 1, blocks[0])
        self.layer2 = _layer(WIDTHS[0], WIDTHS[1], 2, blocks[1])
        self.layer3 = _layer(WIDTHS[1], WIDTHS[2], 2, blocks[2])
        self.layer4 = _layer(WIDTHS[2], WIDTHS[3], 2, blocks[3])
        self.bn2 = nn.BatchNorm2d(WIDTHS[-1])
        self.fc = nn.Linear(WIDTHS[-1] * 7 * 7, EMBEDDING_SIZE)
        self.bn3 = nn.BatchNorm1d(EMBEDDING_SIZE)

    def forward(self, x: Tensor) -> Tensor:
        """ImageNet-normalized crops [B, 3, 112, 112] → [B, 512]."""
        x = self.maxpool(self.prelu(self.bn1(self.conv1(x))))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return self.bn3(self.fc(self.bn2(x).flatten(1)))


def _layer(before: int, after: int, stride: int, count: int) -> nn.Sequential:
    return nn.Sequential(IRBlock(before, after, stride), *(IRBlock(after, after, 1) for _ in range(count - 1)))


def arcface_recognizer(path: str) -> Recognizer:
    """The recognizer in a public ArcFace file.

    Args:
        path: A file with a pickled module, or its state dict.

    Returns:
        The recognizer, frozen.

    Raises:
        InputError: The file is missing, unsafe or of another form; the message names the keys that do not fit.
    """
    file = Path(path).expanduser()
    state = network_in(read_pickled_module(file), "layer1.0.conv1.weight", str(file))
    blocks = count_blocks(state, len(WIDTHS))
    if 0 in blocks:
        raise InputError(f"{file}: not an ArcFace network of the public form: layer1 to layer4 have {blocks} blocks")
    network = fitted(lambda: ArcFace(blocks), state, str(file))
    return Recognizer(network, f"ArcFace ({file.stem})", sha256_of(file), INPUT_SIZE, EMBEDDING_SIZE, "imagenet")
