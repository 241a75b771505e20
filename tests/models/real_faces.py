"""Aligned crops of real faces for the tests marked real."""

import csv
from pathlib import Path

import cv2
import numpy as np
import torch

from simswap.faces.alignment import align, warp


def aligned_faces(shared: Path, persons: int, images: int) -> torch.Tensor:
    """uint8 [persons, images, 3, 112, 112] arcface crops of the first LFW persons with that many photos."""
    landmarks: dict[str, list[tuple[str, np.ndarray]]] = {}
    with open(shared / "lfw" / "loose_landmark.csv", newline="") as file:
        for name, *points in list(csv.reader(file))[1:]:
            landmarks.setdefault(name.split("/")[0], []).append((name, np.array(points, dtype=float).reshape(5, 2)))
    chosen = [rows[:images] for rows in landmarks.values() if len(rows) >= images][:persons]
    crops = []
    for name, points in (row for rows in chosen for row in rows):
        photo = cv2.imread(str(shared / "lfw" / "images" / f"{name}.jpg"))[:, :, ::-1]
        crops.append(warp(np.ascontiguousarray(photo), align(points, "arcface", 112).matrix, 112))
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).reshape(persons, images, 3, 112, 112)
