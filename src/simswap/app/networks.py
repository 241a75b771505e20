"""The checkpoints at work behind the page, each loaded once, with their judge and pose estimator."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from simswap import checkpoint
from simswap.checkpoint import SwapCheckpoint
from simswap.evaluation.trained_by import loss_recognizers, part_in_training
from simswap.faces.paste import PasteSettings
from simswap.files import sha256_of
from simswap.inference.photos import Photo
from simswap.inference.swapper import Aligned, Finder, PhotoSwapper, embedder_of
from simswap.models.embedder import Embedder
from simswap.models.pose import PoseEstimator
from simswap.models.recognition import Recognizer
from simswap.models.recorded import recognizer_of

MOST = 3
"""Checkpoints held in memory; the one that was used longest ago goes first, never the page's own."""
MOST_PHOTOS = 16
"""Photos whose faces are remembered."""


@dataclass(frozen=True)
class Opened:
    """A checkpoint ready for swaps.

    Attributes:
        trained: The checkpoint.
        swapper: It, at work on photos.
        judge: Measures identity on its crops.
        judge_name: Of the judge, for the page.
        independent: Whether the judge had no part in the checkpoint's training (`evaluation.trained_by`).
        pose: Measures the head pose.
    """

    trained: SwapCheckpoint
    swapper: PhotoSwapper
    judge: Embedder
    judge_name: str
    independent: bool
    pose: PoseEstimator


@dataclass(frozen=True)
class Settings:
    """How checkpoints are opened.

    Attributes:
        find_faces: See `PhotoSwapper`.
        judge: The judge for a checkpoint's config; None where it has none, and its recognizer judges.
        pose: The pose estimator for a checkpoint's config.
        recognition_path: Where the recognizer's file is now; None for where the checkpoint says.
        min_face: px, see `PhotoSwapper`.
        batch_size: Crops at a time.
        device: Where networks run.
        paste: Settings of the paste that the page starts with.
    """

    find_faces: Finder
    judge: Callable[[dict[str, Any]], Recognizer | None]
    pose: Callable[[dict[str, Any]], PoseEstimator]
    recognition_path: str | None
    min_face: float
    batch_size: int
    device: torch.device
    paste: PasteSettings


class Networks:
    """Checkpoints by path, each loaded when it is first used.

    Args:
        main: The page's own checkpoint, loaded at once and kept.
        settings: How it and others are opened.

    Raises:
        InputError: The checkpoint, its recognizer, judge or pose estimator cannot be used.
    """

    def __init__(self, main: Path, settings: Settings) -> None:
        self.settings = settings
        self.work = threading.Lock()
        """Held while networks compute: two swaps at once would take each other's cores."""
        self._lock, self._opened = threading.Lock(), OrderedDict[Path, Opened]()
        self._faces = OrderedDict[tuple[str, str], list[Aligned]]()
        self._main = main.resolve()
        self.main = self.open(main)

    def open(self, path: Path) -> Opened:
        """The checkpoint of this path; raises InputError as the constructor."""
        key = path.resolve()
        with self._lock:
            if key not in self._opened:
                self._opened[key] = _open(path, self.settings)
            self._opened.move_to_end(key)
            if len(self._opened) > MOST:
                del self._opened[next(other for other in self._opened if other != self._main)]
            return self._opened[key]

    def faces(self, opened: Opened, photo: Photo) -> list[Aligned]:
        """`PhotoSwapper.find`, remembered for the last photos: the page asks again when it swaps."""
        key = (opened.trained.sha256, sha256_of(photo.path))
        with self._lock:
            found = self._faces.get(key)
        if found is None:
            found = opened.swapper.find(photo)
            with self._lock:
                self._faces[key] = found
                while len(self._faces) > MOST_PHOTOS:
                    self._faces.popitem(last=False)
        return found


def _open(path: Path, settings: Settings) -> Opened:
    trained = checkpoint.load(path)
    trained.check_finite()
    config = trained.description["config"]
    recognizer = recognizer_of(config, settings.recognition_path)
    embedder = embedder_of(trained, recognizer)
    swapper = PhotoSwapper(
        trained,
        embedder,
        settings.find_faces,
        settings.paste,
        settings.min_face,
        settings.batch_size,
        settings.device,
    )
    judge = settings.judge(config) or recognizer
    return Opened(
        trained,
        swapper,
        Embedder(judge, trained.template, trained.image_size),
        judge.name,
        not part_in_training(judge, recognizer, loss_recognizers([trained]))["same_network"],
        settings.pose(config),
    )
