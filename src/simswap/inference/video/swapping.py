"""Second pass over a video: the faces of several frames are swapped at a time and pasted back."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from simswap.faces.detection import Face, Pixels
from simswap.inference.swapper import Aligned, PhotoSwapper
from simswap.inference.video.plan import Plan
from simswap.inference.video.source import Still
from simswap.pictures import mark_synthetic
from simswap.video.reader import Frame


@dataclass(frozen=True)
class Swapped:
    """A frame of the result.

    Attributes:
        still: The original.
        pixels: uint8 [H, W, 3] in the photo's own colors. Without a face they are the original's, the same array.
        faces: How many faces were swapped.
    """

    still: Still
    pixels: Pixels
    faces: int

    def frame(self, mark: bool) -> Frame:
        """The frame to encode; with ``mark``, a frame with a swapped face says that it is synthetic."""
        if not self.faces:
            return self.still.frame
        seen = self.still.photo.to_srgb(self.pixels)
        return replace(self.still.frame, pixels=mark_synthetic(seen) if mark else seen)


def swap_stills(
    stills: Iterator[Still], begin: int, plan: Plan, swapper: PhotoSwapper, sources: torch.Tensor, most: int
) -> Iterator[Swapped]:
    """Swap the faces of successive frames.

    Args:
        stills: The frames.
        begin: The place of the first one in the video.
        plan: Where the faces are.
        swapper: The network; it gets as many faces at a time as its batch size.
        sources: Identity embeddings [M, E] of the sources.
        most: How many frames may wait for a full batch.

    Yields:
        Every frame, in order.
    """
    waiting: list[tuple[Still, list[Aligned], list[int]]] = []
    pending = 0
    for place, still in enumerate(stills, start=begin):
        faces = plan.at(place)
        aligned = [swapper.align(still.frame.pixels, _face(points)) for points, _ in faces]
        waiting.append((still, aligned, [source for _, source in faces]))
        pending += len(faces)
        if pending >= swapper.batch_size or len(waiting) >= most or not pending:
            yield from _swapped(waiting, swapper, sources)
            waiting, pending = [], 0
    yield from _swapped(waiting, swapper, sources)


def _swapped(
    waiting: list[tuple[Still, list[Aligned], list[int]]], swapper: PhotoSwapper, sources: torch.Tensor
) -> Iterator[Swapped]:
    targets = [face for _, aligned, _ in waiting for face in aligned]
    wanted = [source for _, _, numbers in waiting for source in numbers]
    results = swapper.swap_identities(targets, sources[wanted]) if targets else []
    done = 0
    for still, aligned, _ in waiting:
        own = results[done : done + len(aligned)]
        done += len(aligned)
        pixels = swapper.paste(still.photo, aligned, own) if aligned else still.photo.pixels
        yield Swapped(still, pixels, len(aligned))


def _face(points: np.ndarray) -> Face:
    """A face with the landmarks of the plan; its box, which nothing here reads, is theirs."""
    return Face(np.concatenate([points.min(0), points.max(0)]), points, 1.0)
