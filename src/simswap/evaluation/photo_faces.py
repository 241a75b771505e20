"""The photos that a prepared folder was made of, for measuring windows of them instead of its crops."""

from pathlib import Path

import numpy as np
import torch

from simswap.data.datamodule import SwapDataModule
from simswap.data.manifest import SETTINGS_FILE, Manifest, read_settings
from simswap.data.reading import UnreadableImage, read_image
from simswap.errors import InputError
from simswap.faces.photo_part import PhotoPart, cut_part
from simswap.faces.plausible import landmark_fault
from simswap.measuring.swappers import Faces, PreparedFaces
from simswap.measuring.window import Window, faces_of_photos

TO_GIVE = "give the folder of these photos as measure.raw=<folder>, or measure the crops with measure.window=crop"


def photo_folder(manifest: Manifest, given: str | None) -> Path:
    """The folder of the photos.

    Args:
        manifest: Of the prepared folder, whose prepare.json names the folder.
        given: The folder as the command line names it; None for the recorded one.

    Raises:
        InputError: No folder is named, or it is not there.
    """
    if given is None:
        given = ((read_settings(manifest.root) or {}).get("settings") or {}).get("raw")
        if not isinstance(given, str):
            raise InputError(
                f"measure.window=photo: {manifest.root / SETTINGS_FILE} does not say which photos the crops were made "
                f"of; {TO_GIVE}"
            )
    if not Path(given).is_dir():
        raise InputError(
            f"measure.window=photo: {given}, the folder of the photos of {manifest.root}, is not there; {TO_GIVE}"
        )
    return Path(given)


class PhotoFaces:
    """Windows of the photos of a prepared folder as a `measuring.swappers.FaceSource`, by the manifest's landmarks.

    Args:
        data: The prepared folder.
        raw: The folder of its photos.
        window: What is measured of each photo.
        rows: The rows that are needed, int64 [n].
        keep_mb: Photos up to so many units of 2**20 bytes are kept: each swapper asks for the same ones.

    Raises:
        InputError: A photo is not there, or the manifest names one outside the folder.
    """

    def __init__(self, data: SwapDataModule, raw: Path, window: Window, rows: np.ndarray, keep_mb: int = 0) -> None:
        self.manifest, self.raw = data.manifest, raw
        self.template, self.size = window.template, window.size
        self.person = data.manifest.person.astype(np.int64)
        self.attribute = PreparedFaces(data).attribute
        self._kept: dict[int, PhotoPart] = {}
        self._room = keep_mb * 2**20
        lost = [name for row in rows if not (raw / (name := self.manifest.photo(int(row)))).is_file()]
        if lost:
            raise InputError(
                f"measure.window=photo: {len(lost)} of {len(rows)} photos are not in {raw}, the first is {lost[0]}; "
                f"{TO_GIVE}"
            )

    def load(self, rows: np.ndarray, device: torch.device, landmarks: bool = False, offset: int = 0) -> Faces:
        """The windows of these rows; photographs have no other frames, so an ``offset`` raises ValueError."""
        if offset:
            raise ValueError("photographs have no frames before and after them")
        photos = [self._photo(int(row)) for row in rows]
        return faces_of_photos(photos, self.template, self.size, device, keep=landmarks)

    def _photo(self, row: int) -> PhotoPart:
        found = self._kept.get(row)
        if found is None:
            found = self._read(row)
            if found.pixels.nbytes <= self._room:
                self._kept[row] = found
                self._room -= found.pixels.nbytes
        return found

    def _read(self, row: int) -> PhotoPart:
        file, points = self.raw / self.manifest.photo(row), self.manifest.photo_landmarks(row)
        try:
            picture = read_image(file)
            if fault := landmark_fault(points, picture.shape):
                raise InputError(f"{file}: the landmarks of its crop do not fit it ({fault}); {TO_GIVE}")
            return cut_part(picture, points)
        except (UnreadableImage, ValueError) as error:
            raise InputError(f"{file}: {error}; {TO_GIVE}") from error
