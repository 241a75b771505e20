"""Detection of faces and their five landmarks with insightface's detectors (SCRFD, RetinaFace)."""

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from simswap.errors import InputError
from simswap.files import sha256_of
from simswap.settings.photometric import silence_version_check
from simswap.stand_ins import refuse_stand_in

Pixels = npt.NDArray[np.uint8]
"""An image as uint8 [H, W, 3] RGB."""


@dataclass(frozen=True)
class Face:
    """A face in an image.

    Attributes:
        box: [4], (x1, y1, x2, y2) in px.
        landmarks: [5, 2] in px: left eye, right eye, nose, left and right mouth corner, as seen in the image.
        score: The detector's score, in [0, 1].
    """

    box: npt.NDArray[np.float64]
    landmarks: npt.NDArray[np.float64]
    score: float


class Detector(Protocol):
    """Anything that detects faces in an image."""

    def detect(self, image: Pixels) -> list[Face]:
        """The faces of an RGB image, in any order."""


class InsightFaceDetector:
    """The detector of an insightface model pack.

    It runs on the CPU with one thread, so that a worker process takes one core and every machine finds the same
    landmarks. A pickle only holds the three settings, and loads the network again.

    Args:
        pack: A folder of ONNX files, or the name of an insightface pack such as ``buffalo_l``, which insightface
            downloads into ~/.insightface if it is not there.
        size: Side in px of the square that an image is scaled into.
        threshold: Lowest score of a face.

    Attributes:
        name: Of the network's file.
        sha256: Of the network's file.
        settings: Plain values, all else that the detections depend on.

    Raises:
        InputError: There is no such pack, it holds no detector with landmarks, the size is not a multiple of 32 (the
            detector's coarsest stride), or the threshold is not between 0 and 1.
    """

    def __init__(self, pack: str, size: int = 256, threshold: float = 0.5) -> None:
        if size < 32 or size % 32:
            raise InputError(f"detector.size={size} must be a multiple of 32, such as 256 or 640")
        if not 0 < threshold < 1:
            raise InputError(f"detector.threshold={threshold} must lie between 0 and 1")
        self.pack, self.size, self.threshold = str(pack), int(size), float(threshold)
        self._network = _load(self.pack)
        file = Path(self._network.model_file)
        self.name, self.sha256 = file.stem, sha256_of(file)
        self.settings = {"kind": "detector", "size": self.size, "threshold": self.threshold}
        self._network.prepare(-1, input_size=(self.size, self.size), det_thresh=self.threshold)

    def __reduce__(self) -> tuple[Any, tuple[str, int, float]]:
        return InsightFaceDetector, (self.pack, self.size, self.threshold)

    def detect(self, image: npt.NDArray[np.uint8]) -> list[Face]:
        """Detect the faces of an image.

        An image thinner than one pixel after scaling into the detector's square has no face.

        Args:
            image: uint8 RGB [H, W, 3].

        Returns:
            The faces, best score first.

        Raises:
            ValueError: The dtype or shape is another.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"expected uint8 [H, W, 3] RGB, got {image.dtype} {image.shape}")
        height, width = image.shape[:2]
        if min(height, width) * self.size < max(height, width):
            return []
        # insightface's networks were trained on OpenCV's channel order.
        boxes, points = self._network.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        return [
            Face(box[:4].astype(np.float64), landmarks.astype(np.float64), float(box[4]))
            for box, landmarks in zip(boxes, points, strict=True)
        ]


def pick_main_face(faces: list[Face], image_shape: tuple[int, ...]) -> Face:
    """The main face, by insightface's rule: area minus twice the squared distance of its center from the image's.

    Args:
        faces: At least one face.
        image_shape: Height and width of the image in px, then anything.

    Raises:
        ValueError: There is no face.
    """
    if not faces:
        raise ValueError("there is no face to choose from")
    middle = np.array([image_shape[1], image_shape[0]]) / 2

    def value(face: Face) -> float:
        size = face.box[2:] - face.box[:2]
        offset = (face.box[:2] + face.box[2:]) / 2 - middle
        return float(size[0] * size[1] - 2 * (offset**2).sum())

    return max(faces, key=value)


def _load(pack: str) -> Any:
    """The detector of a pack, an insightface model."""
    folder = Path(pack).expanduser()
    looks_like_path = os.sep in pack or pack.startswith((".", "~"))
    if looks_like_path and not folder.is_dir():
        raise InputError(f"detector.pack={pack}: no such folder; give a folder of ONNX files or the name of a pack")
    if folder.is_dir() and not list(folder.glob("*.onnx")):
        raise InputError(f"detector.pack={pack} holds no ONNX file; insightface's packs are folders of them")
    for file in sorted(folder.glob("*.onnx")) if folder.is_dir() else []:
        refuse_stand_in(file, "an ONNX network", "onnx")
    silence_version_check()  # insightface may import albumentations
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # insightface uses deprecated calls of other packages
        import onnxruntime
        from insightface.app import FaceAnalysis

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            app = FaceAnalysis(
                name=str(folder) if folder.is_dir() else pack,
                allowed_modules=["detection"],
                providers=["CPUExecutionProvider"],
                sess_options=options,
            )
        except AssertionError as error:
            raise InputError(f"detector.pack={pack} holds no face detector; give a complete pack") from error
        except Exception as error:  # a failed download, a damaged file: each library raises its own errors
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"detector.pack={pack} cannot be loaded: {type(error).__name__}: {reason}") from error
    if not getattr(app.det_model, "use_kps", False):
        raise InputError(f"detector.pack={pack}: its detector finds no landmarks; use one that does (SCRFD *_bnkps)")
    return app.det_model
