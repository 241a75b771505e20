"""Rendered faces: people drawn by a parametric 3-D head, photographed, and written in VGGFace2's layout.

The public names of the head, the writer of data sets, and a small command line::

    python -m simswap.faces.rendered --out data/rendered --persons 100 --images 20
    python -m simswap.faces.rendered --sheet docs/pictures/rendered_faces.png

A data set is a pure function of (seed, size): person i of a data set has the same parameters and photos however many
persons, images or worker processes there are. Person seeds are hashes of (data-set seed, index), so that data sets of
different seeds share no person.
"""

import argparse
import csv
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, fields
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from simswap.errors import InputError
from simswap.faces.rendered_head import NAMES, Identity, render_person
from simswap.faces.rendered_photo import Attributes, Rendering, draw_attributes, landmarks_of, render

__all__ = ["NAMES", "Attributes", "Identity", "Rendering", "draw_attributes", "landmarks_of", "person_seed",
           "photo_attributes", "render", "render_person", "write_dataset"]  # fmt: skip

VERSION = 1  # of the head: raise it when the same seed gives other pictures
ATTRIBUTES: tuple[str, ...] = tuple(field.name for field in fields(Attributes))
LANDMARKS = tuple(f"P{i}{axis}" for i in range(1, 6) for axis in "XY")
Row = list[object]


def person_seed(seed: int, index: int) -> int:
    """Seed of person `index` of the data set `seed`: 63 bits of a hash, so that data sets share no person."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{index}".encode(), digest_size=8).digest(), "big") >> 1


def photo_attributes(seed: int, person: int, photo: int) -> Attributes:
    """Attributes of photo `photo` of person `person` of the data set `seed`."""
    return draw_attributes(np.random.default_rng([person_seed(seed, person), photo + 1]))


def _publish(path: Path, data: bytes) -> None:
    """Write a file under a temporary name and move it into place: never a half-written file under its final name."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _write_person(root: Path, index: int, images: int, size: int, seed: int) -> tuple[int, list[Row], list[Row], Row]:
    """Write one person's missing photos; returns the index, rows of landmarks, of attributes, and the person's row."""
    name = f"n{index:06d}"
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    identity = render_person(person_seed(seed, index))
    points: list[Row] = []
    truth: list[Row] = []
    for photo in range(images):
        attributes = photo_attributes(seed, index, photo)
        stem = f"{photo + 1:04d}_01"
        path = folder / f"{stem}.jpg"
        if not path.exists():
            image = cv2.cvtColor(render(identity, attributes, size).image, cv2.COLOR_RGB2BGR)
            _publish(path, cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
        landmarks = landmarks_of(identity, attributes, size)
        points.append([f"{name}/{stem}", *(f"{value:.4f}" for value in landmarks.ravel())])
        truth.append([f"{name}/{stem}", *(_short(value) for value in asdict(attributes).values())])
    return index, points, truth, [name, identity.seed, *(_short(value) for value in identity.values)]


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def _table(header: Sequence[str], rows: Iterable[Row]) -> bytes:
    """CSV text of a table."""
    lines: list[str] = []

    class Sink:
        def write(self, text: str) -> None:
            lines.append(text)

    writer = csv.writer(Sink(), lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return "".join(lines).encode()


def _one_thread() -> None:
    cv2.setNumThreads(1)  # the processes are the parallelism


def write_dataset(root: Path | str, persons: int, images: int, size: int = 128, seed: int = 0, workers: int = 0,
                  progress: bool | None = None) -> None:  # fmt: skip
    """Write `persons` folders of `images` photos of `size` px, in VGGFace2's layout, with the true parameters.

    ``<root>/n000000/0001_01.jpg`` …, ``loose_landmark.csv`` (NAME_ID, P1X … P5Y in pixels), ``attributes.csv`` (NAME_ID and
    every field of `Attributes`), ``identities.csv`` (person, seed and every parameter of `NAMES`), ``rendered.json`` (size,
    seed, version). A second call writes only the photos that are missing, and may ask for more of them.

    Args:
        workers: processes; 0 renders in this one.
        progress: True or False shows or hides the bar; None shows it on a terminal.

    Raises:
        InputError: nothing to write, a root that cannot be written, or one that holds another size, seed or version.
    """
    root = Path(root)
    if persons < 1 or images < 1:
        raise InputError(f"rendered faces: persons={persons} and images={images} must both be 1 or more")
    settings = {"size": size, "seed": seed, "version": VERSION}
    about = root / "rendered.json"
    try:
        root.mkdir(parents=True, exist_ok=True)
        if about.exists() and json.loads(about.read_text()) != settings:
            raise InputError(f"{about}: made with other settings than {settings}; remove the folder or choose another")
        _publish(about, json.dumps(settings).encode())
        results = []
        with tqdm(total=persons, desc="rendering", unit="person", disable=None if progress is None else not progress) as bar:
            if workers < 1:
                for index in range(persons):
                    results.append(_write_person(root, index, images, size, seed))
                    bar.update()
            else:
                # spawn: a forked child of a process that has run torch or OpenCV threads may hang
                with ProcessPoolExecutor(workers, get_context("spawn"), _one_thread) as pool:
                    jobs = [pool.submit(_write_person, root, index, images, size, seed) for index in range(persons)]
                    try:
                        for job in as_completed(jobs):
                            results.append(job.result())
                            bar.update()
                    except BaseException:
                        pool.shutdown(wait=False, cancel_futures=True)
                        raise
        results.sort(key=lambda result: result[0])
        _publish(root / "loose_landmark.csv", _table(("NAME_ID", *LANDMARKS), (r for result in results for r in result[1])))
        _publish(root / "attributes.csv", _table(("NAME_ID", *ATTRIBUTES), (r for result in results for r in result[2])))
        _publish(root / "identities.csv", _table(("person", "seed", *NAMES), (result[3] for result in results)))
    except OSError as error:
        raise InputError(f"{root}: rendered faces cannot be written here ({error.strerror or error})") from error


def contact_sheet(people: int, photos: int, size: int, seed: int) -> np.ndarray:
    """A picture of `people` rows and `photos` columns, uint8 RGB."""
    rows = []
    for i in range(people):
        person = render_person(person_seed(seed, i))
        rows.append(np.hstack([render(person, photo_attributes(seed, i, k), size).image for k in range(photos)]))
    return np.vstack(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line above; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m simswap.faces.rendered", description="write rendered faces")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", type=Path, help="folder of a data set in VGGFace2's layout")
    target.add_argument("--sheet", type=Path, help="PNG file of a contact sheet")
    parser.add_argument("--persons", type=int, default=10)
    parser.add_argument("--images", type=int, default=8, help="photos of each person")
    parser.add_argument("--size", type=int, default=128, help="side of a photo in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args(arguments)
    try:
        if not 32 <= chosen.size <= 1024:
            raise InputError(f"--size {chosen.size}: between 32 and 1024 pixels")
        if chosen.out is not None:
            write_dataset(chosen.out, chosen.persons, chosen.images, chosen.size, chosen.seed, chosen.workers)
        else:
            sheet = contact_sheet(chosen.persons, chosen.images, chosen.size, chosen.seed)
            chosen.sheet.parent.mkdir(parents=True, exist_ok=True)
            _publish(chosen.sheet, cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
