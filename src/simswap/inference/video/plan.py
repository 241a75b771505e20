"""Which faces of a video are swapped, by whom, and where their landmarks are on each frame."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simswap.errors import InputError
from simswap.faces.following import Track, face_size
from simswap.faces.smoothing import fill_gaps, steady
from simswap.inference.video.settings import VideoSettings

SHORTEST = 3
"""A face that is found on fewer frames is no face (all frames of a shot that is shorter)."""
JUMP = 1.0
"""A step from frame to frame of more than this, in sizes of the face, is no motion: nothing is smoothed across it."""
_BUCKET = 256  # frames; stretches are looked up by it


@dataclass(frozen=True)
class Stretch:
    """A face over successive frames.

    Attributes:
        begin: The place of the first frame in the video.
        landmarks: float32 [N, 5, 2] in px, one for each frame.
        source: The number of the source that replaces it.
    """

    begin: int
    landmarks: npt.NDArray[np.float32]
    source: int


class Plan:
    """The stretches of a video by frame.

    Attributes:
        stretches: Of the whole video.
        times: float64 [N] of its frames, s.
        shots: How many shots there are.
    """

    def __init__(self, stretches: Sequence[Stretch], times: npt.NDArray[np.float64], shots: int = 1) -> None:
        self.stretches, self.times, self.shots = stretches, times, shots
        self._buckets: dict[int, list[Stretch]] = defaultdict(list)
        for stretch in stretches:
            last = stretch.begin + len(stretch.landmarks) - 1
            for bucket in range(stretch.begin // _BUCKET, last // _BUCKET + 1):
                self._buckets[bucket].append(stretch)

    def at(self, place: int) -> list[tuple[npt.NDArray[np.float64], int]]:
        """Landmarks [5, 2] and source of each face on a frame."""
        return [
            (stretch.landmarks[place - stretch.begin].astype(np.float64), stretch.source)
            for stretch in self._buckets.get(place // _BUCKET, ())
            if 0 <= place - stretch.begin < len(stretch.landmarks)
        ]

    @property
    def swapped(self) -> int:
        """On how many frames there is a face."""
        covered: set[int] = set()
        for stretch in self.stretches:
            covered.update(range(stretch.begin, stretch.begin + len(stretch.landmarks)))
        return len(covered)


def usable_tracks(
    tracks: Sequence[Track], shots: Sequence[int], frames: int, min_face: float, where: str
) -> list[Track]:
    """The tracks that are long and large enough.

    Args:
        tracks: Of the video.
        shots: The places of the frames that begin a shot.
        frames: Of the video.
        min_face: The smallest face, by the median over its frames of the shorter side of its box, px.
        where: The video, for messages.

    Raises:
        InputError: There is none.
    """
    if not tracks:
        raise InputError(f"{where}: no face found in it; turn it upright, or try another detector or detector.size")
    ends = [0, *shots, frames]
    longer = [track for track in tracks if len(track.frames) >= min(SHORTEST, _length(ends, track.shot))]
    if not longer:
        raise InputError(f"{where}: no face is found on {SHORTEST} frames; try another detector or detector.size")
    large = [track for track in longer if np.median(track.sides) >= min_face]
    if not large:
        side = max(float(np.median(track.sides)) for track in longer)
        raise InputError(
            f"{where}: its largest face is {side:.0f} px wide, less than min_face={min_face:g}; lower min_face"
        )
    return large


def cast_largest(tracks: Sequence[Track]) -> list[tuple[Track, int]]:
    """The main faces of a video, at most one at a time: source 0 for each.

    The track that is the main face on the most frames comes first; further tracks follow in that order if they are at
    no time beside one that was taken.
    """
    taken: list[Track] = []
    for track in sorted(tracks, key=lambda one: -one.value):
        if track.value > 0 and not any(track.overlaps(other) for other in taken):
            taken.append(track)
    return [(track, 0) for track in taken]


def cast_persons(
    tracks: Sequence[Track], persons: npt.NDArray[np.float64], threshold: float, where: str
) -> list[tuple[Track, int]]:
    """The tracks that show a given person, decided by the mean embedding over all frames of each.

    The most alike pair comes first. A person is at no time in two places: a track is not taken for a person who was
    found in another one at the same time.

    Args:
        tracks: Of the video.
        persons: Identity embeddings [M, E] of unit length.
        threshold: The lowest cosine.
        where: The video, for messages.

    Returns:
        Tracks, and the number of the person of each.

    Raises:
        InputError: No track is like any person.
    """
    pairs = []
    for number, track in enumerate(tracks):
        identity = track.identity
        if identity is not None:
            pairs += [(float(cosine), number, person) for person, cosine in enumerate(persons @ identity)]
    pairs.sort(key=lambda pair: -pair[0])
    taken: dict[int, int] = {}
    for cosine, number, person in pairs:
        others = [tracks[other] for other, of in taken.items() if of == person]
        if cosine >= threshold and number not in taken and not any(tracks[number].overlaps(one) for one in others):
            taken[number] = person
    if not taken:
        best = f"cosine at most {pairs[0][0]:.2f}, " if pairs else ""
        raise InputError(
            f"{where}: nobody there is like the given person ({best}threshold {threshold:g}); give another photo of "
            "the person, or lower threshold"
        )
    return [(tracks[number], person) for number, person in sorted(taken.items())]


def stretches_of(
    cast: Sequence[tuple[Track, int]], times: npt.NDArray[np.float64], settings: VideoSettings
) -> list[Stretch]:
    """Fill gaps and smooth the landmarks of the chosen tracks.

    Args:
        cast: Tracks and the source of each.
        times: [N] of all frames, s.
        settings: `smoothing` and `gap`.
    """
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    longest = int(settings.gap / step + 1e-6)
    made = []
    for track, source in cast:
        frames, points = np.array(track.frames), np.stack(track.landmarks).astype(np.float64)
        for part in np.split(np.arange(len(frames)), _jumps(frames, points)):
            for numbers, filled in fill_gaps(frames[part], points[part], longest):
                smoothed = steady(times[numbers], filled, settings.smoothing)
                made.append(Stretch(int(numbers[0]), smoothed.astype(np.float32), source))
    return sorted(made, key=lambda stretch: stretch.begin)


def _jumps(frames: npt.NDArray[np.int64], points: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The sightings that begin after a jump."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=2).mean(1) / np.diff(frames)
    sizes = np.array([face_size(one) for one in points[:-1]])
    return np.flatnonzero(steps > JUMP * np.maximum(sizes, 1.0)) + 1


def _length(ends: Sequence[int], shot: int) -> int:
    return ends[shot + 1] - ends[shot]
