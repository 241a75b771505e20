"""Hopenet (Ruiz, Chong and Rehg, CVPR workshops 2018): head pose as the mean of 66 bins per angle, on a ResNet-50.

Reimplementations of SimSwap measure pose with it. The network is our own code; its weights have the names of the
published files.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from simswap import pixels
from simswap.errors import InputError
from simswap.faces.face_box import FaceBoxes
from simswap.files import NOT_A_PICKLE, sha256_of
from simswap.models.pose import PoseEstimator
from simswap.models.state_dicts import without_prefix
from simswap.models.torch_files import load_data
from simswap.stand_ins import refuse_stand_in

SIZE = 224
BINS, BIN_DEG, FIRST_DEG = 66, 3.0, -99.0
# Side of the square, in units of the face box's longer side. Hopenet was trained on boxes around 68 landmarks, widened
# by about 0.4 of their width on either side. This is about 1.2 times our box from forehead to chin: an assumption.
MARGIN = 1.2
# Factors from the network's (yaw, pitch, roll) to ours. In its authors' drawing of the axes, yaw > 0 turns the nose to
# the image's left, pitch > 0 up, and roll > 0 is clockwise. This comes from the drawing; the weights were not tested.
SIGNS = (-1.0, 1.0, 1.0)
# (inner channels, blocks) of the four stages of a ResNet-50 (He et al., 2016).
STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
EXPANSION = 4
# A layer from the authors' training that does not affect the angles.
UNUSED = "fc_finetune."


class Bottleneck(nn.Module):
    """A bottleneck block: 1x1, 3x3 (with the stride) and 1x1 convolutions, and a shortcut."""

    def __init__(self, channels: int, inner: int, stride: int) -> None:
        super().__init__()
        outer = inner * EXPANSION
        self.conv1, self.bn1 = nn.Conv2d(channels, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, outer, 1, bias=False), nn.BatchNorm2d(outer)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or channels != outer:
            self.downsample = nn.Sequential(nn.Conv2d(channels, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H, W] → [B, 4 * inner, H / stride, W / stride]."""
        h = self.bn1(self.conv1(x)).relu()
        h = self.bn2(self.conv2(h)).relu()
        return (self.bn3(self.conv3(h)) + self.downsample(x)).relu()


class HopenetNetwork(nn.Module):
    """A ResNet-50 with three heads of 66 bins each."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = 64
        for number, (inner, layers) in enumerate(STAGES, start=1):
            blocks = []
            for block in range(layers):
                stride = 2 if number > 1 and block == 0 else 1
                blocks.append(Bottleneck(channels, inner, stride))
                channels = inner * EXPANSION
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
        self.fc_yaw, self.fc_pitch, self.fc_roll = (nn.Linear(channels, BINS) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """ImageNet-normalized images [B, 3, 224, 224] → logits [B, 3, 66] of (yaw, pitch, roll)."""
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        for number in range(1, len(STAGES) + 1):
            x = getattr(self, f"layer{number}")(x)
        x = x.mean(dim=(2, 3))  # [B, 2048]
        return torch.stack([self.fc_yaw(x), self.fc_pitch(x), self.fc_roll(x)], dim=1)


class HopenetPose(PoseEstimator):
    """Head pose by Hopenet, on a fixed square around the face (`faces.face_box`).

    Args:
        path: A file with the published state dict, such as ``hopenet_robust_alpha1.pkl``.

    Raises:
        InputError: The file is missing or holds no state dict, or weights are missing, extra or of another shape.
    """

    def __init__(self, path: str) -> None:
        file = Path(path).expanduser()
        network = HopenetNetwork()
        load_weights(network, file)
        super().__init__(
            f"Hopenet ({file.stem})", sha256_of(file), None, kind="hopenet", margin=MARGIN, signs=list(SIGNS)
        )
        self.network = network
        self.boxes = FaceBoxes(SIZE, MARGIN)
        self.freeze()

    def forward(self, images: Tensor, template: str, view: Tensor) -> Tensor:
        """As `PoseEstimator.forward`; never NaN, because the network needs no detected face."""
        seen = pixels.to_range(self.boxes(images, template, view), "imagenet")
        return degrees(self.network(seen)) * seen.new_tensor(SIGNS)


def degrees(logits: Tensor) -> Tensor:
    """Logits [..., 66] → expected angles [...] in degrees, Hopenet's signs: the softmax mean of the bins' starts."""
    starts = FIRST_DEG + BIN_DEG * torch.arange(BINS, device=logits.device, dtype=logits.dtype)
    return (logits.softmax(dim=-1) * starts).sum(dim=-1)


def load_weights(network: nn.Module, file: Path) -> None:
    """Load a state dict strictly and as data; only batch norm's counters may be missing, as in older files.

    Args:
        network: Where the weights go.
        file: The file with the state dict.

    Raises:
        InputError: As `HopenetPose`.
    """
    refuse_stand_in(file, "Hopenet's weights", "torch")
    try:
        state = load_data(file)
    except FileNotFoundError as error:
        raise InputError(f"{file}: no such file; give Hopenet's weights, such as hopenet_robust_alpha1.pkl") from error
    except (OSError, *NOT_A_PICKLE) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"{file}: cannot be read as weights ({reason}); give Hopenet's state dict") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{file}: holds no state dict (names and tensors); give Hopenet's weights")
    named = without_prefix({str(name): value for name, value in state.items()})
    state = {name: value for name, value in named.items() if not name.startswith(UNUSED)}
    own = network.state_dict()
    faults = {
        "lacks": [n for n in own if n not in state and not n.endswith("num_batches_tracked")],
        "has unknown": [n for n in state if n not in own],
        "has other shapes:": [
            f"{n} {list(state[n].shape)} instead of {list(own[n].shape)}"
            for n in own if n in state and state[n].shape != own[n].shape
        ],
    }  # fmt: skip
    told = [f"{what} {_some(names)}" for what, names in faults.items() if names]
    if told:
        raise InputError(f"{file}: not Hopenet's ResNet-50: it {'; it '.join(told)}; give Hopenet's weights")
    network.load_state_dict(own | state)


def _some(names: list[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
