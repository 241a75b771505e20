"""Speed of the training loader: images a second, as a ratio to OpenCV decoding the same files and doing nothing else.

    python benchmarks/loader.py [--size 224] [--seconds 3]

Made-up crops (soft shapes with camera-like grain, so that files are about as large as those of faces) are written as
PNG and as JPEG to a temporary folder; everything is read from the page cache. An iteration of B pairs reads 2 B images.
"""

import argparse
import csv
import itertools
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from simswap.data.datamodule import SwapDataModule
from simswap.data.manifest import COLUMNS, MANIFEST_FILE, SETTINGS_FILE
from simswap.data.reading import read_image

PERSONS, IMAGES = 40, 20


def write_crops(root: Path, size: int, suffix: str) -> list[Path]:
    """A prepared folder of PERSONS x IMAGES crops; the files."""
    noise, files = np.random.default_rng(0), []
    with (root / MANIFEST_FILE).open("w", newline="") as stream:
        table = csv.DictWriter(stream, COLUMNS, restval="0")
        table.writeheader()
        for person, image in itertools.product(range(PERSONS), range(IMAGES)):
            shapes = cv2.resize(noise.uniform(30, 220, (8, 8, 3)), (size, size), interpolation=cv2.INTER_CUBIC)
            pixels = np.clip(shapes + noise.normal(0, 2, shapes.shape), 0, 255).astype(np.uint8)
            path = root / "crops" / f"n{person:04d}" / f"{image:04d}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), pixels)  # JPEG quality 95
            relative = str(path.relative_to(root))
            table.writerow(
                {"path": relative, "person": path.parent.name, "source": relative, "status": "ok", "detail": ""}
            )
            files.append(path)
    (root / SETTINGS_FILE).write_text(json.dumps({"settings": {"template": "simswap", "size": size}}))
    return files


def images_a_second(steps: Iterator[int], seconds: float) -> float:
    """Rate of a stream whose items are numbers of images, after a warm-up of ten items."""
    for _ in itertools.islice(steps, 10):
        pass
    images, start = 0, time.perf_counter()
    for count in steps:
        images += count
        if time.perf_counter() - start > seconds:
            break
    return images / (time.perf_counter() - start)


def loader_rate(root: Path, batch_size: int, workers: int, seconds: float, augmentation: dict[str, float]) -> float:
    data = SwapDataModule(
        root, batch_size, workers=workers, fractions={"train": 1.0}, augmentation=augmentation, prefetch=4
    )
    return images_a_second((2 * len(batch["target"]) for batch in data.train_dataloader()), seconds)


def plain_decode(path: Path) -> int:
    cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    return 1


def checked_decode(path: Path) -> int:
    read_image(path)
    return 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    options = parser.parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    for suffix in (".png", ".jpg"):
        with tempfile.TemporaryDirectory() as folder:
            files = write_crops(Path(folder), options.size, suffix)
            kilobytes = sum(file.stat().st_size for file in files) / len(files) / 1024
            print(f"{suffix[1:].upper()} crops, {options.size} px, {kilobytes:.0f} KiB each")
            plain = images_a_second(map(plain_decode, itertools.cycle(files)), options.seconds)
            print(f"  {'OpenCV decode alone, one core':<40} {plain:7.0f} images/s   1.00")
            reading = images_a_second(map(checked_decode, itertools.cycle(files)), options.seconds)
            print(f"  {'read_image (checks, RGB), one core':<40} {reading:7.0f} images/s  {reading / plain:5.2f}")
            for workers, augmentation in (
                (0, {}),
                (1, {}),
                (2, {}),
                (0, {"flip": 0.5, "colour": 0.2}),
                (2, {"flip": 0.5, "colour": 0.2}),
            ):
                rate = loader_rate(Path(folder), options.batch_size, workers, options.seconds, augmentation)
                name = f"loader, {workers} workers" + (", flip and colour" if augmentation else "")
                # Only without workers do loading and decoding share one core, so that a share has a meaning.
                share = f"   {rate / reading:.0%} of it decoding" if workers == 0 else ""
                print(f"  {name:<40} {rate:7.0f} images/s  {rate / plain:5.2f}{share}")


if __name__ == "__main__":
    main()
