"""Augmentation of a training pair that keeps who is shown, and keeps a same-person pair meaningful.

Flip: target and source are mirrored independently, in same-person pairs too. A mirrored face is the same person to a
recognizer, and the source reaches the swap only as an identity embedding, so reconstruction is not disturbed. Mirroring
turns a crop of view v into one of view V - 1 - v (for `simswap`: left profile <-> right profile, left <-> right;
one-view templates keep theirs). The templates are symmetric to within about a pixel at 112, so a mirrored crop stays on
its template.

Color: brightness, contrast and gamma with albumentations, all three channels alike. Hue and saturation stay, because
the color of skin, eyes and hair is part of the identity. A same-person pair gets one set of parameters for both
images, so that both still show the same face in the same light; a different-person pair gets two.

Transforms: a list of photometric albumentations (JPEG, blur, noise, color), drawn like color. No transform moves
pixels: views, landmarks and reconstruction rely on faces that stay where they are.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from simswap.data.pairs import unit
from simswap.errors import InputError
from simswap.settings.photometric import albumentations, build_transform
from simswap.settings.targets import TRANSFORMS

MAX_COLOR = 0.5
TRANSFORMS_STREAM = 0x7472616E73  # "trans": combined with the seed of color, it gives each transform its own draws


class PairAugmentation:
    """Mirrors and relights the two crops of a pair and applies further transforms, drawn from four random words.

    Args:
        flip: probability in [0, 1] of mirroring, for target and source each.
        color: strength in [0, 0.5], 0 is off: brightness is shifted by up to +-color of the full range, contrast and
            gamma are multiplied by 1 +- color.
        view_count: views of the crops' template.
        sources: False leaves the sources unchanged; targets are augmented as with True.
        transforms: nodes with a ``_target_``, see `simswap.settings.photometric.build_transform`; applied in this
            order, after flip and color.

    Raises:
        InputError: a probability or strength out of its range; a transform that is unknown, has wrong settings or
            moves pixels.
    """

    def __init__(
        self,
        flip: float = 0.0,
        color: float = 0.0,
        view_count: int = 1,
        sources: bool = True,
        transforms: Sequence[Any] = (),
    ) -> None:
        if not 0 <= flip <= 1:
            raise InputError(f"data.augmentation.flip: {flip} is not in [0, 1]")
        if not 0 <= color <= MAX_COLOR:
            raise InputError(f"data.augmentation.color: {color} is not in [0, {MAX_COLOR}]")
        self.flip, self.color, self.view_count, self.sources = float(flip), float(color), view_count, sources
        self._photometric: list[tuple[int, _Seeded]] = []
        if self.color > 0:
            self._photometric.append((0, _relighting(self.color)))
        # albumentations seeds all transforms of a Compose alike, so that their draws would depend on each other.
        for place, node in enumerate(transforms):
            transform = build_transform(node, f"{TRANSFORMS}[{place}]")
            self._photometric.append((TRANSFORMS_STREAM + place, _Seeded([transform])))

    @property
    def active(self) -> bool:
        """Whether any pair is changed at all."""
        return self.flip > 0 or bool(self._photometric)

    def __call__(
        self,
        target: np.ndarray,
        source: np.ndarray,
        target_view: int,
        source_view: int,
        same: bool,
        words: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, int, int]:
        """Augmented (target, source, target view, source view).

        Args:
            target: uint8 [H, W, 3] RGB; not changed in place.
            source: likewise; without `sources` it may be anything, and is returned unchanged.
            target_view: view of the template, 0..view_count-1.
            source_view: likewise.
            same: whether both show the same person.
            words: uint64 [4], random; all draws are derived from them.
        """
        mirrored = unit(words[:2]) < self.flip
        if mirrored[0]:
            target, target_view = target[:, ::-1], self.view_count - 1 - target_view
        if mirrored[1] and self.sources:
            source, source_view = source[:, ::-1], self.view_count - 1 - source_view
        target_seed = int(words[2])
        source_seed = target_seed if same else int(words[3])
        for stream, transform in self._photometric:
            target = transform(target, target_seed ^ stream)
            if self.sources:
                source = transform(source, source_seed ^ stream)
        return target, source, target_view, source_view


class _Seeded:
    """Transforms of albumentations whose draws depend on the given seed alone."""

    def __init__(self, transforms: Sequence[Any]) -> None:
        self._compose: Any = albumentations().Compose(list(transforms))

    def __call__(self, image: np.ndarray, seed: int) -> np.ndarray:
        self._compose.set_random_seed(seed)
        return self._compose(image=np.ascontiguousarray(image))["image"]


def _relighting(color: float) -> _Seeded:
    """Brightness, contrast and gamma."""
    library = albumentations()
    return _Seeded(
        [
            library.RandomBrightnessContrast((-color, color), (-color, color), p=1.0),
            library.RandomGamma((100 * (1 - color), 100 * (1 + color)), p=1.0),
        ]
    )
