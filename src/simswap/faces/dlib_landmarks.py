"""dlib's 68 face landmarks: the predictor's file, checked before dlib reads it, and points finer than one pixel."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from simswap.errors import InputError
from simswap.faces.dlib_files import CNN_DETECTOR, LANDMARKS_68, dlib_file, dlib_module
from simswap.files import sha256_of
from simswap.stand_ins import refuse_stand_in

FloatArray = npt.NDArray[np.float64]

POINTS = 68
SIDE = 200
"""Side in px that a box is scaled to before the predictor sees it.

dlib returns whole pixels and reads single ones. On 200 LFW photos of 150 px, the points of a photo and of its mirror
image differ by 0.84 px (at 112 px) as they are, by 0.68 px at 200 px, and by 0.66 px at 300 px.
"""
MARGIN = 0.75  # of the box's side, around it: the predictor looks beyond its box

# The files of face_recognition_models 0.3.0.
_KNOWN = {
    LANDMARKS_68: "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
    CNN_DETECTOR: "4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6",
}
# What another file must do in a process of its own. Noise visits most branches of the predictor's trees.
_TRIALS = {
    LANDMARKS_68: """
import sys, dlib, numpy
network, draw = dlib.shape_predictor(sys.argv[1]), numpy.random.default_rng(0)
for _ in range(20):
    shape = network(draw.integers(0, 256, (200, 200, 3), dtype=numpy.uint8), dlib.rectangle(40, 40, 160, 160))
    if shape.num_parts != 68:
        sys.exit(f"it has {shape.num_parts} points, not 68")
""",
    CNN_DETECTOR: """
import sys, dlib, numpy
draw = numpy.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=numpy.uint8)
dlib.cnn_face_detection_model_v1(sys.argv[1])(draw, 0)
""",
}
_TRIAL_SECONDS = 120


def checked_file(name: str, key: str, path: str | None = None) -> tuple[Path, str]:
    """A model file that dlib can read without ending the process.

    dlib does not check what it reads: an index in a damaged file may point outside a list. The package's own file is
    recognized by its hash. Any other is first tried in a process of its own.

    Args:
        name: `LANDMARKS_68` or `CNN_DETECTOR`.
        key: The setting that needs it, for the message.
        path: The user's file; None for the package's.

    Returns:
        The file and its SHA-256.

    Raises:
        InputError: The extra is not installed, the file is missing, or it is not such a model file.
    """
    dlib_module(key)
    file = dlib_file(name, key, path)
    refuse_stand_in(file, f"dlib's {name}", "onnx")
    digest = sha256_of(file)
    if digest == _KNOWN[name]:
        return file, digest
    command = [sys.executable, "-c", _TRIALS[name], str(file)]
    try:
        trial = subprocess.run(command, capture_output=True, text=True, timeout=_TRIAL_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{key}: {file} does not load within {_TRIAL_SECONDS} s; give dlib's {name}") from error
    if trial.returncode:
        reason = _reason(trial.stderr) or f"dlib crashes on it (exit status {trial.returncode})"
        raise InputError(f"{key}: {file} is no file like dlib's {name} ({reason}); get it again, or leave the path out")
    return file, digest


def _reason(text: str) -> str:
    """The message of a traceback, or of ``sys.exit``, on one line; empty if there is none."""
    _, _, message = text.rpartition("Error: ")
    return " ".join(message.split())[:200]


class LandmarkPredictor:
    """dlib's predictor of iBUG's 68 face landmarks, inside a given box.

    Args:
        path: The file; None for the one of the package face_recognition_models.
        key: The setting that needs it, for messages.

    Attributes:
        sha256: Of the file.

    Raises:
        InputError: As `checked_file`.
    """

    def __init__(self, path: str | None, key: str) -> None:
        self.file, self.sha256 = checked_file(LANDMARKS_68, key, path)
        self._dlib: Any = dlib_module(key)
        self._network = self._dlib.shape_predictor(str(self.file))

    def points(self, image: npt.NDArray[np.uint8], box: npt.ArrayLike) -> FloatArray:
        """Predict the landmarks of the face in a box.

        Args:
            image: uint8 RGB [H, W, 3].
            box: [4], (x1, y1, x2, y2) in px, as dlib's detectors give it: from the brows to the chin.

        Returns:
            [68, 2] in px, pixel centers at integers, in iBUG's order: jaw 0-16, brows 17-26, nose 27-35, eyes 36-47,
            mouth 48-67; left first, as seen in the image.

        Raises:
            ValueError: The box has no area or does not touch the image.
        """
        corners = np.asarray(box, np.float64).reshape(2, 2)
        side = float((corners[1] - corners[0]).min())
        high, wide = image.shape[:2]
        low = np.maximum(np.floor(corners[0] - MARGIN * side), 0).astype(int)
        end = np.minimum(np.ceil(corners[1] + MARGIN * side) + 1, (wide, high)).astype(int)
        if not side > 0 or (end <= low).any():
            raise ValueError(f"box {corners.ravel().tolist()} has no area in an image of {wide} x {high}")
        cut = image[low[1] : end[1], low[0] : end[0]]
        scale = SIDE / side
        size = np.maximum(np.rint((end - low) * scale), 1).astype(int)
        shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        seen = np.ascontiguousarray(cv2.resize(cut, (int(size[0]), int(size[1])), interpolation=shrink))
        exact = size / (end - low)
        rectangle = (corners - low + 0.5) * exact - 0.5
        shape = self._network(seen, self._dlib.rectangle(*np.rint(rectangle).astype(int).ravel().tolist()))
        found = np.array([(part.x, part.y) for part in shape.parts()], np.float64)
        return np.asarray((found + 0.5) / exact - 0.5 + low, np.float64)


def five_points(points: npt.ArrayLike) -> FloatArray:
    """Five of iBUG's 68 landmarks, in the usual order.

    Args:
        points: [68, 2].

    Returns:
        [5, 2]: the means of the left and right eye's six points, the nose tip, the left and right mouth corner.

    Raises:
        ValueError: The shape is another.
    """
    all_ = np.asarray(points, np.float64)
    if all_.shape != (POINTS, 2):
        raise ValueError(f"68 landmarks [68, 2] needed, got {list(all_.shape)}")
    return np.stack([all_[36:42].mean(0), all_[42:48].mean(0), all_[30], all_[48], all_[54]])
