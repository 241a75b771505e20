"""The ``iresnet`` recognizers of insightface's arcface_torch: state dicts of networks with 18 to 200 layers.

They take `arcface` crops of 112 px, RGB in the symmetric range, and return 512 values. `recognition.onnx_recognizer`
reads the same networks from ONNX files.
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
DEPTHS = {
    (2, 2, 2, 2): 18, (3, 4, 6, 3): 34, (3, 4, 14, 3): 50, (3, 13, 30, 3): 100, (6, 26, 60, 6): 200,
}  # fmt: skip


class Block(nn.Module):
    """BN, conv, BN, PReLU, conv (with the stride), BN; the input is added, and nothing follows the sum."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.prelu = nn.PReLU(after)
        self.conv2 = nn.Conv2d(after, after, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(after)
        self.downsample = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        """[B, before, H, W] → [B, after, H / stride, W / stride]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        return self.bn3(self.conv2(x)) + shortcut


class IResNet(nn.Module):
    """The network; ``blocks`` is the number of blocks of each of its four layers, a key of `DEPTHS`."""

    def __init__(self, blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.prelu = nn.PReLU(WIDTHS[0])
        self.layer1 = _layer(WIDTHS[0], WIDTHS[0], blocks[0])
        self.layer2 = _layer(WIDTHS[0], WIDTHS[1], blocks[1])
        self.layer3 = _layer(WIDTHS[1], WIDTHS[2], blocks[2])
        self.layer4 = _layer(WIDTHS[2], WIDTHS[3], blocks[3])
        self.bn2 = nn.BatchNorm2d(WIDTHS[3])
        self.fc = nn.Linear(WIDTHS[3] * 7 * 7, EMBEDDING_SIZE)
        self.features = nn.BatchNorm1d(EMBEDDING_SIZE)

    def forward(self, x: Tensor) -> Tensor:
        """Crops [B, 3, 112, 112] in the symmetric range → [B, 512]."""
        x = self.prelu(self.bn1(self.conv1(x)))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return self.features(self.fc(self.bn2(x).flatten(1)))


def _layer(before: int, after: int, count: int) -> nn.Sequential:
    return nn.Sequential(Block(before, after, 2), *(Block(after, after, 1) for _ in range(count - 1)))


def iresnet_recognizer(path: str) -> Recognizer:
    """The recognizer in an arcface_torch file (``backbone.pt``); the number of layers is read from the file.

    Args:
        path: The file with the state dict.

    Returns:
        The recognizer, frozen.

    Raises:
        InputError: The file is missing, unsafe or of another form; the message names the keys that do not fit.
    """
    file = Path(path).expanduser()
    state = network_in(read_pickled_module(file), "layer1.0.conv1.weight", str(file))
    blocks = count_blocks(state, len(WIDTHS))
    if blocks not in DEPTHS:
        depths = ", ".join(f"iresnet{depth}" for depth in DEPTHS.values())
        raise InputError(f"{file}: layer1 to layer4 have {blocks} blocks, which is none of {depths}")
    network = fitted(lambda: IResNet(blocks), state, str(file))
    name = f"iresnet{DEPTHS[blocks]} ({file.stem})"
    return Recognizer(network, name, sha256_of(file), INPUT_SIZE, EMBEDDING_SIZE, "symmetric")
