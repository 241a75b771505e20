"""Trains the built-in gaze estimator for rendered faces: ``python -m simswap.rendered.gaze``.

It regresses the true gaze from the eye strip of an ``arcface`` crop, with absolute error, on a data set with its own
seed. Photos are rendered at 128 px and cropped at 48 to 112 px, the sizes of the crops that it will measure. Eyes that
are more than half closed show no gaze, so they are left out. Results are in docs/results.md.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from simswap.faces.alignment import align, warp
from simswap.faces.warping import RecognizerView
from simswap.models.builtin import WEIGHTS
from simswap.models.gaze import FACE_SIZE, SCALE, STRIP, eye_strip, gaze_network
from simswap.pixels import to_uint8
from simswap.rendered.dataset import each_person, photo
from simswap.rendered.regression import light_and_noise, regress, save_weights

DATA_SEED, PHOTO_SIZE, OPEN = 1003, 128, 0.5
SMALLEST = 48


def _person(task: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A person's photos with open eyes, each at a random resolution: strips uint8 [n, 3, 32, 72] and gaze [n, 2]."""
    seed, person, images = task
    cv2.setNumThreads(1)
    strips, gazes = [], []
    for image in range(images):
        rendering, attributes = photo(seed, person, image, PHOTO_SIZE)
        if attributes.blink < OPEN:
            size = int(np.random.default_rng([seed, person, image, 1]).integers(SMALLEST, FACE_SIZE + 1))
            crop = warp(rendering.image, align(rendering.landmarks, "arcface", size).matrix, size)
            shown = torch.from_numpy(crop.transpose(2, 0, 1)[None].copy()).float() / 255
            view = RecognizerView("arcface", size, FACE_SIZE)(shown, torch.zeros(1, dtype=torch.int64))
            strips.append(to_uint8(eye_strip(view))[0].numpy())
            gazes.append((attributes.gaze_x, attributes.gaze_y))
    return np.array(strips, dtype=np.uint8).reshape(-1, 3, *STRIP), np.array(gazes).reshape(-1, 2)


def augment(strips: Tensor, generator: torch.Generator) -> Tensor:
    """Strips uint8 [B, 3, 32, 72] → float in the symmetric range, with one small shift per batch, light and noise."""
    shift = torch.randint(-1, 2, (2,), generator=generator).tolist()
    return light_and_noise(torch.roll(strips.float() / 127.5 - 1, shift, (2, 3)), generator)


def main() -> None:
    """Train the gaze estimator with the command line's settings."""
    parser = argparse.ArgumentParser(description="Train the built-in gaze estimator again.")
    parser.add_argument("--persons", type=int, default=1000, help="rendered people")
    parser.add_argument("--images", type=int, default=6, help="photos of each person")
    parser.add_argument("--iterations", type=int, default=1200)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2, help="rendering processes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    tasks = [(DATA_SEED, person, arguments.images) for person in range(arguments.persons)]
    made = each_person(_person, tasks, arguments.workers)
    strips = torch.from_numpy(np.concatenate([strip for strip, _ in made]))
    truth = torch.from_numpy(np.concatenate([gaze for _, gaze in made])).float()
    network = regress(
        gaze_network,
        strips,
        truth / SCALE,
        augment,
        lambda error: error.abs().mean(),
        arguments.iterations,
        arguments.batch_size,
        "gaze",
    )
    save_weights(network, arguments.out / "gaze.pt")


if __name__ == "__main__":
    main()
