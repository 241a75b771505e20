"""Hopenet (Ruiz, Chong and Rehg, CVPR workshops 2018): head pose as the mean of 66 bins per angle, on a ResNet-50.

SimSwap's re-implementations measure posture with it. The network is ours; the names of its weights are those of the
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
# Side of the square over the face box's longer side. Hopenet was trained on boxes around 68 landmarks widened by about
# 0.4 of their width on either side; about 1.2 times our box, which reaches from forehead to chin. An assumption.
MARGIN = 1.2
# (yaw, pitch, roll) of the network times these are ours. As its authors' drawing of the axes has it, yaw > 0 turns the
# nose to the image's left, pitch > 0 up, and roll > 0 is clockwise. Known from that, not measured with the weights.
SIGNS = (-1.0, 1.0, 1.0)
# Layers of each of the four stages of a ResNet-50 (He et al. 2016), and the channels inside of them.
STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
EXPANSION = 4
# A layer of the authors' training that no angle depends on.
UNUSED = "fc_finetune."


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride), 1x1 convolution, and a shortcut; [B, C, H, W] → [B, 4 * inner, H / s, W / s]."""

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
        h = self.bn1(self.conv1(x)).relu()
        h = self.bn2(self.conv2(h)).relu()
        return (self.bn3(self.conv3(h)) + self.downsample(x)).relu()


class HopenetNetwork(nn.Module):
    """ImageNet-normalized images [B, 3, 224, 224] → logits [B, 3, 66] of (yaw, pitch, roll)."""

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
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        for number in range(1, len(STAGES) + 1):
            x = getattr(self, f"layer{number}")(x)
        x = x.mean(dim=(2, 3))  # [B, 2048]
        return torch.stack([self.fc_yaw(x), self.fc_pitch(x), self.fc_roll(x)], dim=1)


class HopenetPose(PoseEstimator):
    """(yaw, pitch, roll) from Hopenet's weights, on a fixed square around the face (`faces.face_box`).

    Args:
        path: a file with the state dict, as published (``hopenet_robust_alpha1.pkl`` and its like).

    Raises InputError for a missing file, one that is no state dict, and missing, extra or misshapen weights.
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
        """As `PoseEstimator.forward`; never NaN: it always sees a face."""
        seen = pixels.to_range(self.boxes(images, template, view), "imagenet")
        return degrees(self.network(seen)) * seen.new_tensor(SIGNS)


def degrees(logits: Tensor) -> Tensor:
    """Expected angle [...] in Hopenet's own signs of logits [..., 66]: the mean of the bins' starts by softmax."""
    starts = FIRST_DEG + BIN_DEG * torch.arange(BINS, device=logits.device, dtype=logits.dtype)
    return (logits.softmax(dim=-1) * starts).sum(dim=-1)


def load_weights(network: nn.Module, file: Path) -> None:
    """Read a state dict strictly, as data; the counters of batch norm may be missing (older files have none)."""
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
        "has extra": [n for n in state if n not in own],
        "has of another shape": [
            f"{n} {list(state[n].shape)} instead of {list(own[n].shape)}"
            for n in own if n in state and state[n].shape != own[n].shape
        ],
    }  # fmt: skip
    told = [f"{what} {_some(names)}" for what, names in faults.items() if names]
    if told:
        raise InputError(f"{file}: is not Hopenet's ResNet-50: {'; '.join(told)}; give its weights")
    network.load_state_dict(own | state)


def _some(names: list[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
