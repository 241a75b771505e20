"""From photographs to swapped photographs: find, choose, align, swap in batches, paste back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from simswap import pixels
from simswap.checkpoint import SwapCheckpoint
from simswap.errors import InputError
from simswap.faces.alignment import Alignment, align, apply, warp
from simswap.faces.detection import Face, Pixels, pick_main_face
from simswap.faces.paste import PasteSettings, paste_swap, region
from simswap.inference.photos import Photo
from simswap.measuring.swappers import Faces, swap_identities
from simswap.measuring.usable import is_picture
from simswap.measuring.window import as_images
from simswap.models.embedder import Embedder
from simswap.models.recognition import Recognizer

Finder = Callable[[Photo, Pixels], list[Face]]


@dataclass(frozen=True)
class Aligned:
    """A face of a photo: `face` as found, its `crop` uint8 [S, S, 3] in sRGB, and its alignment."""

    face: Face
    crop: Pixels
    alignment: Alignment


def embedder_of(trained: SwapCheckpoint, recognizer: Recognizer) -> Embedder:
    """The recognizer and its view of the checkpoint's crops. Raises InputError if it was trained with another one."""
    trained.check_recognizer(recognizer)
    return Embedder(recognizer, trained.template, trained.image_size, trained.recognizer_view)


class PhotoSwapper:
    """A checkpoint at work on photos.

    embedder: the recognizer that it was trained with and its view of the crops. find_faces: see
    `finding.PhotoFaceFinder`.
    min_face: px, the shorter side of the smallest face that is swapped. batch_size: crops at a time.
    """

    def __init__(
        self,
        checkpoint: SwapCheckpoint,
        embedder: Embedder,
        find_faces: Finder,
        settings: PasteSettings,
        min_face: float,
        batch_size: int,
        device: torch.device,
    ) -> None:
        self.checkpoint = checkpoint
        self.template, self.size = checkpoint.template, checkpoint.image_size
        self.generator, self.embedder = checkpoint.generator.to(device), embedder.to(device)
        self.find_faces, self.settings, self.min_face = find_faces, settings, min_face
        self.batch_size, self.device = batch_size, device

    def find(self, photo: Photo) -> list[Aligned]:
        """All faces of a photo that are large enough, the main one first.

        Raises:
            InputError: there is none.
        """
        seen = photo.seen()
        found = self.find_faces(photo, seen)
        if not found:
            raise InputError(f"{photo.path}: no face found; turn it upright, or try another detector.size")
        large = [face for face in found if min(face.box[2:] - face.box[:2]) >= self.min_face]
        if not large:
            side = max(min(face.box[2:] - face.box[:2]) for face in found)
            raise InputError(
                f"{photo.path}: its largest face is {side:.0f} px wide, less than min_face="
                f"{self.min_face}; take a larger photo or lower min_face"
            )
        main = pick_main_face(large, seen.shape)
        ordered = [main, *(face for face in large if face is not main)]
        return [self.align(seen, face) for face in ordered]

    def only_face(self, photo: Photo) -> Aligned:
        """The face of a photo that must show one person.

        Raises:
            InputError: it shows more.
        """
        faces = self.find(photo)
        if len(faces) > 1:
            raise InputError(
                f"{photo.path}: {len(faces)} faces, and one must say whose identity is meant; cut it to "
                "one face, or set source_face=largest"
            )
        return faces[0]

    def identities(self, faces: Sequence[Aligned]) -> Tensor:
        """Identity embeddings [N, E] of length one."""
        batch = self._batch(faces)
        return self.embedder.identity(batch.images, batch.view)

    def swap_crops(self, targets: Sequence[Aligned], sources: Sequence[Aligned]) -> list[Pixels]:
        """The swapped crop of each pair, uint8 [S, S, 3]."""
        made: list[Pixels] = []
        for start in range(0, len(targets), self.batch_size):
            some = slice(start, start + self.batch_size)
            with torch.inference_mode():
                identities = self.identities(sources[some])
            made += self.swap_identities(targets[some], identities)
        return made

    def swap_identities(self, targets: Sequence[Aligned], identities: Tensor) -> list[Pixels]:
        """The crop of each target with the identity embedding [N, E] in its place, uint8 [S, S, 3].

        Raises:
            InputError: a source has no embedding, or a result is not finite.
        """
        made: list[Pixels] = []
        for start in range(0, len(targets), self.batch_size):
            some = slice(start, start + self.batch_size)
            with torch.inference_mode():
                result = swap_identities(self.generator, self._batch(targets[some]), identities[some])
            if not is_picture(result.images).all():
                raise InputError(
                    "no swap can be made of these faces: the recognizer cannot embed the source (an empty "
                    "or damaged picture), or the generator's result is not finite; give another source"
                )
            made += list(pixels.to_uint8(result.images).permute(0, 2, 3, 1).cpu().numpy())
        return made

    def paste(self, photo: Photo, targets: Sequence[Aligned], results: Sequence[Pixels]) -> Pixels:
        """The photo [H, W, 3] with its faces replaced; all other pixels are unchanged, bit for bit."""
        done = photo.pixels.copy()
        for target, result in zip(targets, results, strict=True):
            matrix = target.alignment.matrix
            points = apply(matrix, target.face.landmarks)
            rows, columns = region(matrix, self.size, done.shape)
            own = done[rows, columns]
            before = photo.to_srgb(own)
            moved = _moved(matrix, columns.start, rows.start)
            after = paste_swap(before, result, target.crop, points, moved, self.settings)
            touched = (after != before).any(-1)
            own[touched] = photo.changed(own, before, after)[touched]
        return done

    def align(self, seen: Pixels, face: Face) -> Aligned:
        """A face of an image [H, W, 3] in sRGB as a crop of the checkpoint's template."""
        alignment = align(face.landmarks, self.template, self.size)
        return Aligned(face, warp(seen, alignment.matrix, self.size), alignment)

    def _batch(self, faces: Sequence[Aligned]) -> Faces:
        view = torch.tensor([face.alignment.view for face in faces])
        return Faces(as_images([face.crop for face in faces], self.device), view.to(self.device))


def _moved(matrix: npt.NDArray[np.float64], left: int, top: int) -> npt.NDArray[np.float64]:
    """The same map from a part of the photo that starts at (left, top)."""
    return np.column_stack([matrix[:, :2], apply(matrix, [left, top])])


def most_alike(faces: Tensor, references: Tensor, threshold: float) -> tuple[list[int | None], float]:
    """For each face [N, E] the most similar reference [M, E], or None below the cosine threshold.

    A reference is assigned to one face only: a person is in a photo once.

    Returns:
        The indices, and the largest cosine of all.
    """
    cosine = (faces @ references.T).cpu().nan_to_num(-2.0)  # a face without an embedding resembles nobody
    chosen: list[int | None] = [None] * len(faces)
    best = float(cosine.max())
    for _ in range(min(cosine.shape)):
        row, column = divmod(int(cosine.argmax()), cosine.shape[1])
        if cosine[row, column] < threshold:
            break
        chosen[row] = column
        cosine[row], cosine[:, column] = -2, -2
    return chosen, best
