"""The gaze of rendered faces: a small network on the strip of the two eyes, with weights in the package.

The true gaze of rendered faces is known, so the network's own error is measured and shown beside every figure
(docs/results.md). It does not work on photographs. ``python -m simswap.rendered.gaze`` trains it again.
"""

import torch
from torch import Tensor, nn

from simswap.faces.warping import RecognizerView
from simswap.models.builtin import Residual, load_weights
from simswap.models.frozen import FrozenModule

FACE_SIZE = 112  # side of the arcface crop that contains the strip, px
TOP, BOTTOM, LEFT, RIGHT = 36, 68, 20, 92  # the strip; the eyes lie near (38, 52) and (74, 52)
STRIP = (BOTTOM - TOP, RIGHT - LEFT)
SCALE = 15.0  # degrees per unit of the network's output
NOISE_FLOOR_DEG = 4.2  # mean angle to the true gaze on unseen rendered faces of 64 px, see docs/results.md


def gaze_network() -> nn.Sequential:
    """The estimator's network: eye strips [B, 3, 32, 72] → [B, 2]."""
    return nn.Sequential(
        nn.Conv2d(3, 12, 3, 2, 1, bias=False),
        nn.BatchNorm2d(12),
        nn.PReLU(12),
        Residual(12, 24),
        Residual(24, 48),
        nn.Flatten(),
        nn.Linear(48 * 4 * 9, 2, bias=False),
        nn.BatchNorm1d(2),
    )


class GazeEstimator(FrozenModule):
    """The gaze relative to the head as (x, y) in degrees: x > 0 to the image's right, y > 0 up. Frozen, no gradient.

    Args:
        network: As `gaze_network`.
        sha256: Of the file with its weights.
    """

    def __init__(self, network: nn.Module, sha256: str) -> None:
        super().__init__()
        self.name, self.sha256 = "built-in gaze estimator of rendered faces", sha256
        self.noise_floor_deg = NOISE_FLOOR_DEG
        self.settings = {"kind": "rendered gaze"}
        self.network = network
        self._views: dict[tuple[str, int], RecognizerView] = {}
        self.freeze()

    @torch.no_grad()
    def forward(self, images: Tensor, template: str, view: Tensor) -> Tensor:
        """Estimate the gaze.

        Args:
            images: Crops, float [B, 3, S, S] in unit range.
            template: The crops' template, a name of `faces.alignment.TEMPLATES`.
            view: int64 [B], the template's view of each crop.

        Returns:
            The gaze [B, 2] in degrees.
        """
        key = (template, images.shape[-1])
        if key not in self._views:
            self._views[key] = RecognizerView(template, images.shape[-1], FACE_SIZE)
        return self.network(eye_strip(self._views[key].to(images.device)(images, view)) * 2 - 1) * SCALE


def eye_strip(faces: Tensor) -> Tensor:
    """Cut the eyes [B, 3, 32, 72] out of ``arcface`` crops [B, 3, 112, 112]."""
    return faces[:, :, TOP:BOTTOM, LEFT:RIGHT]


def gaze_estimator() -> GazeEstimator:
    """The built-in gaze estimator."""
    return GazeEstimator(*load_weights("gaze", gaze_network(), "simswap.rendered.gaze"))
