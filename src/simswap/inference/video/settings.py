"""The settings of a video's swap."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from simswap.errors import InputError


@dataclass(frozen=True)
class VideoSettings:
    """What is swapped of a video, and how it is written.

    Attributes:
        faces: ``largest`` (one face at a time) or ``all``; without effect where persons are given.
        threshold: Lowest cosine of a face, over all of its frames, and a given person.
        mark: Whether frames with a swapped face get the visible mark.
        start: Seconds since the first frame; what is before is left out.
        end: Likewise, what is after is left out; None for the end of the video.
        every: Only every n-th frame is kept.
        codec: A name of `video.containers.CODECS`.
        quality: 0 to 100.
        rate: Frames per second of a folder of frames, 0.1 to 1000.
        smoothing: Standard deviation in seconds of the weights with which landmarks are smoothed; 0 for none.
        gap: The longest time in seconds on which a face that was lost is filled in.

    Raises:
        InputError: A value is out of its range.
    """

    faces: str = "largest"
    threshold: float = 0.3
    mark: bool = True
    start: float | None = None
    end: float | None = None
    every: int = 1
    codec: str = "h264"
    quality: float = 75
    rate: float = 25
    smoothing: float = 0.1
    gap: float = 0.4

    def __post_init__(self) -> None:
        if self.faces not in ("largest", "all"):
            raise InputError(f"faces={self.faces}: choose largest or all")
        for name, low in (("smoothing", 0), ("gap", 0), ("start", 0), ("end", 0), ("every", 1)):
            value = getattr(self, name)
            if value is not None and not value >= low:
                raise InputError(f"video.{name}={value}: at least {low}")
        if not 0.1 <= self.rate <= 1000:
            raise InputError(f"video.rate={self.rate}: 0.1 to 1000")
        if self.end is not None and self.end <= (self.start or 0):
            raise InputError(f"video.end={self.end} must be after video.start={self.start or 0}")


@dataclass(frozen=True)
class Cast:
    """Who replaces whom.

    Attributes:
        sources: Photos of the source identities: one, or one for each of the persons.
        persons: Photos of persons in the video; empty if every chosen face counts.
        source_face: ``only`` if a source photo must show one face, ``largest`` for its main face.
    """

    sources: Sequence[Path]
    persons: Sequence[Path] = ()
    source_face: str = "only"
