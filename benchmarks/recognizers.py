"""How well recognizers tell real persons apart: verification and rank-1 on prepared crops of photographs.

Of each person with two crops or more, the first two count. Verification: every person's two crops as a pair of the same
person, and its first crop with the next person's second as a pair of two; the threshold of each of 10 person-disjoint
folds is the best one of the other nine. Rank-1: each person's second crop is looked up among the first crops of
``--gallery`` persons. ``dlib, its own chip`` lets dlib find five points in the crop and cut its chip by them; the
others see the crop through their fixed warp.

    simswap-prepare raw=<lfw>/images landmarks=<lfw>/loose_landmark.csv out=outputs/data/lfw112 size=112 \\
        template=arcface
    python benchmarks/recognizers.py outputs/data/lfw112 --onnx <pack>/mobilefacenet.onnx
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from simswap import pixels
from simswap.data.crops import read_crop
from simswap.data.manifest import Manifest
from simswap.faces.dlib_files import RECOGNIZER, dlib_file, dlib_module
from simswap.models.dlib_recognizer import dlib_recognizer
from simswap.models.embedder import Embedder
from simswap.models.recognition import Recognizer, onnx_recognizer

BATCH, FOLDS = 50, 10
# Where the face lies in an arcface crop of 112 px, for dlib's predictor of five points.
BOX = (20, 26, 92, 106)
FIVE_POINTS = "shape_predictor_5_face_landmarks.dat"

Embed = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Crops uint8 [B, S, S, 3] and their views [B] → unit-length embeddings [B, E]."""


def first_two(manifest: Manifest, persons: int) -> np.ndarray:
    """Rows of the first two crops of up to so many persons, [P, 2]."""
    rows = [np.flatnonzero(manifest.person == person)[:2] for person in range(len(manifest.person_names))]
    return np.stack([each for each in rows if len(each) == 2][:persons])


def through_the_warp(embedder: Embedder) -> Embed:
    @torch.no_grad()
    def embed(crops: np.ndarray, views: np.ndarray) -> np.ndarray:
        images = pixels.from_uint8(torch.from_numpy(crops).permute(0, 3, 1, 2), "unit")
        return embedder(images, torch.from_numpy(views.astype(np.int64))).numpy()

    return embed


def own_chips(size: int) -> Embed:
    """By dlib itself, for arcface crops of any size."""
    dlib = dlib_module("benchmarks/recognizers.py")
    network = dlib.face_recognition_model_v1(str(dlib_file(RECOGNIZER, "recognition=dlib")))
    place = dlib.shape_predictor(str(dlib_file(FIVE_POINTS, "recognition=dlib")))
    box = dlib.rectangle(*(round(side * size / 112) for side in BOX))

    def embed(crops: np.ndarray, views: np.ndarray) -> np.ndarray:
        chips = [dlib.get_face_chip(crop, place(crop, box), size=150, padding=0.25) for crop in crops]
        found = np.array([np.array(network.compute_face_descriptor(chip)) for chip in chips])
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    return embed


def embed_all(manifest: Manifest, rows: np.ndarray, embed: Embed) -> np.ndarray:
    """Embeddings [P, 2, E]."""
    flat, found = rows.ravel(), []
    for chunk in np.array_split(flat, -(-len(flat) // BATCH)):
        crops = np.stack([read_crop(manifest, int(row), manifest.crop_size) for row in chunk])
        found.append(embed(crops, manifest.view[chunk]))
    return np.concatenate(found).reshape(*rows.shape, -1)


def verification(embeddings: np.ndarray) -> float:
    """Share of pairs told rightly, over person-disjoint folds."""
    persons = len(embeddings)
    fold = np.arange(persons) * FOLDS // persons
    right = 0
    scores = {}
    for number in range(FOLDS):
        inside = embeddings[fold == number]
        same = (inside[:, 0] * inside[:, 1]).sum(1)
        other = (inside[:, 0] * np.roll(inside[:, 1], -1, axis=0)).sum(1)  # the next person of the same fold
        scores[number] = (same, other)
    for number, (same, other) in scores.items():
        rest = [scores[k] for k in scores if k != number]
        sames, others = (np.sort(np.concatenate(each)) for each in zip(*rest, strict=True))
        steps = np.concatenate([sames, others])
        correct = len(sames) - np.searchsorted(sames, steps) + np.searchsorted(others, steps)
        threshold = steps[correct.argmax()]
        right += int((same >= threshold).sum() + (other < threshold).sum())
    return right / (2 * persons)


def rank_1(embeddings: np.ndarray, gallery: int) -> float:
    """Share of persons whose second crop is nearest to their own first one among the first so many persons'."""
    first, second = embeddings[:gallery, 0], embeddings[:gallery, 1]
    return float(((second @ first.T).argmax(1) == np.arange(len(first))).mean())


def milliseconds(recognizer: Recognizer, gradient: bool) -> float:
    """CPU time of a face on one thread, in batches of 8 arcface crops of 112 px; the median of 8 batches."""
    embedder, spent = Embedder(recognizer, "arcface", 112), []
    for _ in range(8):
        images = torch.rand(8, 3, 112, 112, requires_grad=gradient)
        begun = time.process_time()
        with torch.set_grad_enabled(gradient):
            found = embedder(images, torch.zeros(8, dtype=torch.int64))
        if gradient:
            found.sum().backward()
        spent.append(1000 * (time.process_time() - begun) / 8)
    return float(np.median(spent))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="prepared folders of photographs")
    parser.add_argument("--onnx", type=Path, help="an insightface recognizer beside dlib's")
    parser.add_argument("--persons", type=int, default=1000)
    parser.add_argument("--gallery", type=int, default=400)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    cost = [milliseconds(dlib_recognizer(), gradient) for gradient in (False, True)]
    print(f"dlib: a face takes {cost[0]:.1f} ms forward and {cost[1]:.1f} ms with the gradient\n")
    print("| crops | recognizer | persons | verification % | rank-1 % |\n|---|---|---|---|---|")
    for folder in chosen.folders:
        manifest = Manifest.open(folder)
        rows = first_two(manifest, chosen.persons)
        recognizers = [dlib_recognizer(centered=False), dlib_recognizer()]
        if chosen.onnx:
            recognizers.append(onnx_recognizer(str(chosen.onnx)))
        ways = {r.name: through_the_warp(Embedder(r, manifest.template, manifest.crop_size)) for r in recognizers}
        if manifest.template == "arcface":
            ways["dlib, its own chip"] = own_chips(manifest.crop_size)
        for name, embed in ways.items():
            found = embed_all(manifest, rows, embed)
            what = f"{manifest.template} {manifest.crop_size} px"
            print(f"| {what} | {name} | {len(rows)} | {100 * verification(found):.2f} "
                  f"| {100 * rank_1(found, chosen.gallery):.2f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
