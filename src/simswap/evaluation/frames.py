"""Faces in video frames: found, aligned, and stored as one file of arrays per video."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from simswap import pixels
from simswap.data.landmarks import LandmarkTable, landmark_files
from simswap.data.listing import list_images
from simswap.data.video import read_frames, why_unreadable
from simswap.evaluation.disk_work import load
from simswap.evaluation.frame_parts import parts_of, stored_parts
from simswap.faces.alignment import align, apply, warp
from simswap.faces.detection import Detector, Pixels, pick_main_face
from simswap.faces.photo_part import PhotoPart, cut_part
from simswap.faces.plausible import landmark_fault
from simswap.files import sha256_of
from simswap.measuring.swappers import Faces
from simswap.measuring.transfer import Arrays, to_device
from simswap.models.described import Instrument, Source, digest
from simswap.precision import from_array

CROPS = {-1: "before", 0: "crops", 1: "after"}


@dataclass(frozen=True)
class FrameFaceFinder:
    """Finds the main face on a frame, by a table of landmarks or by a detector.

    Attributes:
        table: Landmarks with ``NAME_ID`` = ``<video>/<frame>``; None with a detector.
        detector: The detector; None with a table.
        described: The description of either for evaluation.json.
    """

    table: LandmarkTable | None
    detector: Detector | None
    described: Instrument

    @classmethod
    def of(cls, landmarks: str | list[str] | None, detector: Detector | None) -> "FrameFaceFinder":
        """The finder for these settings. Raises InputError for both, neither, or a table that cannot be read."""
        files = landmark_files(landmarks, detector is not None, "protocol.landmarks")
        if files:
            table = LandmarkTable(files)
            hashes = [sha256_of(file) for file in files]
            sha256 = hashes[0] if len(hashes) == 1 else digest(hashes)
            return cls(table, None, Source("table of landmarks", sha256, {"kind": "landmarks", "files": len(files)}))
        assert isinstance(detector, Instrument)  # every choice of detector= describes itself
        return cls(None, detector, detector)

    def find(self, name: str, picture: Pixels, ending: str = "") -> np.ndarray | None:
        """The landmarks [5, 2] of the main face in pixels, None if there is none.

        Args:
            name: The image's name in a table.
            picture: uint8 [H, W, 3].
            ending: The file's ending, which a table's names may include.

        Raises:
            ValueError: If the table's landmarks cannot be a face on this image.
        """
        if self.table is not None:
            given = self.table.find(name, ending)
            if given is not None and (fault := landmark_fault(given, picture.shape)):
                raise ValueError(fault)
            return given
        assert self.detector is not None
        faces = self.detector.detect(picture)
        return pick_main_face(faces, picture.shape).landmarks if faces else None


def evenly_spaced(count: int, frames: int) -> list[int]:
    """``frames`` frame numbers, each in the middle of an equal part of ``count`` frames; all if there are fewer."""
    chosen = min(count, frames)
    return [int((k + 0.5) * count / chosen) for k in range(chosen)]


Frames = Sequence[tuple[int, Pixels | None]]
"""Chosen frames of a video, ascending: number and uint8 [H, W, 3], None for one that cannot be read."""


def chosen_frames(path: Path, numbers: Sequence[int], jitter: bool) -> Frames:
    """Read the frames with these numbers; with ``jitter`` also the ones before and after each."""
    offsets = (-1, 0, 1) if jitter else (0,)
    return list(read_frames(path, [n + o for n in numbers for o in offsets if n + o >= 0]))


def face_crops(
    path: Path,
    video: str,
    numbers: Sequence[int],
    read: Frames,
    finder: FrameFaceFinder,
    template: str,
    size: int,
    jitter: bool,
    parts: bool = False,
) -> Arrays:
    """The aligned faces of a video's frames.

    Args:
        path: The video.
        video: Its name in a table of landmarks.
        numbers: The wanted frames, ascending.
        read: Their `chosen_frames`.
        finder: Finds the faces.
        template: Of the crops.
        size: Of the crops in pixels.
        jitter: Whether to crop the frames before and after each frame too.
        parts: Whether to keep the part of the frame around each face, for swaps that are pasted into it.

    Returns:
        Arrays of the n kept frames: ``slot`` (place in ``numbers``), ``number``, ``crops`` uint8 [n, 3, S, S],
        ``view``, ``matrix`` [n, 2, 3] (frame → crop), ``landmarks`` [n, 5, 2] in pixels of the crop, ``shape`` [n, 2]
        of the frame; with ``jitter`` also ``before`` and ``after``, the same window in the neighboring frames; with
        ``parts`` also those of `stored_parts`; and ``skipped``, "frame: reason" for each frame that was not kept.
    """
    frames = dict(read)
    kept: dict[str, list[Any]] = {name: [] for name in ("slot", "number", "view", "matrix", "landmarks", "shape")}
    crops: dict[str, list[np.ndarray]] = {CROPS[offset]: [] for offset in ((-1, 0, 1) if jitter else (0,))}
    around: list[dict[int, PhotoPart]] = []
    skipped: list[str] = []
    for slot, number in enumerate(numbers):
        nearby = _nearby(frames, number, jitter)
        try:
            if (picture := nearby[0]) is None:
                raise ValueError(why_unreadable(path, "cannot be read"))
            if (landmarks := finder.find(f"{video}/{number}", picture)) is None:
                raise ValueError("no face")
            alignment = align(landmarks, template, size)
        except ValueError as error:
            skipped.append(f"{number}: {error}")
            continue
        values = (slot, number, alignment.view, alignment.matrix, apply(alignment.matrix, landmarks), picture.shape[:2])
        for name, value in zip(kept, values, strict=True):
            kept[name].append(value)
        shown = _shown(nearby, picture, one_shape=parts)
        if parts:
            around.append({offset: cut_part(frame, landmarks) for offset, frame in shown.items()})
        for offset, frame in shown.items():
            # Swaps are pasted into the part, so it is cut from there too: OpenCV rounds coordinates by their size.
            made = around[-1][offset].crop(template, size) if parts else warp(frame, alignment.matrix, size)
            crops[CROPS[offset]].append(made.transpose(2, 0, 1))
    pictures = {name: np.array(made, dtype=np.uint8).reshape(-1, 3, size, size) for name, made in crops.items()}
    pictures |= stored_parts(around, jitter) if parts else {}
    return {**_as_arrays(kept), **pictures, "skipped": np.array(skipped, dtype=np.str_)}


def _shown(nearby: Mapping[int, Pixels | None], picture: Pixels, one_shape: bool) -> dict[int, Pixels]:
    """A frame and its neighbors by their offset.

    At the ends of the video the frame is repeated: nothing moves there. With ``one_shape``, it also stands for a
    neighbor of another shape.
    """
    found = {}
    for offset, frame in nearby.items():
        if frame is None or (one_shape and frame.shape != picture.shape):
            frame = picture
        found[offset] = frame
    return found


def _as_arrays(kept: Mapping[str, Sequence[Any]]) -> Arrays:
    """What `face_crops` knows of the n kept frames beside their pixels."""
    n = len(kept["slot"])
    arrays: Arrays = {name: np.array(kept[name], dtype=np.int64) for name in ("slot", "number", "view")}
    arrays["shape"] = np.array(kept["shape"], dtype=np.int64).reshape(n, 2)
    arrays["matrix"] = np.array(kept["matrix"], dtype=np.float64).reshape(n, 2, 3)
    arrays["landmarks"] = np.array(kept["landmarks"], dtype=np.float64).reshape(n, 5, 2)
    return arrays


def result_crops(path: Path, target: Arrays, size: int, jitter: bool) -> Arrays:
    """Crops of a manipulated video in the windows of its target's faces, so that both show exactly the same place.

    Args:
        path: The manipulated video.
        target: The result of `face_crops` for the target's video.
        size: Of the crops in pixels.
        jitter: As for `face_crops`.

    Returns:
        ``crops`` (and ``before``, ``after``) and ``there`` bool [n], in the order of the target's kept frames;
        ``skipped`` as for `face_crops`.
    """
    offsets = (-1, 0, 1) if jitter else (0,)
    numbers = [int(number) for number in target["number"]]
    frames = dict(chosen_frames(path, numbers, jitter))
    crops = {CROPS[offset]: np.zeros((len(numbers), 3, size, size), dtype=np.uint8) for offset in offsets}
    there, skipped = np.zeros(len(numbers), dtype=bool), []
    for place, number in enumerate(numbers):
        nearby = _nearby(frames, number, jitter)
        picture, shape = nearby[0], tuple(int(side) for side in target["shape"][place])
        if picture is None:
            skipped.append(f"{number}: {why_unreadable(path, 'cannot be read')}")
        elif picture.shape[:2] != shape:
            skipped.append(f"{number}: is {picture.shape[1]} x {picture.shape[0]}, its target {shape[1]} x {shape[0]}")
        else:
            there[place] = True
            for offset, frame in nearby.items():
                shown = picture if frame is None or frame.shape != picture.shape else frame
                crops[CROPS[offset]][place] = warp(shown, target["matrix"][place], size).transpose(2, 0, 1)
    return {**crops, "there": there, "skipped": np.array(skipped, dtype=np.str_)}


def _nearby(frames: Mapping[int, Pixels | None], number: int, jitter: bool) -> dict[int, Pixels | None]:
    """A frame, with its neighbors if they are wanted, by their offset."""
    return {offset: frames.get(number + offset) for offset in ((-1, 0, 1) if jitter else (0,))}


def file_state(path: Path, numbers: Sequence[int]) -> list[Any]:
    """Path, size and time of a video, or of the used images of a folder, to notice a change."""
    files = [path]
    if path.is_dir():
        names = list_images(path)
        files = [path / names[number] for number in numbers if number < len(names)]
    return [[str(file.resolve()), (stat := file.stat()).st_size, stat.st_mtime_ns] for file in files]


@lru_cache(maxsize=64)
def _crops_of(file: Path, name: str) -> np.ndarray:
    with np.load(file, allow_pickle=False) as stored:
        return stored[name]


def crops_at(files: Sequence[Path], which: np.ndarray, place: np.ndarray, offset: int, device: torch.device) -> Tensor:
    """Images in unit range [B, 3, S, S]: from the files at ``which`` [B], those at ``place`` [B]."""
    made = [_crops_of(files[f], CROPS[offset])[p] for f, p in zip(which, place, strict=True)]
    return pixels.from_uint8(to_device(torch.from_numpy(np.stack(made)), device), "unit")


class VideoFaces:
    """The kept frames of some videos as a `measuring.swappers.FaceSource`: one row per frame, video after video.

    ``person`` is the video's number.

    Args:
        files: The stored results of `face_crops`, one per video.
        template: Of the crops.
        size: Of the crops in pixels.
        parts: Whether the files have the frames around the faces.
    """

    def __init__(self, files: Sequence[Path], template: str, size: int, parts: bool = False) -> None:
        self.files, self.template, self.size, self.parts = list(files), template, size, parts
        stored = [load(file) for file in self.files]
        counts = [len(arrays["slot"]) for arrays in stored]
        self.person = np.repeat(np.arange(len(files)), counts).astype(np.int64)
        self.place = np.concatenate([np.arange(count) for count in counts]) if counts else np.zeros(0, dtype=np.int64)
        self.slot, self.number, self.view, self.landmarks = (
            np.concatenate([arrays[name] for arrays in stored]) for name in ("slot", "number", "view", "landmarks")
        )
        self.skipped = [[str(line) for line in arrays["skipped"]] for arrays in stored]

    def load(self, rows: np.ndarray, device: torch.device, landmarks: bool = False, offset: int = 0) -> Faces:
        """The crops of these rows, ``offset`` frames later."""
        images = crops_at(self.files, self.person[rows], self.place[rows], offset, device)
        points = from_array(self.landmarks[rows], device) if landmarks else None
        photos = None
        if landmarks and self.parts:
            places = zip(self.person[rows], self.place[rows], strict=True)
            photos = tuple(parts_of(self.files[video], offset)[place] for video, place in places)
        return Faces(images, to_device(torch.from_numpy(self.view[rows]), device), points, photos)

    def attribute(self, name: str) -> np.ndarray | None:
        """None: no attribute is known."""
        return None
