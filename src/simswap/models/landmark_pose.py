"""Head pose from 68 3-D landmarks: insightface's network ``1k3d68`` (pack buffalo_l) and its pose computation.

The network takes a square of 192 px, 1.5 times as wide as the face's longer side, and returns 1,103 points (x, y, z).
The last 68 are the landmarks, relative to the center in units of half the square. A least-squares affine map takes
insightface's mean shape to the points; its first two rows give a rotation, and the rotation gives the angles.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from simswap.errors import InputError
from simswap.faces.face_box import FaceBoxes
from simswap.faces.mean_shape import POINTS, mean_shape_file, read_mean_shape
from simswap.files import sha256_of
from simswap.models.onnx_reader.graph import OnnxGraph, image_input, read_onnx
from simswap.models.packs import file_of_pack
from simswap.models.pose import PoseEstimator
from simswap.precision import to_float64

SIZE = 192
MARGIN = 1.5
OUTPUTS = 3309


class Landmarks68Pose(PoseEstimator):
    """Head pose from insightface's ``1k3d68.onnx``, in batches on the images' device.

    insightface cuts its square around a detected box. Here it is the fixed box of `faces.face_box`, the same for
    target and result: no detector is needed, and the box adds no noise. The affine fit removes shift and scale, so the
    angles hardly depend on the box. They are never NaN, because the network needs no detected face.

    Args:
        path: The ONNX file, or the folder of a pack that holds it.

    Raises:
        InputError: The file is missing or of another form, or insightface's mean shape cannot be read.
    """

    def __init__(self, path: str) -> None:
        file = landmark_file(Path(path).expanduser())
        super().__init__(f"68 landmarks in 3-D ({file.stem})", sha256_of(file), None, kind="landmarks68", margin=MARGIN)
        self.network = OnnxGraph(file)
        self.boxes = FaceBoxes(SIZE, MARGIN)
        self.fit = AffinePose(read_mean_shape(mean_shape_file()))
        # Files that normalize their input take 8-bit values, others (x - 127.5) / 128.
        self.offset, self.scale = (0.0, 1.0) if scales_itself(file) else (127.5, 128.0)
        self._check(file)
        self.freeze()

    @torch.no_grad()
    def _check(self, file: Path) -> None:
        images = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
        try:
            found = list(self.network((images * 255 - self.offset) / self.scale).shape)
        except (RuntimeError, IndexError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{file}: does not run on two images of 3x{SIZE}x{SIZE} ({reason})") from error
        if found != [2, OUTPUTS]:
            raise InputError(f"{file}: returns {found} for two images, not [2, {OUTPUTS}]; give 1k3d68.onnx")

    def landmarks(self, images: Tensor, template: str, view: Tensor) -> Tensor:
        """The 68 points [B, 68, 3] in px of the 192-px square; arguments as in `PoseEstimator.forward`."""
        seen = self.boxes(images, template, view) * 255  # [B, 3, 192, 192]
        points = self.network((seen - self.offset) / self.scale).reshape(len(images), -1, 3)[:, -POINTS:]
        return (points + points.new_tensor([1.0, 1.0, 0.0])) * (SIZE // 2)

    def forward(self, images: Tensor, template: str, view: Tensor) -> Tensor:
        """As `PoseEstimator.forward`."""
        return self.pose_and_points(images, template, view)[0]

    def pose_and_points(self, images: Tensor, template: str, view: Tensor) -> tuple[Tensor, Tensor]:
        """The poses [B, 3] in degrees and the 68 points [B, 68, 2] in px of the network's square."""
        points = self.landmarks(images, template, view)
        return self.fit(points).to(images), points[..., :2]


class AffinePose(nn.Module):
    """Points → angles as insightface computes them, by the affine map from a mean shape, turned into a rotation.

    The mean shape has x to the image's right, y down and z towards the camera, as `pose.HEAD` has, so insightface's
    angles have our signs, in another order. Only x and y of the points count: the third row of the rotation is the
    cross product of the first two.

    Args:
        mean_shape: float64 [68, 3].
    """

    def __init__(self, mean_shape: npt.NDArray[np.float64]) -> None:
        super().__init__()
        homogeneous = np.column_stack([mean_shape, np.ones(len(mean_shape))])
        self.solver = torch.from_numpy(np.linalg.pinv(homogeneous))  # [4, 68]; no buffer: a GPU may have no float64

    def forward(self, points: Tensor) -> Tensor:
        """Points [B, 68, 2 or 3] in px, y down → (yaw, pitch, roll) float64 [B, 3] in degrees."""
        wide = to_float64(points[..., :2])
        rows = (self.solver.to(wide.device) @ wide)[:, :3]  # [B, 3, 2]
        x, y = nn.functional.normalize(rows, dim=1).unbind(-1)  # [B, 3] each: the first two rows of the rotation
        z = torch.linalg.cross(x, y)
        yaw = torch.atan2(-z[:, 0], torch.hypot(x[:, 0], y[:, 0]))
        pitch = torch.atan2(z[:, 1], z[:, 2])
        roll = torch.atan2(y[:, 0], x[:, 0])
        return torch.rad2deg(torch.stack([yaw, pitch, roll], dim=1))


def landmark_file(path: Path) -> Path:
    """The file itself, or the only file of a pack with an image input of 192x192 and 3,309 outputs.

    Raises InputError as `packs.file_of_pack` does.
    """
    return file_of_pack(
        path,
        _has_its_form,
        missing="no such file or folder; give insightface's 1k3d68.onnx or the folder of pack buffalo_l",
        several="several landmark networks",
        none=f"no network with {OUTPUTS} outputs (1k3d68.onnx)",
    )


def _has_its_form(file: Path) -> bool:
    model = read_onnx(file, weights=False)
    image = image_input(model)
    last = [d.dim_value for o in model.graph.output for d in o.type.tensor_type.shape.dim][-1:]
    return image is not None and image[2][1:] == [3, SIZE, SIZE] and last == [OUTPUTS]


def scales_itself(file: Path) -> bool:
    """Whether the file normalizes its input, by insightface's rule for the names of its first nodes."""
    names = [node.name for node in read_onnx(file, weights=False).graph.node[:8]]
    subtracts = any(name.startswith(("Sub", "_minus")) for name in names)
    multiplies = any(name.startswith(("Mul", "_mul")) for name in names)
    return "bn_data" in names[:3] or (subtracts and multiplies)
