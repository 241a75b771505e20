"""Small folders of photographs, their landmark tables, and `prepare_folder` on them."""

import csv
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from simswap.data.aligning import CropSettings
from simswap.data.landmarks import LandmarkTable
from simswap.data.preparing import prepare_folder
from simswap.faces.alignment import template_points
from simswap.faces.detection import Face

CROPS = CropSettings(template="arcface", size=32, image_format="png", quality=95, min_side=0)
HEADER = "NAME_ID,P1X,P1Y,P2X,P2Y,P3X,P3Y,P4X,P4Y,P5X,P5Y\n"
POINTS = template_points("arcface", 112) * 0.5 + 4  # the crop at 112 is the photo, shifted by 4 px, twice as large


def photo(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (64, 72, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 3)


def save_photo(file: Path, seed: int = 0, **options) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo(seed)).save(file, **options)


def landmark_table(file: Path, names: list[str], extra: str = "") -> LandmarkTable:
    line = ",".join(f"{value:.3f}" for value in POINTS.reshape(-1))
    file.write_text(HEADER + "".join(f"{name},{line}\n" for name in names) + extra, encoding="utf-8")
    return LandmarkTable([file])


def rows_of(out: Path) -> dict[str, dict[str, str]]:
    with open(out / "manifest.csv", encoding="utf-8", newline="") as stream:
        return {row["source"]: row for row in csv.DictReader(stream)}


def prepare(tmp_path: Path, table: LandmarkTable | None, crops=CROPS, detector=None, workers=0, record=None):
    return prepare_folder(
        tmp_path / "raw",
        tmp_path / "out",
        crops,
        record or {"template": crops.template, "size": crops.size},
        table,
        detector,
        workers,
    )


def state_of(out: Path) -> dict[str, tuple[int, bytes]]:
    files = [file for file in out.rglob("*") if file.is_file()]
    return {str(file.relative_to(out)): (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


class OneFace:
    """A detector that finds the same two faces in every image, and none in images that are mostly white."""

    def detect(self, image):
        if image.mean() > 250:
            return []
        small = Face(np.array([0.0, 0, 5, 5]), POINTS + 100, 0.99)
        return [small, Face(np.array([10.0, 10, 60, 60]), POINTS, 0.8765)]
