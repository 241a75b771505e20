"""Speed of the training loader, as a ratio to OpenCV decoding the same files, and to a plain PIL loader.

    python benchmarks/loader.py [--size 224] [--seconds 3] [--formats .jpg]

Made-up crops (soft shapes with camera-like grain, so that files are about as large as those of faces) are written as
PNG and as JPEG to a temporary folder; everything is read from the page cache. A pair is two pictures to decode, with
cached identities one. "Of a core" counts CPU seconds of all processes, so that other work on the machine takes nothing
away; a loader of n workers brings n times as much as long as there are n cores for them.

The PIL loader is a usual torch data set: a pair of pictures is opened, converted to RGB, resized, cropped, and becomes
float tensors [3, H, W] in 0..1, which torch's DataLoader collates; or uint8 tensors, as ours are. Both loaders run by
turns without workers.
"""

import argparse
import csv
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from simswap.data.datamodule import SwapDataModule
from simswap.data.manifest import COLUMNS, MANIFEST_FILE, SETTINGS_FILE
from simswap.data.reading import read_image

PERSONS, IMAGES = 40, 20
ALL = {"flip": 0.5, "color": 0.2}
VARIANTS: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("", 0, {}),
    ("", 1, {}),
    ("", 2, {}),
    (", flip", 0, {"augmentation": {"flip": 0.5}}),
    (", flip and color", 0, {"augmentation": ALL}),
    (", cached identities", 0, {"cache_embeddings": True}),
)


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


class Rate(NamedTuple):
    """Items a second by the clock, and by the CPU time of all processes that worked for them."""

    clock: float
    core: float


def rate(steps: Iterator[int], seconds: float, warm_up: int = 10) -> Rate:
    """Of a stream whose items are numbers of items, after a warm-up, for so many seconds of CPU time."""
    for _ in itertools.islice(steps, warm_up):
        pass
    count, start, begun = 0, time.perf_counter(), time.process_time()
    for number in steps:
        count += number
        if time.process_time() - begun > seconds:
            break
    return Rate(count / (time.perf_counter() - start), count / (time.process_time() - begun))


def loader_rate(root: Path, batch_size: int, workers: int, seconds: float, **settings: Any) -> Rate:
    """Pairs a second of the training loader; the workers' CPU time is known when they have ended."""
    data = SwapDataModule(root, batch_size, workers=workers, fractions={"train": 1.0}, prefetch=4, **settings)
    if data.cache_embeddings:
        data.prepare_training(identities=root / "identities.npy")
        np.save(data.identities, np.zeros((len(data.manifest), 512), np.float32))
    stream = iter(data.train_dataloader())
    if workers == 0:
        return rate((len(batch["target"]) for batch in stream), seconds)
    before = os.times()
    count, start = 0, time.perf_counter()
    for batch in stream:
        count += len(batch["target"])
        if time.perf_counter() - start > seconds * 2:
            break
    elapsed = time.perf_counter() - start
    made = count + workers * data.prefetch * batch_size  # with what lies ready at the end
    stream.close()  # type: ignore[attr-defined]
    after = os.times()
    spent = sum(
        getattr(after, name) - getattr(before, name) for name in ("user", "system", "children_user", "children_system")
    )
    return Rate(count / elapsed, made / spent)


class PilPairs(Dataset):
    """Pairs of pictures as a usual torch data set reads them: float32 in 0..1, or uint8."""

    def __init__(self, files: list[Path], size: int, floats: bool) -> None:
        self.files, self.size, self.floats = files, size, floats

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, place: int) -> dict[str, Any]:
        other = (place * 7 + 3) % len(self.files)
        return {"target": self.load(place), "source": self.load(other), "target_index": place, "source_index": other}

    def load(self, place: int) -> torch.Tensor:
        """The picture [3, size, size]: its shorter side resized to the size, and the middle of it."""
        with Image.open(self.files[place]) as opened:
            image = opened.convert("RGB")
        scale = self.size / min(image.size)
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)
        left, top = (image.width - self.size) // 2, (image.height - self.size) // 2
        image = image.crop((left, top, left + self.size, top + self.size))
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
        return pixels.float().div(255) if self.floats else pixels


def without_end(data: PilPairs, batch_size: int) -> Iterator[int]:
    """Numbers of pairs, batch after batch."""
    while True:
        for batch in DataLoader(data, batch_size, shuffle=True, drop_last=True):
            yield len(batch["target"])


def beside_pil(root: Path, files: list[Path], size: int, batch_size: int, seconds: float, rounds: int) -> list[str]:
    """Ours and the PIL loaders by turns: pairs a second of a core, and how many times theirs ours brings."""
    data = SwapDataModule(root, batch_size, workers=0, fractions={"train": 1.0})
    streams = {
        "ours": (len(batch["target"]) for batch in data.train_dataloader()),
        "PIL, float": without_end(PilPairs(files, size, True), batch_size),
        "PIL, uint8": without_end(PilPairs(files, size, False), batch_size),
    }
    found: dict[str, list[float]] = {name: [] for name in streams}
    for _ in range(rounds):
        for name, stream in streams.items():
            found[name].append(rate(stream, seconds / rounds, warm_up=1).core)
    lines = []
    for name, rates in found.items():
        ratio = statistics.median(a / b for a, b in zip(found["ours"], rates, strict=True))
        beside = "" if name == "ours" else f"   ours: {ratio:.2f} times"
        lines.append(f"  {f'by turns: {name}':<44} {statistics.median(rates):6.0f} pairs/s of a core{beside}")
    return lines


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
    parser.add_argument("--formats", nargs="+", choices=[".png", ".jpg"], default=[".png", ".jpg"])
    options = parser.parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    for suffix in options.formats:
        with tempfile.TemporaryDirectory() as folder:
            files = write_crops(Path(folder), options.size, suffix)
            kilobytes = sum(file.stat().st_size for file in files) / len(files) / 1024
            print(f"{suffix[1:].upper()} crops, {options.size} px, {kilobytes:.0f} KiB each")
            plain = rate(map(plain_decode, itertools.cycle(files)), options.seconds).core
            print(f"  {'OpenCV decode alone':<44} {plain:6.0f} pictures/s of a core   1.00")
            reading = rate(map(checked_decode, itertools.cycle(files)), options.seconds).core
            print(f"  {'read_image (checks, RGB)':<44} {reading:6.0f} pictures/s of a core  {reading / plain:5.2f}")
            for name, workers, settings in VARIANTS:
                found = loader_rate(Path(folder), options.batch_size, workers, options.seconds, **settings)
                decoded = 1 if settings.get("cache_embeddings") else 2
                print(
                    f"  {f'loader, {workers} workers{name}':<44} {found.core:6.0f} pairs/s of a core     "
                    f"{decoded * found.core / plain:5.2f}   ({found.clock:.0f} pairs/s by the clock)"
                )
            beside = beside_pil(Path(folder), files, options.size, options.batch_size, options.seconds, rounds=5)
            print("\n".join(beside), flush=True)


if __name__ == "__main__":
    main()
