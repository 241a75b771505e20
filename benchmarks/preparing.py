"""Speed of `simswap-prepare` on one core, and where its time goes: full and reduced decoding by turns.

    python benchmarks/preparing.py [--widths 250 600 1000] [--format jpg] [--rounds 3] [--pack <folder of ONNX files>]

Made-up photos (soft shapes with camera-like grain, JPEG quality 90 with 4:2:0 chroma) have a face that fills them as
VGGFace2's loose boxes do, and a landmark table; `--photos` and `--landmarks` take real ones, enlarged to each width.
Everything is read from the page cache. "Images/s" are per second of CPU time, and the shares are each part's own time.
With `--pack`, insightface's detector finds the faces instead of the table; without it that part is left out.
"""

import argparse
import csv
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from simswap.data import aligning, cropping, preparing, reading
from simswap.data.cropping import CropSettings
from simswap.data.landmarks import LANDMARK_TABLE_COLUMNS, LandmarkTable
from simswap.data.preparing import prepare_folder
from simswap.faces.alignment import template_points
from simswap.faces.detection import Detector, InsightFaceDetector
from simswap.launching.system import keep_freed_memory

PERSONS, IMAGES = 6, 8
REST = "folders, journal, rest"
# Where each part begins: a module, the name of its function there, and what the table calls it.
PARTS: tuple[tuple[Any, str, str], ...] = (
    (preparing, "look_at", "sampling the table"),
    (reading, "_content", "reading files"),
    (cropping, "read_photo", "headers"),
    (reading, "decode_jpeg", "listening for damage"),
    (cv2, "imdecode", "decoding"),
    (cropping, "landmark_fault", "checking landmarks"),
    (cropping, "align", "fitting the template"),
    (cropping, "warp", "warping"),
    (aligning, "encode", "encoding"),
    (aligning, "_write_crop", "writing crops"),
)


class Shares:
    """Own CPU time of each part while `watching`; what no part takes belongs to ``REST``."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._open: list[str] = []
        self._since = 0.0

    def _turn(self) -> None:
        now = time.process_time()
        if self._open:
            self.seconds[self._open[-1]] = self.seconds.get(self._open[-1], 0.0) + now - self._since
        self._since = now

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def timed_call(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def timed(*arguments: Any, **options: Any) -> Any:
            with self.timed(name):
                return call(*arguments, **options)

        return timed

    @contextmanager
    def watching(self, detector: Detector | None) -> Iterator[None]:
        parts = [*PARTS, *([(detector, "detect", "detecting")] if detector is not None else [])]
        before = [(owner, name, getattr(owner, name)) for owner, name, _ in parts]
        try:
            for owner, name, words in parts:
                setattr(owner, name, self.timed_call(getattr(owner, name), words))
            with self.timed(REST):
                yield
        finally:
            for owner, name, call in before:
                setattr(owner, name, call)

    def lines(self) -> list[tuple[str, float]]:
        """Each part's share of the whole, the largest first."""
        total = sum(self.seconds.values())
        return sorted(((name, spent / total) for name, spent in self.seconds.items()), key=lambda line: -line[1])


def soft_photo(width: int, height: int, random: np.random.Generator) -> np.ndarray:
    shapes = cv2.resize(random.uniform(30, 220, (9, 8, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
    grain = cv2.GaussianBlur(random.normal(0, 5, shapes.shape), (0, 0), 0.7)
    return np.clip(shapes + grain, 0, 255).astype(np.uint8)


def write_photos(root: Path, width: int, given: list[tuple[Path, np.ndarray]], count: int) -> LandmarkTable:
    """Photos of this width below ``root``/raw, made up or from given ones with their points [5, 2]; their table."""
    random, rows = np.random.default_rng(width), []
    options = [cv2.IMWRITE_JPEG_QUALITY, 90, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    for number in range(count):
        if given:
            file, points = given[number % len(given)]
            small = cv2.imread(str(file))
            scale = width / small.shape[1]
            pixels = cv2.resize(small, (width, round(small.shape[0] * scale)), interpolation=cv2.INTER_CUBIC)
            points = (points + 0.5) * scale - 0.5
        else:
            pixels = soft_photo(width, round(width * 1.18), random)
            # eye to eye a third of the photo's width: a face in a loose box, as in VGGFace2
            points = template_points("simswap", 112, 2) * (width / 98) + random.normal(0, width / 100, (5, 2))
        name = f"p{number // IMAGES}/{number:04d}"
        path = root / "raw" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), pixels, options)
        rows.append([name, *(f"{value:.2f}" for value in points.reshape(-1))])
    with open(root / "landmarks.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([LANDMARK_TABLE_COLUMNS, *rows])
    return LandmarkTable([root / "landmarks.csv"])


def real_photos(photos: Path, landmarks: Path) -> list[tuple[Path, np.ndarray]]:
    """The first photos of a landmark table, with their points [5, 2]."""
    with open(landmarks, newline="") as stream:
        rows = list(csv.reader(stream))[1 : PERSONS * IMAGES + 1]
    return [(photos / f"{row[0]}.jpg", np.array(row[1:], float).reshape(5, 2)) for row in rows]


class Side(NamedTuple):
    """One way to prepare: decoding in full or reduced, landmarks from the table or from a detector."""

    words: str
    reduced: bool
    detector: Detector | None


def measure(
    root: Path, table: LandmarkTable, side: Side, image_format: str, place: int, shares: Shares | None
) -> float:
    """Images a CPU second of one run into a new folder."""
    settings = CropSettings("simswap", 224, image_format, 95, 0, side.reduced)
    landmarks = table if side.detector is None else None

    def run() -> int:
        out = root / f"out{place}"
        return prepare_folder(root / "raw", out, settings, {}, landmarks, side.detector, 0, progress=False).images

    begun = time.process_time()
    if shares is None:
        images = run()
    else:
        with shares.watching(side.detector):
            images = run()
    return images / (time.process_time() - begun)


def compare(root: Path, table: LandmarkTable, sides: list[Side], image_format: str, rounds: int) -> list[str]:
    """Every side's rate by turns, its ratio to the first, and its shares from one more, watched run."""
    rates: dict[str, list[float]] = {side.words: [] for side in sides}
    place = 0
    for _ in range(rounds + 1):
        for side in sides:
            rates[side.words].append(measure(root, table, side, image_format, place, None))
            place += 1
    lines = []
    for side in sides:
        shares = Shares()
        measure(root, table, side, image_format, place, shares)
        place += 1
        own, first = rates[side.words][1:], rates[sides[0].words][1:]  # the first turn warms up
        ratio = statistics.median(a / b for a, b in zip(own, first, strict=True))
        parts = ", ".join(f"{name} {share:.0%}" for name, share in shares.lines() if share >= 0.005)
        lines.append(f"  {side.words:<24} {statistics.median(own):6.0f} images/s of a core  {ratio:5.2f}   {parts}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=[250, 360, 600, 1000])
    parser.add_argument("--format", choices=["jpg", "png"], default="jpg")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--photos", type=Path, help="folder of persons, with --landmarks")
    parser.add_argument("--landmarks", type=Path, help="landmark table of --photos")
    parser.add_argument("--pack", help="insightface's pack, or a folder of ONNX files")
    parser.add_argument("--detector-size", type=int, default=256)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    keep_freed_memory()
    given = real_photos(options.photos, options.landmarks) if options.photos else []
    sides = [Side("table, full decoding", False, None), Side("table, reduced decoding", True, None)]
    if options.pack:
        sides.append(Side("detector", False, InsightFaceDetector(options.pack, options.detector_size)))
    for width in options.widths:
        with tempfile.TemporaryDirectory() as folder:
            table = write_photos(Path(folder), width, given, PERSONS * IMAGES)
            files = list((Path(folder) / "raw").rglob("*.jpg"))
            kilobytes = sum(file.stat().st_size for file in files) / len(files) / 1024
            print(f"{'real' if given else 'made-up'} photos {width} px wide, {kilobytes:.0f} KiB each, 224 px crops")
            print("\n".join(compare(Path(folder), table, sides, options.format, options.rounds)), flush=True)


if __name__ == "__main__":
    main()
