"""Faces, swappers, and the two controls that every measurement is compared with."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from simswap import pixels
from simswap.data.manifest import ATTRIBUTES_FILE
from simswap.errors import InputError
from simswap.faces.photo_part import PhotoPart
from simswap.measuring.transfer import to_device
from simswap.measuring.usable import is_direction, is_picture
from simswap.models.embedder import Embedder
from simswap.models.generator import Generator
from simswap.precision import from_array

if TYPE_CHECKING:  # a swap of photos needs no Lightning
    from simswap.data.datamodule import SwapDataModule


class Faces(NamedTuple):
    """A batch of crops.

    Attributes:
        images: Float [B, 3, S, S] in unit range.
        view: int64 [B], the view of the crops' template.
        landmarks: [B, 5, 2] in pixels of the crop (eyes, nose, mouth corners), for swappers that need them.
        photos: The B photos around the faces, for swappers that paste into them (`measuring.window`).
    """

    images: Tensor
    view: Tensor
    landmarks: Tensor | None = None
    photos: tuple[PhotoPart, ...] | None = None

    def at(self, places: Sequence[int]) -> "Faces":
        """The faces at these places, in their order; a place may be there more than once."""
        chosen = list(places)
        landmarks = None if self.landmarks is None else self.landmarks[chosen]
        photos = None if self.photos is None else tuple(self.photos[place] for place in chosen)
        return Faces(self.images[chosen], self.view[chosen], landmarks, photos)


class FaceSource(Protocol):
    """Aligned crops by row, with their ``template``, their ``size`` in pixels and the ``person`` int64 [rows]."""

    template: str
    size: int
    person: np.ndarray

    def load(self, rows: np.ndarray, device: torch.device, landmarks: bool = False, offset: int = 0) -> Faces:
        """The crops of these rows; for videos, the same window ``offset`` frames later (-1, 0 or 1).

        With ``landmarks``, what swappers need beside crops: landmarks, and photos where a window of them is measured.
        """

    def attribute(self, name: str) -> np.ndarray | None:
        """An attribute of every row, float64 [rows]; None if it is unknown."""


@dataclass(frozen=True)
class Swapper:
    """A swapping method.

    Attributes:
        name: Its name in tables.
        kind: ``trained``, ``shipped``, ``control`` or ``other``.
        swap: (target, source) → result.
        landmarks: Whether it needs the faces' landmarks, or photos.
        key: Distinguishes it from others with its name, such as a file's hash.
        crop: Size and template of the crops that it swaps, where something else is measured.
    """

    name: str
    kind: str
    swap: Callable[[Faces, Faces], Faces]
    landmarks: bool = False
    key: str = ""
    crop: str = ""


@dataclass(frozen=True)
class PrecomputedSwaps:
    """Swaps that were made elsewhere.

    Attributes:
        name: Its name in tables.
        load: (places [B], offset in frames, device) → results of the pairs at these places, and bool [B], which of
            them exist; the images of the others are ignored.
        kind: As for `Swapper`.
        key: As for `Swapper`.
    """

    name: str
    load: Callable[[np.ndarray, int, torch.device], tuple[Faces, Tensor]]
    kind: str = "other"
    key: str = ""


# The two controls: a figure only means something in comparison with them.
DO_NOTHING = Swapper("do_nothing", "control", lambda target, source: target)
COPY_SOURCE = Swapper("copy_source", "control", lambda target, source: source)


class PreparedFaces:
    """The crops of a prepared folder as a `FaceSource`.

    Args:
        data: The prepared folder.
        keep_mb: Decoded crops up to so many units of 2**20 bytes are kept: each swapper asks for the same ones.
    """

    def __init__(self, data: "SwapDataModule", keep_mb: int = 0) -> None:
        self.data, self.template, self.size = data, data.manifest.template, data.size
        self._kept: dict[int, Tensor] = {}
        self._room = keep_mb * 2**20 // (3 * data.size**2)
        self.person = data.manifest.person.astype(np.int64)

    def load(self, rows: np.ndarray, device: torch.device, landmarks: bool = False, offset: int = 0) -> Faces:
        """The crops of these rows. Raises ValueError for an offset, because photographs have no other frames."""
        if offset:
            raise ValueError("photographs have no frames before and after them")
        return faces_of(self.data, rows, self._crops(rows), device, landmarks)

    def _crops(self, rows: np.ndarray) -> Tensor:
        if self._room == 0:
            return self.data.load(rows)
        crops = []
        for row in rows.tolist():
            crop = self._kept.get(row)
            if crop is None:
                crop = self.data.load([row])[0]
                if len(self._kept) < self._room:
                    self._kept[row] = crop
            crops.append(crop)
        return torch.stack(crops)

    @cached_property
    def _table(self) -> dict[str, np.ndarray]:
        table = self.data.manifest.attributes()
        return {} if table is None else {name: table[name].to_numpy() for name in table.column_names}

    def attribute(self, name: str) -> np.ndarray | None:
        """A column of attributes.csv, float64 [rows]; None without it. Raises InputError for text."""
        if name not in self._table:
            return None
        try:
            return self._table[name].astype(np.float64)
        except ValueError as error:
            raise InputError(
                f"{self.data.manifest.root / ATTRIBUTES_FILE}: the column {name} contains text instead "
                f"of numbers ({error})"
            ) from error


def load_faces(data: "SwapDataModule", rows: np.ndarray, device: torch.device, landmarks: bool = False) -> Faces:
    """The crops of these manifest rows on the device, not augmented; with the manifest's landmarks if asked for."""
    return faces_of(data, rows, data.load(rows), device, landmarks)


def faces_of(
    data: "SwapDataModule", rows: np.ndarray, crops: Tensor, device: torch.device, landmarks: bool = False
) -> Faces:
    """Crops that were read, uint8 [n, 3, S, S], as faces on the device; see `load_faces`."""
    view = torch.from_numpy(data.manifest.view[rows].astype(np.int64))
    points = from_array(data.manifest.crop_landmarks(rows, data.size), device) if landmarks else None
    return Faces(pixels.from_uint8(to_device(crops, device), "unit"), to_device(view, device), points)


def swap_faces(
    generator: Generator, embedder: Embedder, target: Faces, source: Faces, dtype: torch.dtype | None = None
) -> Faces:
    """Swap with a generator: what validation, sample grids and evaluations measure and show.

    A failed swap (a result that is not finite, a source that cannot be embedded) is NaN everywhere.

    Args:
        generator: The generator, in any pixel range.
        embedder: Computes the sources' identity embeddings.
        target: B faces in unit range.
        source: B faces in unit range.
        dtype: Of the generator's products, by autocast; None leaves the precision to the caller.

    Returns:
        B results in unit range, in the targets' views.
    """
    return swap_identities(generator, target, embedder.identity(source.images, source.view), dtype)


def swap_identities(generator: Generator, target: Faces, identity: Tensor, dtype: torch.dtype | None = None) -> Faces:
    """As `swap_faces`, with the sources' identity embeddings [B, E]."""
    with nullcontext() if dtype is None else torch.autocast(target.images.device.type, dtype):
        result = generator(pixels.to_range(target.images, generator.pixel_range), identity)
    result = result if dtype is None else result.float()
    # Clamping would turn an infinity into white, and a source without an embedding would still give an image.
    usable = is_picture(result) & is_direction(identity)
    images = pixels.to_unit(result, generator.pixel_range).clamp(0, 1)
    return Faces(images.masked_fill(~usable.view(-1, 1, 1, 1), torch.nan), target.view)
