"""Frozen head-pose estimators behind one interface, and one for any photograph."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from simswap import pixels
from simswap.errors import InputError
from simswap.faces.detection import InsightFaceDetector, pick_main_face
from simswap.models.frozen import FrozenModule

FloatArray = npt.NDArray[np.float64]

# Five points of an average adult head in mm: left eye, right eye (as seen in the image), nose tip, left and right mouth
# corner; x to the image's right, y down, z towards the camera, origin between the eyes. Ours, rounded from average
# anthropometry: 63 mm between the pupils, 51 mm between the mouth corners, 70 mm from eye line to mouth line, the tip
# of the nose 37 mm below the eye line and 34 mm in front of the pupils, the mouth corners 3 mm in front of them.
HEAD = np.array([[-31.5, 0, 0], [31.5, 0, 0], [0, 37, 34], [-25.5, 70, 3], [25.5, 70, 3]], dtype=np.float64)
# Focal length in crop sizes. The lens of a crop is unknown; a head that fills a crop of 20 cm at 1 m gives 5.
FOCAL = 5.0
# Border that is added to a crop on each side for the detector, as a share of its size.
BORDER = 0.25
# OpenCV's camera looks along +z, our axes have z towards the camera.
_TO_CAMERA = np.diag([1.0, 1.0, -1.0])


class PoseEstimator(FrozenModule):
    """A frozen estimator of head pose.

    Attributes:
        name: Its name in tables.
        sha256: Of the file or files that its results depend on.
        noise_floor_deg: The pose error in degrees that it reports where there is none; None if not measured.
        settings: Plain values, all else that its results depend on (see `simswap.models.described`).
    """

    def __init__(self, name: str, sha256: str, noise_floor_deg: float | None, **settings: Any) -> None:
        super().__init__()
        self.name = name
        self.sha256 = sha256
        self.noise_floor_deg = noise_floor_deg
        self.settings = settings

    def forward(self, images: Tensor, template: str, view: Tensor) -> Tensor:
        """Estimate head pose.

        Args:
            images: Crops, float RGB [B, 3, S, S] in unit range.
            template: The crops' template, a name of `faces.alignment.TEMPLATES`.
            view: int64 [B], the template's view of each crop.

        Returns:
            (yaw, pitch, roll) [B, 3] in degrees: yaw > 0 turns the face to the image's right, pitch > 0 up, roll > 0
            clockwise in the image. Rows without a detected face are NaN.
        """
        raise NotImplementedError

    def pose_and_points(self, images: Tensor, template: str, view: Tensor) -> tuple[Tensor, Tensor | None]:
        """The poses, and the face points that they were computed from; arguments as in `forward`.

        Returns:
            The poses [B, 3] in degrees, and the points [B, P, 2] in px (P is 5 or 68; NaN for a crop without a detected
            face), or None if the estimator uses no points.
        """
        return self(images, template, view), None


class PnPPose(PoseEstimator):
    """Head pose of any photograph: five detected landmarks and a perspective-n-point solution with an average head.

    The landmarks are detected in each crop, whatever its template, so that a swap that moves the face is measured as
    such. No gradient.

    Args:
        pack: Folder or name of an insightface model pack with an SCRFD detector.
        size: The detector's input size in px.
        threshold: The detector's lowest score.

    Raises:
        InputError: The pack has no detector.
    """

    def __init__(self, pack: str, size: int = 128, threshold: float = 0.3) -> None:
        detector = InsightFaceDetector(pack, size=size, threshold=threshold)
        super().__init__(
            f"five-point PnP ({detector.name}, {size} px)",
            detector.sha256,
            noise_floor(),
            kind="pnp",
            size=size,
            threshold=threshold,
            border=BORDER,
            focal=FOCAL,
            head=HEAD.tolist(),
        )
        self.detector = detector
        self.freeze()

    @torch.no_grad()
    def forward(self, images: Tensor, template: str, view: Tensor) -> Tensor:
        """As `PoseEstimator.forward`; `template` and `view` are not used."""
        return self.pose_and_points(images, template, view)[0]

    @torch.no_grad()
    def pose_and_points(self, images: Tensor, template: str, view: Tensor) -> tuple[Tensor, Tensor]:
        """The poses [B, 3] in degrees and the five landmarks [B, 5, 2] in px that they were solved from."""
        found = [self.landmarks(crop) for crop in crops_of(images)]
        points = np.array([np.full((5, 2), np.nan) if each is None else each for each in found]).reshape(-1, 5, 2)
        return solved(points, images)

    def landmarks(self, crop: npt.NDArray[np.uint8]) -> FloatArray | None:
        """Five points [5, 2] in px of a crop uint8 [S, S, 3], or None if no face is detected."""
        border = int(crop.shape[0] * BORDER)
        # An aligned crop cuts off hair and chin, but detectors were trained on faces with surroundings. A gray border
        # gives fewer outliers among the landmarks than replicated or mirrored edges.
        padded = np.asarray(
            cv2.copyMakeBorder(crop, border, border, border, border, cv2.BORDER_CONSTANT, value=(127, 127, 127)),
            dtype=np.uint8,
        )
        faces = self.detector.detect(padded)
        if not faces:
            return None
        return np.asarray(pick_main_face(faces, padded.shape).landmarks, dtype=np.float64) - border


def crops_of(images: Tensor) -> list[npt.NDArray[np.uint8]]:
    """Images [B, 3, S, S] in unit range as crops uint8 [S, S, 3], as detectors take them."""
    return [np.ascontiguousarray(crop) for crop in pixels.to_uint8(images).permute(0, 2, 3, 1).cpu().numpy()]


def solved(
    points: FloatArray, images: Tensor, used: slice = slice(None), head: FloatArray = HEAD
) -> tuple[Tensor, Tensor]:
    """Poses from points by `solve_pose`.

    Args:
        points: [B, P, 2] in px of the images.
        images: [B, 3, S, S], whose size and device count.
        used: The points that place the head.
        head: These points of the head, as `HEAD`.

    Returns:
        The poses [B, 3] in degrees and all points [B, P, 2], float32 on the images' device.
    """
    poses = np.array([solve_pose(each[used], images.shape[-1], head) for each in points]).reshape(-1, 3)
    poses_, points_ = (torch.from_numpy(values).float().to(images.device) for values in (poses, points))
    return poses_, points_


def solve_pose(landmarks: npt.ArrayLike, image_size: int, head: FloatArray = HEAD) -> tuple[float, float, float]:
    """The pose of a head with these points in a square image.

    It minimizes the reprojection error of the head through a pinhole camera at the image's center (`FOCAL`). The global
    solution of SQPnP (Terzakis and Lourakis, ECCV 2020) and a frontal start are each refined by Levenberg-Marquardt;
    the better of those that face the camera is the result.

    Args:
        landmarks: [P, 2] in px, pixel centers at integers; for `HEAD`, left eye, right eye, nose, left and right mouth
            corner.
        image_size: Side of the image in px.
        head: [P, 3], the points of an average head in any unit, with the axes of `HEAD`.

    Returns:
        (yaw, pitch, roll) in degrees; NaNs if a point is not finite, all points coincide, or no head fits.

    Raises:
        ValueError: The shape is another.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape != (len(head), 2):
        count = "five" if len(head) == 5 else len(head)
        raise ValueError(f"{count} landmarks [{len(head)}, 2] needed, got {list(points.shape)}")
    # Points that coincide have no pose; solvers refuse them or return anything.
    if not np.isfinite(points).all() or points.std(0).max() < 1e-3 * image_size:
        return np.nan, np.nan, np.nan
    camera, seen_head = camera_matrix(image_size), head @ _TO_CAMERA
    best: FloatArray | None = None
    least = np.inf
    for turn, shift in _starts(points, camera, head):
        refined = cv2.solvePnPRefineLM(seen_head, points, camera, None, turn, shift)
        turn, shift = (np.asarray(vector, dtype=np.float64) for vector in refined)
        seen = cv2.projectPoints(seen_head, turn, shift, camera, None)[0].reshape(-1, 2)
        error = float(np.square(seen - points).sum())
        matrix = np.asarray(_TO_CAMERA @ cv2.Rodrigues(turn)[0] @ _TO_CAMERA, dtype=np.float64)
        # A head behind the camera, or seen from behind, can fit five points too.
        if error < least and float(shift[2, 0]) > 0 and matrix[2, 2] > 0:
            best, least = matrix, error
    return (np.nan, np.nan, np.nan) if best is None else angles(best)


def _starts(points: FloatArray, camera: FloatArray, head: FloatArray) -> Sequence[tuple[FloatArray, FloatArray]]:
    """Start values of the refinement: rotation vectors and translations, each [3, 1]."""
    spread = np.linalg.norm(points - points.mean(0)) / np.linalg.norm(head[:, :2] - head[:, :2].mean(0))
    distance = camera[0, 0] / max(spread, 1e-6)
    center = (points.mean(0) - camera[:2, 2]) / camera[0, 0] * distance - head[:, :2].mean(0)
    frontal = (np.zeros((3, 1)), np.array([[center[0]], [center[1]], [distance]]))
    found, turn, shift = cv2.solvePnP(head @ _TO_CAMERA, points, camera, None, flags=cv2.SOLVEPNP_SQPNP)
    start = (np.asarray(turn, dtype=np.float64), np.asarray(shift, dtype=np.float64))
    return [start, frontal] if found else [frontal]


def camera_matrix(image_size: int) -> FloatArray:
    """The pinhole camera matrix [3, 3] for square images of this size in px, principal point at the center."""
    center = (image_size - 1) / 2
    return np.array([[FOCAL * image_size, 0, center], [0, FOCAL * image_size, center], [0, 0, 1]], dtype=np.float64)


def rotation(yaw: float, pitch: float, roll: float) -> FloatArray:
    """The rotation [3, 3] of angles in degrees, for the axes of `HEAD`.

    Pitch (> 0 up) is applied first, then yaw (> 0 to the image's right), then roll (> 0 clockwise in the image).
    """
    y, p, r = np.deg2rad([yaw, pitch, roll])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def angles(matrix: FloatArray) -> tuple[float, float, float]:
    """(yaw, pitch, roll) in degrees of a rotation [3, 3]; the inverse of `rotation` for yaw within ±90°."""
    yaw = np.arcsin(np.clip(-matrix[2, 0], -1, 1))
    pitch = np.arctan2(matrix[2, 1], matrix[2, 2])
    roll = np.arctan2(matrix[1, 0], matrix[0, 0])
    return float(np.rad2deg(yaw)), float(np.rad2deg(pitch)), float(np.rad2deg(roll))


def project_head(
    yaw: float, pitch: float, roll: float, image_size: int, head: FloatArray = HEAD, between_eyes: float = 63.0
) -> FloatArray:
    """The landmarks [P, 2] in px of a head under a pose in degrees, as large as in an `arcface` crop of that size.

    Args:
        yaw: In degrees.
        pitch: In degrees.
        roll: In degrees.
        image_size: Side of the crop in px.
        head: [P, 3], as in `solve_pose`.
        between_eyes: The distance between the head's eyes, in its unit.
    """
    eyes = 35.24 / 112 * image_size  # px between the eyes of the arcface template
    shift = np.array([0.0, -head[:, 1].mean(), FOCAL * image_size * between_eyes / eyes])
    turn = cv2.Rodrigues(_TO_CAMERA @ rotation(yaw, pitch, roll) @ _TO_CAMERA)[0]
    points = cv2.projectPoints(head @ _TO_CAMERA, turn, shift, camera_matrix(image_size), None)[0]
    return np.asarray(points, dtype=np.float64).reshape(-1, 2)


@lru_cache
def noise_floor(noise: float = 1.0, heads: int = 1000, seed: int = 0) -> float:
    """The mean L2 error of the pose in degrees that noise on the landmarks causes.

    Heads with normally distributed poses (standard deviations yaw 20°, pitch 10°, roll 5°) are projected into `arcface`
    crops of 112 px. Every coordinate gets normal noise, and the pose solved from the noisy points is compared with the
    true one. Two independent measurements differ by about 1.4 times as much.

    Args:
        noise: Standard deviation in px.
        heads: Number of heads.
        seed: Of poses and noise.

    Raises:
        InputError: The noise is below 0, or there are no heads.
    """
    if noise < 0 or heads < 1:
        raise InputError(f"noise floor: noise {noise} px over {heads} heads; noise must be >= 0 and heads >= 1")
    rng = np.random.default_rng(seed)
    moved = []
    for _ in range(heads):
        yaw, pitch, roll = rng.normal(0, [20.0, 10.0, 5.0])
        points = project_head(yaw, pitch, roll, image_size=112) + rng.normal(0, noise, (5, 2))
        moved.append(np.linalg.norm(np.subtract(solve_pose(points, 112), (yaw, pitch, roll))))
    return float(np.nanmean(moved))
