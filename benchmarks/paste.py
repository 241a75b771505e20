"""How much identity the paste costs: swaps in large photographs, measured in the crop and after each paste.

python benchmarks/paste.py --photos <folder of photos> --pack <insightface pack> --judge <recognizer's ONNX file> \
    [--checkpoint src/simswap/weights/photo.ckpt] [--pairs 160]

Each face is swapped with faces of other persons. Retrieval is the share of results whose most similar face, among all
faces found, shows the source's person; two faces with a cosine above ``--same`` count as one person. The share is how
far the cosine to the source went from the target's to 1.
"""

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import torch

from simswap import checkpoint
from simswap.data.listing import list_images
from simswap.errors import InputError
from simswap.faces.alignment import scale_of, warp
from simswap.faces.detection import InsightFaceDetector, Pixels
from simswap.faces.paste import PasteSettings
from simswap.inference.demo_photos import PHOTO_CHECKPOINT
from simswap.inference.finding import PhotoFaceFinder
from simswap.inference.photos import Photo, read_photo
from simswap.inference.swapper import Aligned, PhotoSwapper, embedder_of
from simswap.measuring.window import as_images
from simswap.metrics.similarity import identity_share
from simswap.models.embedder import Embedder
from simswap.models.recognition import onnx_recognizer
from simswap.models.recorded import recognizer_of

CPU = torch.device("cpu")
SMALLEST_SCALE = 0.8
"""Crops that shrink the face to at most this: where the photo is sharper than the crop, the paste matters most."""


class Judge:
    """The judge, and what it says of the faces: embeddings [N, E] and which are one person, bool [N, N]."""

    def __init__(self, file: str, trained: checkpoint.SwapCheckpoint, faces: Sequence[Aligned], same: float) -> None:
        self.embedder = Embedder(onnx_recognizer(file), trained.template, trained.image_size)
        self.views = torch.tensor([face.alignment.view for face in faces])
        self.faces = self(list(range(len(faces))), [face.crop for face in faces])
        self.same = self.faces @ self.faces.T > same

    @torch.no_grad()
    def __call__(self, rows: Sequence[int], crops: Sequence[Pixels]) -> torch.Tensor:
        """Embeddings of crops that lie as the faces of these rows do."""
        parts = [slice(start, start + 32) for start in range(0, len(crops), 32)]
        return torch.cat([self.embedder(as_images(crops[one], CPU), self.views[list(rows[one])]) for one in parts])

    def figures(self, pairs: Sequence[tuple[int, int]], crops: Sequence[Pixels]) -> str:
        """Retrieval and share of the results of these (target, source) pairs, in words."""
        targets, sources = (list(one) for one in zip(*pairs, strict=True))
        made = self(targets, crops)
        nearest = (made @ self.faces.T).argmax(1)
        found = self.same[sources, nearest].double().mean()
        before, after = ((one * self.faces[sources]).sum(1) for one in (self.faces[targets], made))
        return (
            f"retrieval {100 * float(found):5.1f} %   share {100 * float(identity_share(after, before).mean()):5.1f} %"
        )


def find_faces(swapper: PhotoSwapper, folder: Path) -> list[tuple[Photo, Aligned]]:
    """Up to three large faces of each photo."""
    found = []
    for name in list_images(folder):
        photo = read_photo(folder / name)
        try:
            faces = swapper.find(photo)[:3]
        except InputError as error:
            print(error)
            continue
        found += [(photo, face) for face in faces if scale_of(face.alignment.matrix) < SMALLEST_SCALE]
    return found


def main() -> None:
    """Print a line for the crops and for each paste."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--pack", required=True)
    parser.add_argument("--judge", required=True)
    parser.add_argument("--checkpoint", type=Path, default=PHOTO_CHECKPOINT)
    parser.add_argument("--pairs", type=int, default=160)
    parser.add_argument("--same", type=float, default=0.35)
    given = parser.parse_args()
    torch.set_num_threads(1)
    trained = checkpoint.load(given.checkpoint)
    embedder = embedder_of(trained, recognizer_of(trained.description["config"], None))
    finder = PhotoFaceFinder(InsightFaceDetector(given.pack, size=640))
    swapper = PhotoSwapper(trained, embedder, finder, PasteSettings(), 60, 8, CPU)
    shown = find_faces(swapper, given.photos)
    faces = [face for _, face in shown]
    judge = Judge(given.judge, trained, faces, given.same)
    others = [(t, s) for t, s in product(range(len(faces)), repeat=2) if not judge.same[t, s]]
    chosen = np.random.default_rng(0).permutation(len(others))[: given.pairs]
    pairs = [others[one] for one in sorted(chosen)]
    results = swapper.swap_crops([faces[t] for t, _ in pairs], [faces[s] for _, s in pairs])
    print(f"{len(faces)} faces, {len(pairs)} pairs\n{'crops':32} {judge.figures(pairs, results)}")
    for extent, (detail, fade) in product((1.0, 1.3, 1.45, 1.6, 2.0), ((1.0, None), (1.0, 12.0), (0.0, None))):
        swapper.settings = PasteSettings(extent=extent, detail=detail, detail_fade=fade)
        windows = []
        for (target, _), result in zip(pairs, results, strict=True):
            photo, face = shown[target]
            done = photo.to_srgb(swapper.paste(photo, [face], [result]))
            windows.append(warp(done, face.alignment.matrix, trained.image_size))
        name = f"extent {extent:4} detail {detail} fade {fade}"
        print(f"{name:32} {judge.figures(pairs, windows)}", flush=True)


if __name__ == "__main__":
    main()
