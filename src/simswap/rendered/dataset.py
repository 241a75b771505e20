"""Data sets of rendered people in VGGFace2's layout, and the contact sheet.

``<root>/<person>/<nnnn>_01.jpg`` beside ``loose_landmark.csv``, ``attributes.csv`` (what is true of each photo) and
``identities.csv`` (what is true of each person). A picture is a function of (seed, person, image) alone.
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
    """The seed of a data set's person; data sets of other seeds have other people (63 bits of a hash)."""
    digest = hashlib.blake2b(f"simswap person {seed} {person}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def draw_photo(seed: int, person: int, image: int) -> tuple[Identity, Attributes]:
    """Who and what is on one picture of a data set."""
    identity = render_person(person_seed(seed, person))
    return identity, draw_attributes(np.random.default_rng([seed, person, image]))


def photo(seed: int, person: int, image: int, size: int) -> tuple[Rendering, Attributes]:
    """One picture of a data set, uint8 RGB [size, size, 3] with its landmarks, and its attributes."""
    identity, attributes = draw_photo(seed, person, image)
    return render(identity, attributes, size), attributes


def each_person(work: Callable[[Any], Any], tasks: Sequence[Any], workers: int) -> list[Any]:
    """``work`` on every person's task, in order, with a progress bar; in ``workers`` processes from two on."""
    bar = {"total": len(tasks), "desc": "rendering", "unit": "person", "disable": None}
    if workers > 1:
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            return list(tqdm(pool.imap(work, tasks, chunksize=4), **bar))
    return list(tqdm(map(work, tasks), **bar))


def write_dataset(root: str, persons: int, images: int, size: int, seed: int, workers: int = 0) -> None:
    """Write a data set; what is there already is kept, so that an interrupted one goes on.

    root: a folder. persons, images: how many, and how many photos of each. size: pixels. seed: another one, other
    people. workers: processes, 0 for none beside this one.
    Raises InputError for numbers that make no data set, and where the folder holds one of other settings.
    """
    if min(persons, images) < 1 or seed < 0 or not 32 <= size <= 1024:
        raise InputError(
            f"origin.persons={persons}, origin.images={images}, origin.size={size}, origin.seed={seed}: at least one "
            "person and image, 32 to 1024 px and a seed of 0 or more are needed"
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
    return f"n{person:06d}"


def _check_settings(folder: Path, settings: str) -> None:
    file = folder / "settings.txt"
    if file.is_file() and file.read_text().strip() != settings:
        held = file.read_text().strip()
        raise InputError(f"{folder} holds rendered faces of other settings ({held}); choose another raw= folder")
    if not file.is_file():
        with atomic_write(file) as part:
            part.write_text(settings + "\n")


def _write_person(task: tuple[Path, int, int, int, int]) -> list[tuple[Sequence[object], Sequence[object]]]:
    """All photos of a person; returns (landmark row, attribute row) of each."""
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
    """uint8 RGB picture of a data set's first people, one a row."""
    rows = [np.hstack([photo(seed, p, i, size)[0].image for i in range(images)]) for p in range(persons)]
    return np.vstack(rows)


def main() -> None:
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
