"""Augmentation of a training pair that keeps who is shown, and keeps a same-person pair meaningful.

Flip: target and source are mirrored independently, in same-person pairs too. A mirrored face is the same person to a
recognizer, and the source reaches the swap only as an identity, so reconstruction is not disturbed. Mirroring moves a
crop of view v to view V - 1 - v (for `simswap`: left profile <-> right profile, left <-> right; one-view templates keep
theirs). The templates are symmetric to within about a pixel at 112, so a mirrored crop stays on its template.

Color: brightness, contrast and gamma with albumentations, all three channels alike. Hue and saturation stay, because
the color of skin, eyes and hair is part of the identity. A same-person pair gets one set of parameters for both
images, so that both still show the same face in the same light; a different-person pair gets two.
"""

import os
from typing import Any

import numpy as np

from simswap.data.pairs import unit
from simswap.errors import InputError

MAX_COLOR = 0.5


class PairAugmentation:
    """Mirrors and relights the two crops of a pair, as its four random words say.

    Args:
        flip: probability in [0, 1] of mirroring, for target and source each.
        color: strength in [0, 0.5], 0 is off: brightness is shifted by up to +-color of the full range, contrast and
            gamma are multiplied by 1 +- color.
        view_count: views of the crops' template.
        sources: False leaves the sources as they are; the targets are augmented as they would be.

    Raises:
        InputError: a probability or strength out of its range.
    """

    def __init__(self, flip: float = 0.0, color: float = 0.0, view_count: int = 1, sources: bool = True) -> None:
        if not 0 <= flip <= 1:
            raise InputError(f"data.augmentation.flip: {flip} is not in [0, 1]")
        if not 0 <= color <= MAX_COLOR:
            raise InputError(f"data.augmentation.color: {color} is not in [0, {MAX_COLOR}]")
        self.flip, self.color, self.view_count, self.sources = float(flip), float(color), view_count, sources
        self._relight = _Relighting(self.color) if color > 0 else None

    @property
    def active(self) -> bool:
        return self.flip > 0 or self.color > 0

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
            target, source: uint8 [H, W, 3] RGB; not changed in place. Without `sources` the source is passed on as it
                is, whatever it is.
            target_view, source_view: views of the template, 0..view_count-1.
            same: whether both show the same person.
            words: uint64 [4], random; everything drawn here comes from them.
        """
        mirrored = unit(words[:2]) < self.flip
        if mirrored[0]:
            target, target_view = target[:, ::-1], self.view_count - 1 - target_view
        if not self.sources:
            if self._relight is not None:
                target = self._relight.one(target, int(words[2]))
            return target, source, target_view, source_view
        if mirrored[1]:
            source, source_view = source[:, ::-1], self.view_count - 1 - source_view
        if self._relight is not None:
            target, source = self._relight(target, source, same, int(words[2]), int(words[3]))
        return target, source, target_view, source_view


class _Relighting:
    """Brightness, contrast and gamma of a pair, drawn by albumentations from a seed an image."""

    def __init__(self, color: float) -> None:
        # At import albumentations looks for a newer version on the network, which must neither delay nor fail a run.
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
        import albumentations

        self._compose: Any = albumentations.Compose(
            [
                albumentations.RandomBrightnessContrast((-color, color), (-color, color), p=1.0),
                albumentations.RandomGamma((100 * (1 - color), 100 * (1 + color)), p=1.0),
            ],
            additional_targets={"source": "image"},
        )

    def __call__(
        self, target: np.ndarray, source: np.ndarray, same: bool, target_seed: int, source_seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        if same:
            self._compose.set_random_seed(target_seed)
            both = self._compose(image=np.ascontiguousarray(target), source=np.ascontiguousarray(source))
            return both["image"], both["source"]
        return self.one(target, target_seed), self.one(source, source_seed)

    def one(self, image: np.ndarray, seed: int) -> np.ndarray:
        self._compose.set_random_seed(seed)
        return self._compose(image=np.ascontiguousarray(image))["image"]
