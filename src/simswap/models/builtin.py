"""The small networks for rendered faces: recognizer, judge and pose estimator, with weights in the package.

With them, training and evaluation run on a new machine without a download. They do not work on photographs.
``python -m simswap.rendered.builtin`` trains them again.
"""

import hashlib
import pickle
from pathlib import Path

from torch import Tensor, nn
from torch.nn.functional import normalize

from simswap.errors import InputError
from simswap.faces.warping import RecognizerView
from simswap.models.pose import PoseEstimator
from simswap.models.recognition import Recognizer
from simswap.models.torch_files import load_data
from simswap.stand_ins import refuse_stand_in

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
INPUT_SIZE = 64
EMBEDDING_SIZE = 64
POSE_SCALE = 30.0  # degrees per unit of the network's output
NOISE_FLOOR_DEG = 2.6  # mean L2 error on unseen rendered faces, see rendered/builtin.py


class Residual(nn.Module):
    """A residual block: two 3x3 convolutions, the first with stride 2, and a 1x1 shortcut."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, 2, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.PReLU(after),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after))
        self.activation = nn.PReLU(after)

    def forward(self, x: Tensor) -> Tensor:
        """[B, before, H, W] → [B, after, H / 2, W / 2]."""
        return self.activation(self.body(x) + self.shortcut(x))


def residual_network(outputs: int) -> nn.Sequential:
    """The network of the recognizer and of the pose estimator: [B, 3, 64, 64] → [B, outputs]."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.PReLU(16),
        Residual(16, 32),
        Residual(32, 64),
        Residual(64, 96),
        nn.Flatten(),
        nn.Linear(96 * 4 * 4, outputs, bias=False),
        nn.BatchNorm1d(outputs),
    )


def plain_network(outputs: int) -> nn.Sequential:
    """The judge's network: [B, 3, 64, 64] → [B, outputs]; 5x5 and 3x3 convolutions, max-pooling, no shortcuts."""
    layers: list[nn.Module] = [nn.Conv2d(3, 24, 5, 2, 2, bias=False), nn.BatchNorm2d(24), nn.LeakyReLU(0.1)]
    for before, after in ((24, 48), (48, 80), (80, 112)):
        layers += [
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.LeakyReLU(0.1),
            nn.MaxPool2d(2),
        ]
    return nn.Sequential(
        *layers,
        nn.Conv2d(112, 112, 3, padding=1, bias=False),
        nn.BatchNorm2d(112),
        nn.LeakyReLU(0.1),
        nn.Flatten(),
        nn.Linear(112 * 4 * 4, outputs, bias=False),
        nn.BatchNorm1d(outputs),
    )


class Mirrored(nn.Module):
    """The sum of the embeddings of a face and its mirror image, which halves the errors of a small network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, 3, S, S] → [B, E], not of unit length."""
        return normalize(self.network(x)) + normalize(self.network(x.flip(-1)))


class RenderedPose(PoseEstimator):
    """Head pose by regression from the ``arcface`` view of a crop; differentiable."""

    def __init__(self, network: nn.Module, sha256: str) -> None:
        super().__init__("built-in pose estimator of rendered faces", sha256, NOISE_FLOOR_DEG, kind="rendered pose")
        self.network = network
        self._views: dict[tuple[str, int], RecognizerView] = {}
        self.freeze()

    def forward(self, images: Tensor, template: str, view: Tensor) -> Tensor:
        """As `PoseEstimator.forward`; never NaN."""
        key = (template, images.shape[-1])
        if key not in self._views:
            self._views[key] = RecognizerView(template, images.shape[-1], INPUT_SIZE)
        seen = self._views[key].to(images.device)(images, view)
        return self.network(seen * 2 - 1) * POSE_SCALE


def recognizer() -> Recognizer:
    """The built-in recognizer, with which the demo trains."""
    network, digest = load_weights("recognizer", residual_network(EMBEDDING_SIZE))
    return Recognizer(Mirrored(network), "built-in recognizer", digest, INPUT_SIZE, EMBEDDING_SIZE, "symmetric")


def judge() -> Recognizer:
    """The built-in judge: a different network, trained on other people."""
    network, digest = load_weights("judge", plain_network(EMBEDDING_SIZE))
    return Recognizer(Mirrored(network), "built-in judge", digest, INPUT_SIZE, EMBEDDING_SIZE, "symmetric")


def pose_estimator() -> PoseEstimator:
    """The built-in pose estimator."""
    return RenderedPose(*load_weights("pose", residual_network(3)))


def load_weights(name: str, network: nn.Module, made_by: str = "simswap.rendered.builtin") -> tuple[nn.Module, str]:
    """Load the weights of a built-in network; the file keeps them in half precision.

    Args:
        name: Of the file in the package.
        network: Where the weights go.
        made_by: The module that trains the network, for the message.

    Returns:
        The network in eval mode, and the SHA-256 of the file.

    Raises:
        InputError: The file is missing or damaged.
    """
    path = WEIGHTS / f"{name}.pt"
    refuse_stand_in(path, "the built-in network", "torch")
    try:
        content = path.read_bytes()
        state = load_data(path)
        network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise InputError(
            f"{path}: the built-in network cannot be read ({type(error).__name__}); install the package again, or "
            f"train it with python -m {made_by}{' --which ' + name if made_by.endswith('builtin') else ''}"
        ) from error
    return network.eval(), hashlib.sha256(content).hexdigest()
