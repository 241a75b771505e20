"""Trains the built-in networks for rendered faces: ``python -m simswap.rendered.builtin --which recognizer``.

Recognizer and judge regress the true parameters of the rendered person, which photographs do not have. Their embedding
changes little when the face changes little, so a generator can follow its gradient. (Trained by CosFace to distinguish
3,000 people instead, they verify as well, but look-alikes get distant embeddings: a generator trained only for the
identity loss lowered it from 1 to 0.93 in 1,000 iterations, and to 0.5 with this embedding.)

Recognizer and judge learn from data sets with different seeds, and so from different people. The pose estimator learns
the true angles of the recognizer's data set. People of the demo and of the tests have other seeds, so they are unseen.
Crops are `arcface` at 64 px, with blur, noise, color and small misalignment, so that the networks tolerate artifacts of
a generator. ``--go-on`` starts from the existing weights. Results are in docs/results.md.
"""

import argparse
import math
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simswap.faces.alignment import align, warp
from simswap.files import atomic_write
from simswap.models.builtin import EMBEDDING_SIZE, INPUT_SIZE, POSE_SCALE, WEIGHTS, plain_network, residual_network
from simswap.models.torch_files import load_data
from simswap.rendered.dataset import each_person, person_seed, photo
from simswap.rendered.head import BEARDS, PARAMETERS, STYLES
from simswap.rendered.regression import light_and_noise, regress, save_weights, uniform
from simswap.rendered.rendering import render_person

DATA_SEEDS = {"recognizer": 1001, "judge": 1002, "pose": 1001}
PHOTO_SIZE = 128
CHOICE_SHARE = 0.5  # weight of hair style and beard, which are easy to see and would dominate the other parameters


def crop_and_pose(seed: int, person: int, image: int) -> tuple[np.ndarray, np.ndarray]:
    """A crop uint8 [3, 64, 64] of a rendered photo, and (yaw, pitch, roll) in degrees in that crop."""
    rendering, attributes = photo(seed, person, image, PHOTO_SIZE)
    alignment = align(rendering.landmarks, "arcface", INPUT_SIZE)
    crop = warp(rendering.image, alignment.matrix, INPUT_SIZE)
    # Rotating the image clockwise adds to the roll, and does not change yaw and pitch.
    turned = math.degrees(math.atan2(alignment.matrix[1, 0], alignment.matrix[0, 0]))
    return crop.transpose(2, 0, 1), np.array([attributes.yaw, attributes.pitch, attributes.roll + turned])


def _person(task: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    seed, person, images = task
    cv2.setNumThreads(1)
    made = [crop_and_pose(seed, person, image) for image in range(images)]
    return np.stack([crop for crop, _ in made]), np.stack([pose for _, pose in made])


def render_crops(seed: int, persons: int, images: int, workers: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Crops uint8 [persons, images, 3, 64, 64] and poses float64 [persons, images, 3] in degrees of a data set."""
    tasks = [(seed, person, images) for person in range(persons)]
    made = each_person(_person, tasks, workers)
    return np.stack([crops for crops, _ in made]), np.stack([poses for _, poses in made])


def augment(crops: Tensor, generator: torch.Generator, misalign: bool) -> Tensor:
    """Augment crops with color, blur and noise.

    Args:
        crops: uint8 [B, 3, 64, 64].
        generator: Of the random numbers.
        misalign: Whether to add mirroring and small misalignment, for identity but not for pose.

    Returns:
        The crops, float [B, 3, 64, 64] in the symmetric range.
    """
    x = crops.float() / 127.5 - 1

    def each(low: float, high: float) -> Tensor:
        return uniform(len(x), low, high, generator)

    if misalign:
        angle, size = each(-0.04, 0.04).view(-1), each(0.97, 1.03).view(-1)
        cos, sin = size * angle.cos(), size * angle.sin()
        shift = [each(-0.03, 0.03).view(-1) for _ in range(2)]
        mirrored = torch.where(each(0, 1).view(-1) < 0.5, -1.0, 1.0)
        matrix = torch.stack(
            [torch.stack([cos * mirrored, -sin, shift[0]], 1), torch.stack([sin * mirrored, cos, shift[1]], 1)], 1
        )
        grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
        x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    blurred = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2.0, mode="bilinear", align_corners=False)
    x = torch.lerp(x, blurred, each(-1.0, 1.0).clamp(0, 1))
    return light_and_noise(x, generator)


def true_identities(seed: int, persons: int) -> np.ndarray:
    """The target of the recognizers' regression, float32 [persons, EMBEDDING_SIZE], normalized over the persons.

    Its columns are the parameters of the head (mean 0, deviation 1), then hair style and beard as one-hot columns
    (deviation `CHOICE_SHARE`). Skin marks and texture seeds are left out: they are invisible at 64 px, or cannot be
    regressed.
    """
    people = np.array([render_person(person_seed(seed, person)).values for person in range(persons)])
    measured, chosen = people[:, : len(PARAMETERS)], people[:, len(PARAMETERS) :].astype(int)
    one_hot = [np.eye(len(STYLES))[chosen[:, 0]], np.eye(len(BEARDS))[chosen[:, 1]]]
    shares = np.repeat([1.0, CHOICE_SHARE], [len(PARAMETERS), len(STYLES) + len(BEARDS)])
    columns = np.concatenate([measured, *one_hot], axis=1)
    spread = np.maximum(columns.std(axis=0), 1e-6)  # a small group may lack a style
    return ((columns - columns.mean(axis=0)) / spread * shares).astype(np.float32)


def train(
    which: str, crops: np.ndarray, truth: np.ndarray, iterations: int, batch_size: int, start: Path | None
) -> nn.Module:
    """Train one network, with squared error for identity, and absolute error for pose, where outliers count less.

    Args:
        which: A key of `DATA_SEEDS`.
        crops: uint8 [N, 3, 64, 64].
        truth: The true values of the outputs, float32 [N, K].
        iterations: Number of iterations.
        batch_size: Crops per iteration.
        start: A file with initial weights, or None.

    Returns:
        The network in eval mode.
    """

    def make() -> nn.Module:
        network = {
            "recognizer": lambda: residual_network(EMBEDDING_SIZE),
            "judge": lambda: plain_network(EMBEDDING_SIZE),
            "pose": lambda: residual_network(3),
        }[which]()
        if start is not None:
            state = load_data(start)
            network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
        return network

    pose = which == "pose"
    return regress(
        make,
        torch.from_numpy(crops),
        torch.from_numpy(truth),
        lambda images, generator: augment(images, generator, misalign=not pose),
        lambda error: error.abs().mean() if pose else error.square().mean(),
        iterations,
        batch_size,
        which,
    )


def main() -> None:
    """Train the networks that the command line names."""
    parser = argparse.ArgumentParser(description="Train the built-in networks for rendered faces again.")
    parser.add_argument("--which", choices=tuple(DATA_SEEDS), action="append")
    parser.add_argument("--persons", type=int, default=3000, help="rendered people")
    parser.add_argument("--images", type=int, default=8, help="photos of each person")
    parser.add_argument("--iterations", type=int, default=3000)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--workers", type=int, default=2, help="rendering processes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path("outputs/data"), help="folder for the rendered crops")
    parser.add_argument("--go-on", action="store_true", help="start from the existing weights")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for which in arguments.which or tuple(DATA_SEEDS):
        file = arguments.out / f"{which}.pt"
        crops, poses = cached_crops(
            arguments.cache, DATA_SEEDS[which], arguments.persons, arguments.images, arguments.workers
        )
        start = file if arguments.go_on else None
        truth = poses.reshape(-1, 3) / POSE_SCALE
        if which != "pose":
            truth = np.repeat(true_identities(DATA_SEEDS[which], arguments.persons), arguments.images, axis=0)
        flat = crops.reshape(-1, *crops.shape[2:])
        network = train(which, flat, truth.astype(np.float32), arguments.iterations, arguments.batch_size, start)
        save_weights(network, file)


def cached_crops(folder: Path, seed: int, persons: int, images: int, workers: int) -> tuple[np.ndarray, np.ndarray]:
    """`render_crops`, cached in a file for the next network."""
    file = folder / f"builtin_{seed}_{persons}x{images}.npz"
    if not file.is_file():
        crops, poses = render_crops(seed, persons, images, workers)
        with atomic_write(file) as part, open(part, "wb") as stream:
            np.savez(stream, crops=crops, poses=poses)
    stored = np.load(file)
    return stored["crops"], stored["poses"]


if __name__ == "__main__":
    main()
