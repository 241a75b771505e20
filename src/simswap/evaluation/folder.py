"""``protocol=folder``: finished swaps of anybody, listed in a table; no network of ours is needed."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from simswap import pixels
from simswap.data.listing import walk_images
from simswap.data.reading import UnreadableImage, read_image
from simswap.data.sources import nfc
from simswap.data.tables import read_table
from simswap.described import Source, describe
from simswap.errors import InputError
from simswap.evaluation.frames import FrameFaceFinder
from simswap.evaluation.pairs_file import PairNames, names_sha256
from simswap.evaluation.protocol_data import ProtocolData, Setting, Skipped, check_share
from simswap.faces.alignment import align, apply, template_points, warp
from simswap.faces.detection import Pixels
from simswap.measuring.gallery import ProtocolPairs
from simswap.measuring.swappers import Faces, PrecomputedSwaps
from simswap.precision import from_array

NEEDED, OPTIONAL = ("result", "source", "target"), ("source_person", "target_person")


class Folder:
    """Results, their sources and their targets, as files below one folder.

    pairs: CSV with the columns result, source, target (paths below root) and perhaps source_person, target_person;
    without them every source picture is a person of its own. root: null: the table's folder. method: the row's name.
    aligned: the files are crops of ``template`` already; else faces are found (landmarks= or detector=) on source and
    target, and a result as large as its target is looked at in the target's window, another where its own face is.
    gallery: a folder of persons' folders to retrieve among; null: the sources and targets. max_skipped_share: of
    entries that cannot be used. template, size, batch_size: as for faceforensics.
    """

    def __init__(
        self,
        pairs: str,
        root: str | None,
        method: str,
        aligned: bool,
        gallery: str | None,
        landmarks: str | list[str] | None,
        max_skipped_share: float,
        template: str | None,
        size: int | None,
        batch_size: int,
    ) -> None:
        self.pairs, self.method, self.aligned = Path(pairs), method, aligned
        self.root = Path(root) if root else self.pairs.parent
        self.gallery = Path(gallery) if gallery else None
        self.landmarks, self.max_skipped_share = landmarks, max_skipped_share
        self.template, self.size, self.batch_size = template, size, batch_size

    def prepare(self, setting: Setting) -> ProtocolData:
        if setting.ranks.size > 1:
            raise InputError("protocol=folder runs in one process; protocol=faceforensics is the one for several")
        template, size = setting.crops(self.template, self.size)
        if self.aligned and template == "simswap":
            raise InputError(
                "protocol.aligned=true: which view of the simswap template a finished crop has is not "
                "known; give the pictures as they are, with a detector"
            )
        finder = None if self.aligned else FrameFaceFinder.of(self.landmarks, setting.detector)
        entries, persons = self._read_table()
        gallery = self._gallery_files()
        for name, person in persons.items():
            if gallery.get(name, person) != person:
                raise InputError(
                    f"{self.pairs}: {name} is of the person {person!r}, and in protocol.gallery it is in "
                    f"the folder {gallery[name]!r}; give the persons the same names in both"
                )

        # Where the faces are in every picture, each looked at once.
        windows = Windows(self.root, finder, template, size)
        files = list(dict.fromkeys(name for entry in entries for name in (entry["source"], entry["target"])))
        for name in tqdm([*files, *gallery], "finding faces", unit="picture", disable=None, leave=False):
            windows.look(name)
        kept, skipped = [], []
        for entry in entries:
            lost = [name for name in (entry["source"], entry["target"]) if name in windows.lost]
            if not lost and windows.look(entry["result"], like=entry["target"]) is None:
                lost = [entry["result"]]
            skipped += [Skipped(name, windows.lost[name]) for name in lost[:1]]
            kept += [] if lost else [entry]
        check_share(skipped, len(entries), self.max_skipped_share, "entries", "protocol.max_skipped_share")
        if not kept:
            raise InputError(f"{self.pairs}: it lists no pair")
        skipped += [Skipped(name, windows.lost[name]) for name in gallery if name in windows.lost]

        # Rows: the kept sources and targets, and the gallery's own pictures.
        seen = dict.fromkeys(name for entry in kept for name in (entry["source"], entry["target"]))
        names = [*seen, *(name for name in gallery if name not in windows.lost and name not in seen)]
        person_of = [persons.get(name) or gallery.get(name) or name for name in names]
        row = {name: k for k, name in enumerate(names)}
        codes = np.unique(person_of, return_inverse=True)[1].astype(np.int64)
        faces = PictureFaces(windows, names, codes)
        target, source = (np.array([row[entry[key]] for entry in kept]) for key in ("target", "source"))
        own = sum(windows.windows[entry["result"]] is not windows.windows[entry["target"]] for entry in kept)

        def read(places: np.ndarray, offset: int, device: torch.device) -> tuple[Faces, Tensor]:
            shown = windows.load([kept[place]["result"] for place in places], device)
            return shown, torch.ones(len(places), dtype=torch.bool, device=device)

        facts = {
            "name": "folder", "pairing": f"those of {self.pairs}", "gallery_persons": int(codes.max()) + 1,
            "gallery_rule": ("the pictures of protocol.gallery and all" if gallery else "all") + " sources and targets "
            "of the table; the very source image and the target's original are in it (id_retrieval_without_source: "
            "without the source image)",
            "data": str(self.root), "split": "", "seed": None,
            "faces": describe(finder.described if finder else Source("finished crops", "", {"kind": "finished crops"})),
            "gallery_sha256": names_sha256(names),
            "result_windows": "finished crops" if self.aligned else
            f"{len(kept) - own} in the target's window, {own} where their own face is",
        }  # fmt: skip
        pair_names = PairNames(
            *([entry[key] for entry in kept] for key in ("target", "source")),
            *([person_of[r] for r in rows] for rows in (target, source)),
        )
        rows = ProtocolPairs(np.arange(len(names)), target, source)
        return ProtocolData(
            faces, rows, pair_names, facts, self.batch_size, [PrecomputedSwaps(self.method, read)], skipped
        )

    def _read_table(self) -> tuple[list[dict[str, str]], dict[str, str]]:
        """The entries, and the persons that the table names, by picture. Raises InputError for another table, and for
        one that contradicts itself."""
        table = read_table(self.pairs)
        columns = {
            name: table.text(name).to_pylist()
            for name in (*NEEDED, *OPTIONAL)
            if name in NEEDED or table.find(name) is not None
        }
        entries: list[dict[str, str]] = []
        persons: dict[str, str] = {}
        row_of: dict[str, int] = {}
        for place in range(len(table)):
            where = f"{self.pairs}, row {place + 1}"
            for name in NEEDED:
                if not columns[name][place]:
                    raise InputError(f"{where}: nothing stands under {name}")
            entry = {name: inside(self.root, columns[name][place], where) for name in NEEDED}
            if (before := row_of.setdefault(entry["result"], place)) != place:
                raise InputError(
                    f"{where}: the result {entry['result']} stands in row {before + 1} already; list each result once"
                )
            entries.append(entry)
            for key in ("source", "target"):
                person = nfc(columns[f"{key}_person"][place]) if f"{key}_person" in columns else ""
                if person and persons.setdefault(entry[key], person) != person:
                    raise InputError(
                        f"{where}: {entry[key]} is of the person {person!r}, and in a row above of "
                        f"{persons[entry[key]]!r}; a picture shows one person"
                    )
        return entries, persons

    def _gallery_files(self) -> dict[str, str]:
        """Picture below root → person, of the gallery's folder."""
        if self.gallery is None:
            return {}
        if not self.gallery.is_dir():
            raise InputError(f"protocol.gallery={self.gallery} is no folder")
        if not self.gallery.resolve().is_relative_to(self.root.resolve()):
            raise InputError(
                f"protocol.gallery={self.gallery} does not lie inside {self.root}; set protocol.root to a "
                "folder that holds both"
            )
        below = self.gallery.resolve().relative_to(self.root.resolve())
        files = [Path(folder, name) for folder, names in walk_images(self.gallery) for name in names]
        where = f"protocol.gallery={self.gallery}"
        return {inside(self.root, str(below / file), where): nfc(file.parts[0]) for file in sorted(files)}


def inside(root: Path, name: str, where: str) -> str:
    """The path below root with slashes, as the disk has it: in whichever Unicode form, and with backslashes for
    slashes. Raises InputError for one that leads out of it."""
    relative = Path(name)
    for written in (name, name.replace("\\", "/")):
        for form in ("NFC", "NFD"):
            if not (root / relative).exists() and (root / unicodedata.normalize(form, written)).exists():
                relative = Path(unicodedata.normalize(form, written))
    if (
        relative.is_absolute()
        or ".." in relative.parts
        or not relative.parts
        or not ((root / relative).resolve().is_relative_to(root.resolve()))
    ):
        raise InputError(f"{where}: {name!r} does not lie inside {root}; give paths below protocol.root")
    return relative.as_posix()


class Windows:
    """Where each picture's face is (matrix [2, 3] and view), found once; a picture is read again when it is shown."""

    def __init__(self, root: Path, finder: FrameFaceFinder | None, template: str, size: int) -> None:
        self.root, self.finder, self.template, self.size = root, finder, template, size
        self.windows: dict[str, tuple[np.ndarray, int, np.ndarray]] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.lost: dict[str, str] = {}

    def look(self, name: str, like: str | None = None) -> tuple[np.ndarray, int, np.ndarray] | None:
        """The window of a picture: of ``like`` where both are of one size, else of its own face; None where it has none
        (``lost`` says why)."""
        if name in self.windows or name in self.lost:
            return self.windows.get(name)
        try:
            picture = read_image(self.root / name)
            self.shapes[name] = picture.shape
            if like is not None and self.shapes[like] == picture.shape:
                self.windows[name] = self.windows[like]
            else:
                self.windows[name] = self._window(name, picture)
        except (UnreadableImage, ValueError) as error:
            self.lost[name] = str(error)
        return self.windows.get(name)

    def _window(self, name: str, picture: Pixels) -> tuple[np.ndarray, int, np.ndarray]:
        if self.finder is None:
            if picture.shape[0] != picture.shape[1]:
                raise ValueError(f"is {picture.shape[1]} x {picture.shape[0]} px, and an aligned crop is square")
            return np.zeros((2, 3)), 0, template_points(self.template, self.size)
        landmarks = self.finder.find(str(Path(name).with_suffix("")), picture, Path(name).suffix)
        if landmarks is None:
            raise ValueError("no face")
        alignment = align(landmarks, self.template, self.size)
        return alignment.matrix, alignment.view, apply(alignment.matrix, landmarks)

    def load(self, names: Sequence[str], device: torch.device, landmarks: bool = False) -> Faces:
        """Crops of these pictures, unit range [B, 3, S, S], with their views, and their landmarks where asked for."""
        crops = np.stack([self._crop(name) for name in names]).transpose(0, 3, 1, 2)
        view = torch.tensor([self.windows[name][1] for name in names], device=device)
        points = np.stack([self.windows[name][2] for name in names])
        return Faces(
            pixels.from_uint8(torch.from_numpy(crops.copy()).to(device), "unit"),
            view,
            from_array(points, device) if landmarks else None,
        )

    def _crop(self, name: str) -> Pixels:
        try:
            picture = read_image(self.root / name)
        except UnreadableImage as error:
            raise InputError(f"{self.root / name}: {error}; it could be read a moment ago") from error
        if self.finder is not None:
            return warp(picture, self.windows[name][0], self.size)
        if picture.shape[0] == self.size:
            return picture
        how = cv2.INTER_AREA if self.size < picture.shape[0] else cv2.INTER_CUBIC
        return cv2.resize(picture, (self.size, self.size), interpolation=how)  # type: ignore[return-value]


class PictureFaces:
    """The pictures of some windows as a `measuring.FaceSource`."""

    def __init__(self, windows: Windows, names: Sequence[str], person: np.ndarray) -> None:
        self.windows, self.names, self.person = windows, list(names), person
        self.template, self.size = windows.template, windows.size

    def load(self, rows: np.ndarray, device: torch.device, landmarks: bool = False, offset: int = 0) -> Faces:
        return self.windows.load([self.names[row] for row in rows], device, landmarks)

    def attribute(self, name: str) -> np.ndarray | None:
        return None
