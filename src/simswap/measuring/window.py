"""The measuring window: results in their photos, measured on one window that no generator's crop decides.

A result is pasted back into the photo or frame of its target, as `simswap-swap` does it. Then the window, a crop of
``measure.template`` and ``measure.size``, is cut by the target's landmarks. Gallery, sources and targets are cut the
same way, each by its own landmarks. So generators of different templates and sizes are measured on the same window, and
so are swaps that somebody else made.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

from simswap import pixels
from simswap.errors import InputError
from simswap.faces.alignment import TEMPLATES, Alignment, align, apply, warp
from simswap.faces.paste import PasteSettings, paste_swap, region
from simswap.faces.photo_part import PhotoPart
from simswap.measuring.swappers import COPY_SOURCE, DO_NOTHING, Faces, Swapper
from simswap.measuring.transfer import to_device
from simswap.measuring.usable import is_picture
from simswap.models.described import Source, describe, digest
from simswap.precision import from_array

CROP, PHOTO = "crop", "photo"
WINDOWS = (CROP, PHOTO)
"""``measure.window=``: the generator's own crop, or a window of the photo with the result pasted in."""

OF_CROPS = describe(Source(CROP, "", {"kind": CROP}))
"""The window of evaluation.json where the generator's own crops are measured, as in every earlier evaluation."""


@dataclass(frozen=True)
class Window:
    """What is measured of each photo.

    Attributes:
        template: Of the window.
        size: Side of the window in px.
        paste: How results get into their photos.
        crops: Template and size of the crops for swappers without a network of their own.

    Raises:
        InputError: There is no such template.
    """

    template: str
    size: int
    paste: PasteSettings
    crops: tuple[str, int]

    def __post_init__(self) -> None:
        if self.template not in TEMPLATES:
            raise InputError(f"measure.template={self.template}: choose one of {', '.join(TEMPLATES)}")

    @property
    def described(self) -> dict[str, object]:
        """The window of evaluation.json; its template and size are the protocol's ``template`` and ``image_size``."""
        return describe(Source(PHOTO, "", {"kind": PHOTO, **asdict(self.paste)}))

    def controls(self) -> tuple[Swapper, Swapper]:
        """The two controls: the target's crop pasted back unchanged, and the source's own window.

        The first costs what the way into the photo costs. The second is not pasted: it is the source as it is, the
        right identity in the wrong pose, as without a window.
        """
        return self.around(DO_NOTHING), COPY_SOURCE

    def around(self, swapper: Swapper, crops: tuple[str, int] | None = None) -> Swapper:
        """A swapper of crops as a swapper of photos, which returns windows.

        Args:
            swapper: Takes and returns crops.
            crops: Their template and size; None for the window's ``crops``.
        """
        template, size = crops or self.crops

        def swap(target: Faces, source: Faces) -> Faces:
            device = target.images.device
            shown = faces_of_photos(target.photos, template, size, device)
            other = shown if source is target else faces_of_photos(source.photos, template, size, device)
            return self._pasted(target, shown, swapper.swap(shown, other), template, size)

        key = f"{swapper.key} {digest([template, size, self.template, self.size, self.described['digest']])}".strip()
        return replace(swapper, swap=swap, landmarks=True, key=key, crop=f"{size} px {template}")

    def _pasted(self, target: Faces, shown: Faces, result: Faces, template: str, size: int) -> Faces:
        """Paste each result into its target's photo and cut the window; NaN for a result that is not finite."""
        assert target.photos is not None
        usable = is_picture(result.images)
        made, before = (
            pixels.to_uint8(images).permute(0, 2, 3, 1).cpu().numpy() for images in (result.images, shown.images)
        )
        windows = []
        for photo, crop, own in zip(target.photos, made, before, strict=True):
            matrix = align(photo.landmarks, template, size).matrix
            done = photo.pixels.copy()
            points = apply(matrix, photo.landmarks)
            done[region(matrix, size, done.shape)] = paste_swap(done, crop, own, points, matrix, self.paste)
            windows.append(warp(done, align(photo.landmarks, self.template, self.size).matrix, self.size))
        images = as_images(windows, target.images.device)
        return target._replace(images=images.masked_fill(~usable.view(-1, 1, 1, 1), torch.nan))


def faces_of_photos(
    photos: Sequence[PhotoPart] | None, template: str, size: int, device: torch.device, keep: bool = False
) -> Faces:
    """The aligned crops of faces in photos, with their landmarks.

    Args:
        photos: B faces.
        template: Of the crops.
        size: Of the crops in px.
        device: Of the result.
        keep: Whether the result keeps the photos, for swappers that paste into them.

    Raises:
        ValueError: There are no photos.
    """
    if photos is None:
        raise ValueError("these faces came without their photos")
    found: list[Alignment] = [align(photo.landmarks, template, size) for photo in photos]
    crops = [warp(photo.pixels, one.matrix, size) for photo, one in zip(photos, found, strict=True)]
    points = np.stack([apply(one.matrix, photo.landmarks) for photo, one in zip(photos, found, strict=True)])
    view = torch.tensor([one.view for one in found])
    return Faces(
        as_images(crops, device), to_device(view, device), from_array(points, device), tuple(photos) if keep else None
    )


def as_images(crops: Sequence[np.ndarray], device: torch.device) -> torch.Tensor:
    """Crops, uint8 [S, S, 3] each, as images in unit range [B, 3, S, S] on the device."""
    stacked = np.ascontiguousarray(np.stack(crops).transpose(0, 3, 1, 2))
    return pixels.from_uint8(to_device(torch.from_numpy(stacked), device), "unit")
