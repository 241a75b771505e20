"""Computes the center of dlib's descriptors: the mean over the training persons of a prepared folder.

``python -m simswap.training.dlib_center <prepared folder> --train 0.85`` writes weights/dlib_center.json. Each person
counts once, by one image. The center is part of the hash of ``recognition=dlib``: with another center, checkpoints of
the earlier one are refused.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from simswap import pixels
from simswap.data.crops import read_crop
from simswap.data.manifest import Manifest
from simswap.data.pairs import split_persons
from simswap.files import atomic_write
from simswap.models.dlib_file import DESCRIPTOR
from simswap.models.dlib_recognizer import CENTER_FILE, dlib_recognizer
from simswap.models.embedder import Embedder

BATCH = 32


@torch.no_grad()
def center(manifest: Manifest, rows: np.ndarray) -> np.ndarray:
    """The mean descriptor of some crops, float64 [128]."""
    embedder = Embedder(dlib_recognizer(centered=False), manifest.template, manifest.crop_size)
    total = torch.zeros(DESCRIPTOR, dtype=torch.float64)
    for chunk in np.array_split(rows, -(-len(rows) // BATCH)):
        images = np.stack([read_crop(manifest, int(row), manifest.crop_size) for row in chunk])
        seen = embedder.view(
            pixels.from_uint8(torch.from_numpy(images).permute(0, 3, 1, 2), "unit"),
            torch.from_numpy(manifest.view[chunk].astype(np.int64)),
        )
        total += embedder.recognizer.network(seen).double().sum(0)
    return (total / len(rows)).numpy()


def first_images(manifest: Manifest, train: float) -> np.ndarray:
    """The first row of each training person, where that split holds this share of the persons."""
    split = split_persons(manifest.person_names, {"train": train, "others": 1 - train})
    _, first = np.unique(manifest.person, return_index=True)
    return first[split[manifest.person[first]] == 0]


def main() -> None:
    """Write the file of the package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="prepared folder of photographs")
    parser.add_argument("--train", type=float, default=0.85, help="share of persons of the training split")
    chosen = parser.parse_args()
    manifest = Manifest.open(chosen.folder)
    rows = first_images(manifest, chosen.train)
    values = [round(float(value), 6) for value in center(manifest, rows)]
    with atomic_write(CENTER_FILE) as part:
        part.write_text(json.dumps({"persons": len(rows), "crop": manifest.crop_size, "values": values}) + "\n")
    print(f"{CENTER_FILE}: mean of {len(rows)} persons, length {np.linalg.norm(values):.4f}")


if __name__ == "__main__":
    main()
