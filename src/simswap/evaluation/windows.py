"""The faces on single images: where they are, and their crops."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from simswap import pixels
from simswap.data.reading import UnreadableImage, read_image
from simswap.errors import InputError
from simswap.evaluation.frames import FrameFaceFinder
from simswap.faces.alignment import align, apply, template_points, warp
from simswap.faces.detection import Pixels
from simswap.faces.photo_part import PhotoPart, cut_part
from simswap.measuring.swappers import Faces
from simswap.measuring.transfer import to_device
from simswap.measuring.window import faces_of_photos
from simswap.precision import from_array


class Windows:
    """Where the face on each image is, found once; an image is read again whenever its crop is needed.

    A window is the matrix [2, 3] from image to crop, the template's view, and the landmarks [5, 2] in the crop.

    Args:
        root: The folder of the images.
        finder: Finds faces; None where the images are crops already.
        template: Of the crops.
        size: Of the crops in pixels.
        parts: Whether swappers get the part of the image around the face too, to paste into it.
    """

    def __init__(
        self, root: Path, finder: FrameFaceFinder | None, template: str, size: int, parts: bool = False
    ) -> None:
        self.root, self.finder, self.template, self.size, self.parts = root, finder, template, size, parts
        self.windows: dict[str, tuple[np.ndarray, int, np.ndarray]] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.lost: dict[str, str] = {}

    def look(self, name: str, like: str | None = None) -> tuple[np.ndarray, int, np.ndarray] | None:
        """The window of an image: that of ``like`` if both have the same size, otherwise that of its own face.

        None if it has no face or cannot be read; ``lost`` then has the reason.
        """
        if name in self.windows or name in self.lost:
            return self.windows.get(name)
        try:
            picture = read_image(self.root / name)
            self.shapes[name] = picture.shape
            if like is not None and self.shapes[like] == picture.shape:
                self.windows[name] = self.windows[like]
            else:
                self.windows[name] = self._window(name, picture)
        except (UnreadableImage, ValueError) as error:
            self.lost[name] = str(error)
        return self.windows.get(name)

    def _window(self, name: str, picture: Pixels) -> tuple[np.ndarray, int, np.ndarray]:
        if self.finder is None:
            if picture.shape[0] != picture.shape[1]:
                raise ValueError(f"is {picture.shape[1]} x {picture.shape[0]} px, and an aligned crop is square")
            return np.zeros((2, 3)), 0, template_points(self.template, self.size)
        landmarks = self.finder.find(str(Path(name).with_suffix("")), picture, Path(name).suffix)
        if landmarks is None:
            raise ValueError("no face")
        alignment = align(landmarks, self.template, self.size)
        return alignment.matrix, alignment.view, apply(alignment.matrix, landmarks)

    def load(self, names: Sequence[str], device: torch.device, landmarks: bool = False) -> Faces:
        """Crops of these images, float32 [B, 3, S, S] in unit range, with views and, if asked for, landmarks."""
        if self.parts:
            return faces_of_photos(list(map(self._part, names)), self.template, self.size, device, keep=landmarks)
        crops = np.stack([self._crop(name) for name in names]).transpose(0, 3, 1, 2)
        view = torch.tensor([self.windows[name][1] for name in names], device=device)
        points = np.stack([self.windows[name][2] for name in names])
        return Faces(
            pixels.from_uint8(to_device(torch.from_numpy(crops.copy()), device), "unit"),
            view,
            from_array(points, device) if landmarks else None,
        )

    def _read(self, name: str) -> Pixels:
        try:
            return read_image(self.root / name)
        except UnreadableImage as error:
            raise InputError(f"{self.root / name}: {error}; it was readable a moment ago") from error

    def _part(self, name: str) -> PhotoPart:
        matrix, _, points = self.windows[name]
        return cut_part(self._read(name), apply(cv2.invertAffineTransform(matrix), points))  # type: ignore[arg-type]

    def _crop(self, name: str) -> Pixels:
        picture = self._read(name)
        if self.finder is not None:
            return warp(picture, self.windows[name][0], self.size)
        if picture.shape[0] == self.size:
            return picture
        how = cv2.INTER_AREA if self.size < picture.shape[0] else cv2.INTER_CUBIC
        return cv2.resize(picture, (self.size, self.size), interpolation=how)  # type: ignore[return-value]


class PictureFaces:
    """The images of some windows as a `measuring.swappers.FaceSource`."""

    def __init__(self, windows: Windows, names: Sequence[str], person: np.ndarray) -> None:
        self.windows, self.names, self.person = windows, list(names), person
        self.template, self.size = windows.template, windows.size

    def load(self, rows: np.ndarray, device: torch.device, landmarks: bool = False, offset: int = 0) -> Faces:
        """The crops of these rows; there are no other frames, so ``offset`` is 0."""
        return self.windows.load([self.names[row] for row in rows], device, landmarks)

    def attribute(self, name: str) -> np.ndarray | None:
        """None: no attribute is known."""
        return None
