"""Data sets of rendered people in VGGFace2's layout, and a contact sheet.

Photos are ``<root>/<person>/<nnnn>_01.jpg``. Beside them are ``loose_landmark.csv``, ``attributes.csv`` with the true
attributes of each photo, and ``identities.csv`` with the true parameters of each person. A photo only depends on (seed,
person, image).
"""

import argparse
import csv
import hashlib
import io
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from simswap.errors import InputError
from simswap.files import atomic_write
from simswap.rendered.head import NAMES
from simswap.rendered.rendering import (
    Attributes,
    Identity,
    Rendering,
    draw_attributes,
    landmarks_of,
    render,
    render_person,
)

JPEG_QUALITY = 95
LANDMARK_COLUMNS = [f"P{k}{axis}" for k in range(1, 6) for axis in "XY"]


def person_seed(seed: int, person: int) -> int:
    """The seed of one person, 63 bits of a hash: data sets with different seeds have different people."""
    digest = hashlib.blake2b(f"simswap person {seed} {person}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def draw_photo(seed: int, person: int, image: int) -> tuple[Identity, Attributes]:
    """The person and the attributes of one photo of a data set."""
    identity = render_person(person_seed(seed, person))
    return identity, draw_attributes(np.random.default_rng([seed, person, image]))


def photo(seed: int, person: int, image: int, size: int) -> tuple[Rendering, Attributes]:
    """One photo of a data set, ``size`` px square with its landmarks, and its attributes."""
    identity, attributes = draw_photo(seed, person, image)
    return render(identity, attributes, size), attributes


def each_person(work: Callable[[Any], Any], tasks: Sequence[Any], workers: int) -> list[Any]:
    """Apply a function to every person's task, with a progress bar.

    Args:
        work: The function; with workers it must be picklable.
        tasks: One a person.
        workers: Number of processes; below 2, this process does the work.

    Returns:
        The results, in the order of the tasks.
    """
    bar = {"total": len(tasks), "desc": "rendering", "unit": "person", "disable": None}
    if workers > 1:
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            return list(tqdm(pool.imap(work, tasks, chunksize=4), **bar))
    return list(tqdm(map(work, tasks), **bar))


def write_dataset(root: str, persons: int, images: int, size: int, seed: int, workers: int = 0) -> None:
    """Write a data set; existing photos are kept, so an interrupted call can be repeated.

    Args:
        root: The folder.
        persons: Number of people.
        images: Photos of each person.
        size: Side of the photos in px, 32 to 1024.
        seed: Of people and photos, 0 or more.
        workers: Number of processes; below 2, this process does the work.

    Raises:
        InputError: A number is out of range, or the folder holds a data set with other settings.
    """
    if min(persons, images) < 1 or seed < 0 or not 32 <= size <= 1024:
        raise InputError(
            f"origin.persons={persons}, origin.images={images}, origin.size={size}, origin.seed={seed}: at least one "
            "person and image, 32 to 1024 px and a seed of 0 or more are required"
        )
    folder = Path(root)
    _check_settings(folder, f"persons={persons} images={images} size={size} seed={seed}")
    tasks = [(folder, seed, person, images, size) for person in range(persons)]
    rows = each_person(_write_person, tasks, workers)
    photos = [row for person in rows for row in person]
    _write_table(folder / "loose_landmark.csv", ["NAME_ID", *LANDMARK_COLUMNS], (row[0] for row in photos))
    _write_table(folder / "attributes.csv", ["NAME_ID", *ATTRIBUTES], (row[1] for row in photos))
    people = ((person_name(k), *render_person(person_seed(seed, k)).values) for k in range(persons))
    _write_table(folder / "identities.csv", ["person", *NAMES], people)


ATTRIBUTES = [field.name for field in fields(Attributes)]


def person_name(person: int) -> str:
    """The name of a person's folder."""
    return f"n{person:06d}"


def _check_settings(folder: Path, settings: str) -> None:
    file = folder / "settings.txt"
    if file.is_file() and file.read_text().strip() != settings:
        held = file.read_text().strip()
        raise InputError(f"{folder} holds rendered faces with other settings ({held}); choose another raw= folder")
    if not file.is_file():
        with atomic_write(file) as part:
            part.write_text(settings + "\n")


def _write_person(task: tuple[Path, int, int, int, int]) -> list[tuple[Sequence[object], Sequence[object]]]:
    """Write all photos of a person; returns the landmark row and the attribute row of each."""
    folder, seed, person, images, size = task
    cv2.setNumThreads(1)
    rows: list[tuple[Sequence[object], Sequence[object]]] = []
    for image in range(images):
        identity, attributes = draw_photo(seed, person, image)
        landmarks = None
        stem = f"{person_name(person)}/{image:04d}_01"
        path = folder / f"{stem}.jpg"
        if not path.is_file():
            rendering = render(identity, attributes, size)
            landmarks = rendering.landmarks
            done, data = cv2.imencode(".jpg", rendering.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            assert done
            with atomic_write(path) as part:
                part.write_bytes(data.tobytes())
        if landmarks is None:
            landmarks = landmarks_of(identity, attributes, size)
        points = [f"{value:.3f}" for value in landmarks.ravel()]
        rows.append(([stem, *points], [stem, *(round(float(v), 5) for v in asdict(attributes).values())]))
    return rows


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    with atomic_write(path) as part:
        part.write_text(text.getvalue())


def contact_sheet(persons: int = 10, images: int = 8, size: int = 128, seed: int = 0) -> np.ndarray:
    """The first people of a data set, one a row: an image uint8 RGB [persons * size, images * size, 3]."""
    rows = [np.hstack([photo(seed, p, i, size)[0].image for i in range(images)]) for p in range(persons)]
    return np.vstack(rows)


def main() -> None:
    """Write the contact sheet that the command line names."""
    parser = argparse.ArgumentParser(description="Write a contact sheet of rendered people.")
    parser.add_argument("--sheet", type=Path, required=True, help="the PNG to write")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sheet = contact_sheet(seed=arguments.seed)
    done, data = cv2.imencode(".png", sheet[..., ::-1])
    assert done
    with atomic_write(arguments.sheet) as part:
        part.write_bytes(data.tobytes())


if __name__ == "__main__":
    main()
