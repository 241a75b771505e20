"""Manipulated videos of other methods, cropped exactly where their target videos are."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from simswap.errors import InputError
from simswap.evaluation.disk_work import load, share
from simswap.evaluation.faceforensics_layout import Pair
from simswap.evaluation.frames import VideoFaces, crops_at, file_state, result_crops
from simswap.evaluation.protocol_data import Setting, Skipped
from simswap.measuring.ahead import ahead
from simswap.measuring.gallery import ProtocolPairs
from simswap.measuring.swappers import Faces, PrecomputedSwaps
from simswap.measuring.transfer import Arrays
from simswap.models.described import digest

FORMAT = 1  # increased when crops are made differently, so that cached ones are not used


class Originals(NamedTuple):
    """The original videos: names in natural order, one file of crops per video, and the faces in these files."""

    names: list[str]
    files: list[Path]
    faces: VideoFaces


class Matched(NamedTuple):
    """The pairs that can be measured.

    Attributes:
        videos: (target, source), video pairs with a usable face in both videos.
        of: int64 [pairs of frames], the place in ``videos`` of each pair of frames.
        rows: The pairs of frames, as rows of the originals' faces.
    """

    videos: list[Pair]
    of: np.ndarray
    rows: ProtocolPairs


def manipulated_swaps(
    method: str,
    results: Mapping[str, Path],
    matched: Matched,
    originals: Originals,
    folder: Path,
    setting: Setting,
    jitter: bool,
) -> tuple[PrecomputedSwaps, list[Skipped]]:
    """Crop the manipulated videos of a method in the windows of their targets' faces.

    Args:
        method: The name of its row.
        results: The videos by name, ``<target>_<source>``.
        matched: The pairs to measure.
        originals: The videos of targets and sources.
        folder: Where the crops are kept.
        setting: The evaluation, whose processes share the work.
        jitter: Whether to crop the frames before and after each frame too.

    Returns:
        The swaps, and what is missing.

    Raises:
        InputError: If no video is named after a pair.
    """
    names = ["_".join(pair) for pair in matched.videos]
    lost = [name for name in names if name not in results]
    if len(lost) == len(names):
        raise InputError(f"{method}: no video is named after one of the pairs, such as {names[0]}")
    there = [k for k, name in enumerate(names) if name in results]
    file_of_video = dict(zip(originals.names, originals.files, strict=True))
    targets = [file_of_video[matched.videos[k][0]] for k in there]
    states = [
        [FORMAT, file_state(results[names[k]], load(target)["number"].tolist()), target.stem]
        for k, target in zip(there, targets, strict=True)
    ]
    files = [folder / "frames" / f"{digest(state)}.npz" for state in states]

    def make(place: int) -> Arrays:
        return result_crops(results[names[there[place]]], load(targets[place]), originals.faces.size, jitter)

    share(files, lambda places: ahead(make, places, setting.workers), setting.ranks, f"reading {method}", "video")
    skipped = [Skipped(f"{method}, video {name}", "is not there") for name in lost]
    found, file_of = np.zeros(len(matched.of), dtype=bool), np.zeros(len(matched.of), dtype=np.int64)
    for number, (k, file) in enumerate(zip(there, files, strict=True)):
        arrays = load(file)
        found[matched.of == k], file_of[matched.of == k] = arrays["there"], number
        skipped += [
            Skipped(f"{method}, video {names[k]}, frame {str(line).split(': ')[0]}", str(line).split(": ", 1)[1])
            for line in arrays["skipped"]
        ]
    read = _reader(originals.faces, matched.rows.target, files, found, file_of)
    return PrecomputedSwaps(method, read, key=digest(states)), skipped


def _reader(
    faces: VideoFaces, target: np.ndarray, files: Sequence[Path], found: np.ndarray, file_of: np.ndarray
) -> Callable[[np.ndarray, int, torch.device], tuple[Faces, Tensor]]:
    """What loads a method's results for some pairs of frames.

    target: int64 [pairs], rows of faces. found: bool [pairs], whether there is a result. file_of: int64 [pairs], the
    place of its file in ``files``.
    """

    def read(places: np.ndarray, offset: int, device: torch.device) -> tuple[Faces, Tensor]:
        targets, here = target[places], np.flatnonzero(found[places])
        images = torch.zeros(len(places), 3, faces.size, faces.size, device=device)
        if len(here):
            images[here] = crops_at(files, file_of[places[here]], faces.place[targets[here]], offset, device)
        view = torch.from_numpy(faces.view[targets]).to(device)
        return Faces(images, view), torch.from_numpy(found[places]).to(device)

    return read
