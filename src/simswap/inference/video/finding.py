"""First pass over a video: the faces of every frame, kept in files of a few hundred frames each."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from simswap.errors import InputError
from simswap.faces.cuts import FLASH, CutFinder, find_cuts
from simswap.faces.detection import Face, pick_main_face
from simswap.faces.following import Follower, Sighting, Track
from simswap.faces.plausible import landmark_fault
from simswap.files import atomic_write
from simswap.inference.finding import TableFinder
from simswap.inference.swapper import Aligned, PhotoSwapper
from simswap.inference.video.source import Still, VideoSource

CHUNK = 256
"""Frames in one file."""
_OVERLAP = FLASH + 1  # frames before a file's first one that its changes are measured from


@dataclass(frozen=True)
class Found:
    """The faces of up to `CHUNK` successive frames.

    Attributes:
        times: float64 [N] of the frames, s.
        changes: float32 [N, `FLASH` + 1], see `faces.cuts.CutFinder`.
        frame: int64 [F], for each face the place of its frame in the video, counted from the first one kept.
        landmarks: float32 [F, 5, 2] in px.
        side: float32 [F], the shorter side of its box in px.
        main: float32 [F], 1 if it is the main face of its frame, else 0.
        embedding: float32 [F, E] of unit length, NaN where there is none.
    """

    times: npt.NDArray[np.float64]
    changes: npt.NDArray[np.float32]
    frame: npt.NDArray[np.int64]
    landmarks: npt.NDArray[np.float32]
    side: npt.NDArray[np.float32]
    main: npt.NDArray[np.float32]
    embedding: npt.NDArray[np.float32]

    def write(self, file: Path) -> None:
        """Write it as one file, atomically."""
        with atomic_write(file) as part, part.open("wb") as stream:
            np.savez(stream, **vars(self))

    @classmethod
    def read(cls, file: Path) -> "Found":
        """What `write` wrote. Raises InputError if the file is damaged."""
        try:
            with np.load(file) as arrays:
                return cls(**arrays)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(f"{file} is damaged; remove its folder and start again") from error


def find_all(source: VideoSource, swapper: PhotoSwapper, folder: Path, tick: Callable[[int], None]) -> list[Path]:
    """Find the faces of all frames; files that an earlier start has finished are not made again.

    Args:
        source: The video.
        swapper: Its detector finds the faces and its recognizer embeds them.
        folder: Where the files are.
        tick: Called with the number of frames that are done.

    Returns:
        The files, in order. Only the last one holds fewer than `CHUNK` frames, perhaps none.

    Raises:
        InputError: A frame cannot be read.
    """
    files = sorted(folder.glob("found-*.npz"))
    if files and len(Found.read(files[-1]).times) < CHUNK:
        return files
    done = CHUNK * len(files)
    begin = max(0, done - _OVERLAP)
    cuts, chunk = CutFinder(), _Chunk(swapper)
    with closing(source.stills(begin)) as stills:
        for place, still in enumerate(stills, start=begin):
            changes = cuts.add(still.frame.pixels)
            if place < done:
                continue
            chunk.add(place, still, changes)
            if len(chunk.times) == CHUNK:
                files.append(_write(folder, len(files), chunk))
                chunk = _Chunk(swapper)
            tick(place + 1)
    files.append(_write(folder, len(files), chunk))
    return files


def follow(files: Sequence[Path]) -> tuple[list[Track], npt.NDArray[np.float64], list[int]]:
    """The tracks of all faces, the frames' times in seconds [N], and the places of the frames that begin a shot."""
    times, changes = [], []
    for file in files:
        part = Found.read(file)
        times.append(part.times)
        changes.append(part.changes)
    every = np.concatenate(changes)
    shots = find_cuts(every)
    follower, cuts = Follower(), iter([*shots, len(every) + 1])
    next_cut = next(cuts)
    for file in files:
        part = Found.read(file)
        for place in np.unique(part.frame):
            while place >= next_cut:
                follower.cut()
                next_cut = next(cuts)
            rows = np.flatnonzero(part.frame == place)
            follower.add(int(place), [_sighting(part, int(row)) for row in rows])
    return follower.tracks, np.concatenate(times), shots


def _sighting(part: Found, row: int) -> Sighting:
    landmarks = part.landmarks[row].astype(np.float64)
    return Sighting(landmarks, float(part.side[row]), float(part.main[row]), part.embedding[row])


class _Chunk:
    """Collects the faces of a chunk; they are embedded in batches, and their crops are then let go."""

    def __init__(self, swapper: PhotoSwapper) -> None:
        self.swapper = swapper
        self.times: list[float] = []
        self.changes: list[npt.NDArray[np.float32]] = []
        self.rows: list[tuple[int, Face, bool]] = []
        self.embeddings: list[npt.NDArray[np.float32]] = []
        self._waiting: list[Aligned] = []

    def add(self, place: int, still: Still, changes: npt.NDArray[np.float32]) -> None:
        self.times.append(float(still.frame.time))
        self.changes.append(changes)
        seen = still.frame.pixels
        faces = _faces(self.swapper, still)
        main = pick_main_face(faces, seen.shape) if faces else None
        for face in faces:
            self.rows.append((place, face, face is main))
            self._waiting.append(self.swapper.align(seen, face))
        if len(self._waiting) >= self.swapper.batch_size:
            self._embed()

    def found(self) -> Found:
        """All that was added."""
        self._embed()
        count = len(self.rows)
        boxes = np.array([face.box for _, face, _ in self.rows]).reshape(count, 4)
        embeddings = np.concatenate(self.embeddings) if self.embeddings else np.zeros((0, 1))
        return Found(
            np.array(self.times, np.float64),
            np.array(self.changes, np.float32).reshape(-1, _OVERLAP),
            np.array([place for place, _, _ in self.rows], np.int64),
            np.array([face.landmarks for _, face, _ in self.rows], np.float32).reshape(count, 5, 2),
            (boxes[:, 2:] - boxes[:, :2]).min(1).astype(np.float32),
            np.array([is_main for _, _, is_main in self.rows], np.float32),
            embeddings.astype(np.float32),
        )

    def _embed(self) -> None:
        for start in range(0, len(self._waiting), self.swapper.batch_size):
            some = self._waiting[start : start + self.swapper.batch_size]
            with torch.inference_mode():
                self.embeddings.append(self.swapper.identities(some).float().cpu().numpy())
        self._waiting.clear()


def _faces(swapper: PhotoSwapper, still: Still) -> list[Face]:
    """The faces of one frame whose landmarks can be a face's."""
    finder = swapper.find_faces
    if isinstance(finder, TableFinder):
        found = finder.of_frame(still.photo, still.frame.pixels)
    else:
        found = finder(still.photo, still.frame.pixels)
    return [face for face in found if landmark_fault(face.landmarks, still.frame.pixels.shape) is None]


def _write(folder: Path, number: int, chunk: _Chunk) -> Path:
    file = folder / f"found-{number:06d}.npz"
    chunk.found().write(file)
    return file
