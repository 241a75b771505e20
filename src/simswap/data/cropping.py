"""One photo becomes one crop: where its face is, at which size it is decoded, the warp, and the bytes of the file."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from simswap.data.landmarks import key_of
from simswap.data.reading import FACTORS, Photo, UnreadableImage, read_photo
from simswap.data.sources import PersonFolder, is_plain_name
from simswap.faces.alignment import Alignment, after_shrinking, align, scale_of, warp
from simswap.faces.detection import Detector, Face, Pixels, pick_main_face
from simswap.faces.plausible import landmark_fault

UNREADABLE, NO_LANDMARKS, BAD_LANDMARKS, BAD_NAME = "unreadable", "no_landmarks", "bad_landmarks", "bad_name"
# Five points cannot be distinguished in smaller images, even with landmarks from a table.
SMALLEST_SIDE = 16
SUFFIXES = {"png": ".png", "jpg": ".jpg"}


@dataclass(frozen=True)
class CropSettings:
    """What decides a crop's pixels.

    Attributes:
        template: name of the alignment template.
        size: side of a crop, px.
        image_format: png or jpg.
        quality: of JPEG, 1 to 100.
        min_side: smallest side of a raw image, px; 0 takes any.
        reduced_decoding: with landmarks from a table, JPEG photos are decoded at 1/2, 1/4 or 1/8 of their size where
            that still has the crop's resolution.
    """

    template: str
    size: int
    image_format: str
    quality: int
    min_side: int
    reduced_decoding: bool = False


@dataclass(frozen=True)
class Found:
    """A face and its photo, with the alignment where it was needed before the photo was decoded."""

    face: Face
    photo: Photo
    alignment: Alignment | None = None


class SkippedImage(Exception):
    """An image without a crop: a status of the manifest, a detail, and the refused landmarks [10], if any."""

    def __init__(self, status: str, detail: str = "", landmarks: npt.NDArray[np.float32] | None = None) -> None:
        super().__init__(status)
        self.status, self.detail, self.landmarks = status, detail, landmarks


def find_face(
    file: Path,
    source: PersonFolder,
    landmarks: dict[str, npt.NDArray[np.float32]] | None,
    image: str,
    settings: CropSettings,
    detector: Detector | None,
) -> Found:
    """The face to align in a folder's image, by the person's rows of a landmark table or by a detector.

    Raises:
        SkippedImage: there is none, or the image cannot be used.
    """
    if not source.folder:
        raise SkippedImage("no_person", "lies in the root, outside every person's folder")
    if not is_plain_name(f"{source.folder}/{image}"):
        raise SkippedImage(BAD_NAME, "the name holds control characters or is no UTF-8; rename it")
    given, alignment = None, None
    if landmarks is not None:
        key = key_of(image, landmarks)
        if key is None:
            raise SkippedImage(NO_LANDMARKS, "the table of landmarks has no row for it")
        given = landmarks[key]
        if not np.isfinite(given).all():
            raise SkippedImage(BAD_LANDMARKS, "the table of landmarks has no number in its row", given)
        if settings.reduced_decoding:
            with suppress(SkippedImage):  # the photo's own faults are reported first
                alignment = _align(given.reshape(5, 2).astype(np.float64), settings)
    try:
        photo = read_photo(file, 1 if alignment is None else reduction(alignment))
    except UnreadableImage as error:
        raise SkippedImage(UNREADABLE, error.reason) from error
    height, width = photo.shape
    if min(height, width) < max(settings.min_side, SMALLEST_SIDE):
        raise SkippedImage("too_small", f"{width} x {height}")
    if given is not None:
        points = given.reshape(5, 2).astype(np.float64)
        if fault := landmark_fault(points, photo.shape):
            raise SkippedImage(BAD_LANDMARKS, fault, given)
        box = np.concatenate([points.min(0), points.max(0)])
        return Found(Face(box=box, landmarks=points, score=1.0), photo, alignment)
    assert detector is not None
    faces = detector.detect(photo.pixels)
    if not faces:
        raise SkippedImage("no_face")
    return Found(pick_main_face(faces, photo.shape), photo)


def _align(points: npt.NDArray[np.float64], settings: CropSettings) -> Alignment:
    try:
        return align(points, settings.template, settings.size)
    except ValueError as error:
        raise SkippedImage(BAD_LANDMARKS, str(error)) from error


def reduction(alignment: Alignment) -> int:
    """The largest factor by which a photo may be decoded smaller: no crop pixel covers less than one of its.

    With a larger factor the warp would enlarge the reduced photo, and the crop would lose detail that the photo has.
    """
    return max(factor for factor in FACTORS if factor == 1 or factor * scale_of(alignment.matrix) <= 1)


def crop_face(found: Found, settings: CropSettings) -> tuple[Pixels, str]:
    """The crop, uint8 [size, size, 3] RGB, and the template's view.

    Raises:
        SkippedImage: the landmarks fix no crop.
    """
    alignment = found.alignment or _align(found.face.landmarks, settings)
    factor = found.photo.factor
    matrix = after_shrinking(alignment.matrix, factor) if factor > 1 else alignment.matrix
    return warp(found.photo.pixels, matrix, settings.size), str(alignment.view)


def encode(crop: Pixels, settings: CropSettings) -> bytes:
    """The bytes of a crop's file."""
    options = [cv2.IMWRITE_JPEG_QUALITY, settings.quality] if settings.image_format == "jpg" else []
    done, data = cv2.imencode(SUFFIXES[settings.image_format], cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f"a crop {crop.shape} could not be encoded as {settings.image_format}")
    return data.tobytes()
