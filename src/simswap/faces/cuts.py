"""Cuts in a video: where one shot ends and the next begins.

Each frame becomes a small picture and a histogram of its colors. How far two frames differ is the geometric mean of two
distances: one minus the correlation of the small pictures, which a change of brightness leaves alone, and the share of
the histogram that differs, which motion leaves nearly alone. A cut is a difference that is large and stands out from
those around it. A flash of a frame or two, after which the picture is as before, is no cut.
"""

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from simswap.faces.detection import Pixels

LEAST = 0.25
"""The smallest difference of a cut. Two unrelated pictures differ by 0.5 to 1, neighbors in a shot by below 0.1."""
STANDS_OUT = 3.0
"""How many times as large as the median of the differences around it."""
AROUND = 8
"""Frames on either side that the median is taken of."""
FLASH = 2
"""The longest flash, in frames."""
_SIZE = (32, 18)  # width and height of the small picture
_BINS = 4  # of each channel
_FLAT = 4.0  # gray levels; a picture with less deviation is taken as flat, so that its noise does not count


@dataclass(frozen=True)
class _Look:
    gray: npt.NDArray[np.float32]  # [H * W], mean 0, deviation 1
    colors: npt.NDArray[np.float32]  # [bins], sum 1


class CutFinder:
    """Takes the frames of a video one by one, and says how each differs from those before."""

    def __init__(self) -> None:
        self._before: deque[_Look] = deque(maxlen=FLASH + 1)

    def add(self, frame: Pixels) -> npt.NDArray[np.float32]:
        """Add the next frame, uint8 [H, W, 3] RGB.

        Returns:
            Its differences from the frames 1, 2, … `FLASH` + 1 before it, NaN before the start.
        """
        look = _look(frame)
        row = np.full(FLASH + 1, np.nan, np.float32)
        for back, earlier in enumerate(reversed(self._before)):
            row[back] = _difference(earlier, look)
        self._before.append(look)
        return row


def find_cuts(changes: npt.NDArray[np.float32]) -> list[int]:
    """The frames that begin a new shot, without the first frame of the video.

    Args:
        changes: [N, `FLASH` + 1], the rows of `CutFinder.add`.
    """
    count = len(changes)
    step = changes[:, 0]
    found = []
    for frame in range(1, count):
        if not step[frame] >= LEAST:
            continue
        around = np.concatenate([step[max(1, frame - AROUND) : frame], step[frame + 1 : frame + 1 + AROUND]])
        if len(around) and step[frame] < STANDS_OUT * float(np.median(around)):
            continue
        if not _is_flash(changes, frame):
            found.append(frame)
    return found


def _is_flash(changes: npt.NDArray[np.float32], frame: int) -> bool:
    """Whether a frame near this one is like the one before the change, so that the picture came back."""
    for back in range(1, changes.shape[1]):  # frame k against frame k - back - 1
        for last in range(frame, frame + back + 1):
            if last < len(changes) and changes[last, back] < LEAST / 2 and last - back - 1 < frame <= last:
                return True
    return False


def _look(frame: Pixels) -> _Look:
    small = np.asarray(cv2.resize(frame, _SIZE, interpolation=cv2.INTER_AREA), np.uint8)
    gray = small.astype(np.float32).mean(2).reshape(-1)
    gray = ((gray - gray.mean()) / max(float(gray.std()), _FLAT)).astype(np.float32)
    cells = (small // (256 // _BINS)).reshape(-1, 3).astype(np.int64) @ np.array([_BINS**2, _BINS, 1])
    colors = (np.bincount(cells, minlength=_BINS**3) / len(cells)).astype(np.float32)
    return _Look(gray, colors)


def _difference(one: _Look, other: _Look) -> float:
    """From 0 (alike) to about 1 (unrelated)."""
    # Half the mean squared difference of standardized values is one minus their correlation.
    unlike = float(((one.gray - other.gray) ** 2).mean()) / 2
    return float(np.sqrt(unlike * np.abs(one.colors - other.colors).sum() / 2))
