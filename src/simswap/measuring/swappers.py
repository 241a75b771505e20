"""Faces, what swaps them, and the two controls that every measurement is read beside."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from simswap import pixels
from simswap.data.datamodule import SwapDataModule
from simswap.data.manifest import ATTRIBUTES_FILE
from simswap.errors import InputError
from simswap.measuring.usable import is_direction, is_picture
from simswap.models.embedder import Embedder
from simswap.models.generator import Generator
from simswap.precision import from_array


class Faces(NamedTuple):
    """A batch of crops: images [B, 3, S, S] in unit range and their template's views int64 [B].

    landmarks: [B, 5, 2] in px of the crops (eyes, nose, mouth corners), for swappers that ask for them.
    """

    images: Tensor
    view: Tensor
    landmarks: Tensor | None = None


class FaceSource(Protocol):
    """Aligned crops by row: ``template``, ``size`` in px, ``person`` int64 [rows]."""

    template: str
    size: int
    person: np.ndarray

    def load(self, rows: np.ndarray, device: torch.device, landmarks: bool = False, offset: int = 0) -> Faces:
        """The crops of these rows, of videos the same window ``offset`` frames later (-1, 0 or 1)."""

    def attribute(self, name: str) -> np.ndarray | None:
        """What is true of every row, float64 [rows], where it is known."""


@dataclass(frozen=True)
class Swapper:
    """Something that swaps: ``swap(target, source)`` gives the result; kind: trained, shipped, control or other.

    landmarks: whether it asks for the faces' landmarks. key: tells it from others of its name (a file's hash).
    """

    name: str
    kind: str
    swap: Callable[[Faces, Faces], Faces]
    landmarks: bool = False
    key: str = ""


@dataclass(frozen=True)
class PrecomputedSwaps:
    """Swaps that somebody made: ``load(places, offset, device)`` gives those of the pairs at these places, and which
    of them are there (bool [B]); the others' pictures count for nothing."""

    name: str
    load: Callable[[np.ndarray, int, torch.device], tuple[Faces, Tensor]]
    kind: str = "other"
    key: str = ""


# The two controls: any figure is worth what it is above them.
DO_NOTHING = Swapper("do_nothing", "control", lambda target, source: target)
COPY_SOURCE = Swapper("copy_source", "control", lambda target, source: source)


class PreparedFaces:
    """The crops of a prepared folder as a `FaceSource`."""

    def __init__(self, data: SwapDataModule) -> None:
        self.data, self.template, self.size = data, data.manifest.template, data.size
        self.person = data.manifest.person.astype(np.int64)

    def load(self, rows: np.ndarray, device: torch.device, landmarks: bool = False, offset: int = 0) -> Faces:
        if offset:
            raise ValueError("photographs have no frames before and after them")
        return load_faces(self.data, rows, device, landmarks)

    @cached_property
    def _table(self) -> dict[str, np.ndarray]:
        table = self.data.manifest.attributes()
        return {} if table is None else {name: table[name].to_numpy() for name in table.column_names}

    def attribute(self, name: str) -> np.ndarray | None:
        if name not in self._table:
            return None
        try:
            return self._table[name].astype(np.float64)
        except ValueError as error:
            raise InputError(
                f"{self.data.manifest.root / ATTRIBUTES_FILE}: the column {name} holds text where numbers "
                f"are needed ({error})"
            ) from error


def load_faces(data: SwapDataModule, rows: np.ndarray, device: torch.device, landmarks: bool = False) -> Faces:
    """The crops of these manifest rows, not augmented, on the device; with the manifest's landmarks if asked for."""
    view = torch.from_numpy(data.manifest.view[rows].astype(np.int64))
    points = from_array(data.manifest.crop_landmarks(rows, data.size), device) if landmarks else None
    return Faces(pixels.from_uint8(data.load(rows).to(device), "unit"), view.to(device), points)


def swap_faces(generator: Generator, embedder: Embedder, target: Faces, source: Faces) -> Faces:
    """A generator's swap of pictures in unit range, in the targets' views: what is validated, sampled and evaluated.

    A swap that cannot be made (a result that is not finite, a source that cannot be embedded) is NaN all over.
    """
    identity = embedder.identity(source.images, source.view)
    result = generator(pixels.to_range(target.images, generator.pixel_range), identity)
    # Clamping would make white of an infinity, and a source without an identity would still give a picture.
    usable = is_picture(result) & is_direction(identity)
    images = pixels.to_unit(result, generator.pixel_range).clamp(0, 1)
    return Faces(images.masked_fill(~usable.view(-1, 1, 1, 1), torch.nan), target.view)
