"""Faces of a video followed over time: which detections on successive frames are one face.

Each frame's detections are assigned to the known tracks at once (Hungarian method), by the distance of the landmarks
and the cosine of the identity embeddings. A face that is lost is found again by its identity, anywhere in the shot. A
cut ends every track; who is the same person in several shots is decided by the tracks' mean embeddings.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

FloatArray = npt.NDArray[np.float64]

GATE = 1.2
"""How far a face moves from one sighting to the next at most, in sizes of the face (`face_size`)."""
GATE_GROWTH = 0.15
"""How much further for each frame in between on which it was not found."""
WORST = 1.5
"""Distance as a share of the gate, plus one minus the cosine: a pair of a larger sum is not one face."""
SAME_PERSON = 0.4
"""The cosine from which a face that was lost counts as found again. Recognizers give strangers about 0."""
LOST = 12
"""After so many frames, a face's place says nothing more, and its identity alone counts."""
UNKNOWN = 0.5
"""The cosine of a face that the recognizer cannot embed."""
TWICE = 0.3
"""Two detections nearer than this, in sizes of the face, are one face, found twice."""


@dataclass(frozen=True)
class Sighting:
    """A face on one frame.

    Attributes:
        landmarks: [5, 2] in px of the frame.
        side: The shorter side of the face's box, px.
        value: 1 if it is the main face of its frame, else 0.
        embedding: Float [E] of unit length; NaN if there is none.
    """

    landmarks: FloatArray
    side: float
    value: float
    embedding: npt.NDArray[np.float32]


@dataclass
class Track:
    """One face over the frames of one shot.

    Attributes:
        shot: The number of the shot, from 0.
        frames: Ascending numbers of the frames on which it was found.
        landmarks: For each of them float32 [5, 2] in px.
        sides: For each of them the shorter side of the face's box in px.
        value: On how many frames it is the main face.
        total: The sum of its embeddings [E].
    """

    shot: int
    frames: list[int] = field(default_factory=list)
    landmarks: list[npt.NDArray[np.float32]] = field(default_factory=list)
    sides: list[float] = field(default_factory=list)
    value: float = 0.0
    total: npt.NDArray[np.float64] | None = None

    def add(self, frame: int, seen: Sighting) -> None:
        """Add a sighting on a later frame."""
        self.frames.append(frame)
        self.landmarks.append(seen.landmarks.astype(np.float32))
        self.sides.append(seen.side)
        self.value += seen.value
        if np.isfinite(seen.embedding).all():
            self.total = seen.embedding.astype(np.float64) + (0 if self.total is None else self.total)

    @property
    def identity(self) -> FloatArray | None:
        """The mean embedding at unit length [E]; None if no sighting has one."""
        length = 0.0 if self.total is None else float(np.linalg.norm(self.total))
        return None if self.total is None or length == 0 else self.total / length

    def overlaps(self, other: "Track") -> bool:
        """Whether there is a time between first and last sighting of both, so that they cannot be one face."""
        return self.frames[0] <= other.frames[-1] and other.frames[0] <= self.frames[-1]

    def expected(self, frame: int) -> FloatArray:
        """Where its landmarks are if it moves on as between its last two sightings, for a few frames at most."""
        last = self.landmarks[-1].astype(np.float64)
        if len(self.frames) < 2 or self.frames[-1] - self.frames[-2] > LOST:
            return last
        step = (last - self.landmarks[-2]).mean(0) / (self.frames[-1] - self.frames[-2])
        return last + step * min(frame - self.frames[-1], 3)


class Follower:
    """Takes the frames of a video in order and builds the tracks; it keeps one embedding for each track."""

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self._shot = 0
        self._begin = 0  # place in `tracks` of the first one of this shot

    def cut(self) -> None:
        """The next frame begins a new shot."""
        self._shot += 1
        self._begin = len(self.tracks)

    def add(self, frame: int, faces: Sequence[Sighting]) -> None:
        """Add a frame's faces, in any order; frames without one need not be added."""
        faces = _once(faces)
        known = self.tracks[self._begin :]
        left = set(range(len(faces)))
        if known and faces:
            cost = np.array([[_cost(track, frame, seen) for seen in faces] for track in known])
            for row, column in zip(*linear_sum_assignment(np.minimum(cost, 1e3)), strict=True):
                if cost[row, column] <= WORST:
                    known[row].add(frame, faces[column])
                    left.discard(int(column))
        for place in sorted(left):
            track = Track(self._shot)
            track.add(frame, faces[place])
            self.tracks.append(track)


def face_size(landmarks: FloatArray) -> float:
    """The size of a face in px by its landmarks: about the distance of the eyes in a frontal face.

    It is 1.5 times the root mean square distance of the five points from their center.
    """
    return float(1.5 * np.sqrt(((landmarks - landmarks.mean(0)) ** 2).sum(1).mean()))


def _cost(track: Track, frame: int, seen: Sighting) -> float:
    """How unlikely it is that this is the track's face; infinite if it cannot be."""
    own, cosine = track.identity, UNKNOWN
    if own is not None and np.isfinite(seen.embedding).all():
        cosine = float(own @ seen.embedding)
    missing = frame - track.frames[-1] - 1
    apart = np.linalg.norm(track.expected(frame) - seen.landmarks, axis=1).mean()
    gate = (GATE + GATE_GROWTH * missing) * max(face_size(track.landmarks[-1].astype(np.float64)), 1.0)
    if missing <= LOST and apart <= gate:
        return float(apart / gate) + 1 - cosine
    # Lost for long, or elsewhere: identity alone, and after whatever fits by its place.
    return WORST - 0.1 * cosine if cosine >= SAME_PERSON else np.inf


def _once(faces: Sequence[Sighting]) -> list[Sighting]:
    """The faces without those that were found twice; the one with the larger box stays."""
    kept: list[Sighting] = []
    for seen in sorted(faces, key=lambda one: -one.side):
        size = face_size(seen.landmarks)
        if all(np.linalg.norm(seen.landmarks - one.landmarks, axis=1).mean() > TWICE * size for one in kept):
            kept.append(seen)
    return kept
