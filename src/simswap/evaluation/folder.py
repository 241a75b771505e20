"""``protocol=folder``: precomputed swaps of any method, listed in a table; no checkpoint is needed."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from simswap.data.listing import walk_images
from simswap.data.sources import nfc
from simswap.data.tables import read_table
from simswap.errors import InputError
from simswap.evaluation.frames import FrameFaceFinder
from simswap.evaluation.pairs_file import PairNames, names_sha256
from simswap.evaluation.protocol_data import ProtocolData, Setting, Skipped, check_share
from simswap.evaluation.windows import PictureFaces, Windows
from simswap.measuring.gallery import ProtocolPairs
from simswap.measuring.swappers import Faces, PrecomputedSwaps
from simswap.models.described import Source, describe

NEEDED, OPTIONAL = ("result", "source", "target"), ("source_person", "target_person")


class Listed(NamedTuple):
    """What the table and the gallery's folder say.

    Attributes:
        entries: The table's rows: paths below root of ``result``, ``source`` and ``target``.
        persons: The persons that the table names, by image.
        gallery: The persons of the gallery's images, by image.
    """

    entries: list[dict[str, str]]
    persons: dict[str, str]
    gallery: dict[str, str]


class Folder:
    """Results, sources and targets as files below one folder, listed in a CSV file.

    Args:
        pairs: CSV with the columns result, source, target (paths below root) and optionally source_person,
            target_person. Without these, every source image is a person of its own.
        root: The folder of all files; None for the table's folder.
        method: The name of the results' row.
        aligned: Whether the files are already crops of ``template``. Otherwise faces are found on source and target
            (``landmarks`` or a detector); a result of its target's size is cropped in the target's window, any other
            where its own face is.
        gallery: A folder of persons' folders to retrieve from; None for the sources and targets.
        landmarks: Tables of landmarks, instead of ``detector=``.
        max_skipped_share: The largest share of entries that may be unusable.
        template: Of the crops; None for the checkpoint's.
        size: Of the crops in pixels; None for the checkpoint's.
        batch_size: Images at a time.
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
        """Read the table, find the face on every image, and pair the usable entries.

        Raises:
            InputError: If the table, the gallery or too many entries are unusable.
        """
        if setting.ranks.size > 1:
            raise InputError("protocol=folder runs in one process; use protocol=faceforensics for several")
        template, size = setting.crops(self.template, self.size)
        if self.aligned and template == "simswap":
            raise InputError(
                "protocol.aligned=true: the view of the simswap template is not known for a precomputed crop; give the "
                "original images and a detector"
            )
        if self.aligned and setting.window is not None:
            raise InputError(
                "protocol.aligned=true: the files are crops, without the photos that measure.window=photo needs; give "
                "photos with protocol.aligned=false and a detector, or measure the crops with measure.window=crop"
            )
        finder = None if self.aligned else FrameFaceFinder.of(self.landmarks, setting.detector)
        listed = self._listed()
        windows = Windows(self.root, finder, template, size, parts=setting.window is not None)
        kept, skipped = self._usable(listed, windows)

        # Rows: the kept sources and targets, then the gallery's other images.
        seen = dict.fromkeys(name for entry in kept for name in (entry["source"], entry["target"]))
        names = [*seen, *(name for name in listed.gallery if name not in windows.lost and name not in seen)]
        person_of = [listed.persons.get(name) or listed.gallery.get(name) or name for name in names]
        row = {name: k for k, name in enumerate(names)}
        codes = np.unique(person_of, return_inverse=True)[1].astype(np.int64)
        target, source = (np.array([row[entry[key]] for entry in kept]) for key in ("target", "source"))

        def read(places: np.ndarray, offset: int, device: torch.device) -> tuple[Faces, Tensor]:
            shown = windows.load([kept[place]["result"] for place in places], device)
            return shown, torch.ones(len(places), dtype=torch.bool, device=device)

        pair_names = PairNames(
            *([entry[key] for entry in kept] for key in ("target", "source")),
            *([person_of[r] for r in rows] for rows in (target, source)),
        )
        return ProtocolData(
            PictureFaces(windows, names, codes),
            ProtocolPairs(np.arange(len(names)), target, source),
            pair_names,
            self._facts(kept, windows, names, persons=int(codes.max()) + 1),
            self.batch_size,
            [PrecomputedSwaps(self.method, read)],
            skipped,
        )

    def _listed(self) -> Listed:
        """The table and the gallery, which must name the same persons."""
        entries, persons = self._read_table()
        gallery = self._gallery_files()
        for name, person in persons.items():
            if gallery.get(name, person) != person:
                raise InputError(
                    f"{self.pairs}: {name} shows the person {person!r}, and in protocol.gallery it is in the folder "
                    f"{gallery[name]!r}; give the persons the same names in both"
                )
        return Listed(entries, persons, gallery)

    def _usable(self, listed: Listed, windows: Windows) -> tuple[list[dict[str, str]], list[Skipped]]:
        """Find the face on every image, each read once; the usable entries, and what is unusable."""
        entries, gallery = listed.entries, listed.gallery
        files = list(dict.fromkeys(name for entry in entries for name in (entry["source"], entry["target"])))
        for name in tqdm([*files, *gallery], "finding faces", unit="image", disable=None, leave=False):
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
        return kept, skipped + [Skipped(name, windows.lost[name]) for name in gallery if name in windows.lost]

    def _facts(
        self, kept: Sequence[dict[str, str]], windows: Windows, names: Sequence[str], persons: int
    ) -> dict[str, Any]:
        """The protocol as evaluation.json describes it. names, persons: of the gallery."""
        finder = windows.finder
        own = sum(windows.windows[entry["result"]] is not windows.windows[entry["target"]] for entry in kept)
        return {
            "name": "folder", "pairing": f"those of {self.pairs}", "gallery_persons": persons,
            "gallery_rule": ("the images of protocol.gallery and all" if self.gallery else "all") + " sources and "
            "targets of the table, including the source image and the target's original (id_retrieval_without_source: "
            "without the source image)",
            "data": str(self.root), "split": "", "seed": None,
            "faces": describe(finder.described if finder else Source("finished crops", "", {"kind": "finished crops"})),
            "gallery_sha256": names_sha256(names),
            "result_windows": "finished crops" if self.aligned else
            f"{len(kept) - own} in the target's window, {own} where their own face is",
        }  # fmt: skip

    def _read_table(self) -> tuple[list[dict[str, str]], dict[str, str]]:
        """The entries, and the persons that the table names, by image.

        Raises InputError for another table, and for one that contradicts itself.
        """
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
                    raise InputError(f"{where}: the column {name} is empty")
            entry = {name: inside(self.root, columns[name][place], where) for name in NEEDED}
            if (before := row_of.setdefault(entry["result"], place)) != place:
                raise InputError(
                    f"{where}: the result {entry['result']} is already in row {before + 1}; list each result once"
                )
            entries.append(entry)
            for key in ("source", "target"):
                person = nfc(columns[f"{key}_person"][place]) if f"{key}_person" in columns else ""
                if person and persons.setdefault(entry[key], person) != person:
                    raise InputError(
                        f"{where}: {entry[key]} shows the person {person!r}, and in a row above "
                        f"{persons[entry[key]]!r}; an image shows one person"
                    )
        return entries, persons

    def _gallery_files(self) -> dict[str, str]:
        """Image below root → person, of the gallery's folder."""
        if self.gallery is None:
            return {}
        if not self.gallery.is_dir():
            raise InputError(f"protocol.gallery={self.gallery} is not a folder")
        if not self.gallery.resolve().is_relative_to(self.root.resolve()):
            raise InputError(
                f"protocol.gallery={self.gallery} is not inside {self.root}; set protocol.root to a "
                "folder that contains both"
            )
        below = self.gallery.resolve().relative_to(self.root.resolve())
        files = [Path(folder, name) for folder, names in walk_images(self.gallery) for name in names]
        where = f"protocol.gallery={self.gallery}"
        return {inside(self.root, str(below / file), where): nfc(file.parts[0]) for file in sorted(files)}


def inside(root: Path, name: str, where: str) -> str:
    """The path below root with slashes, as it is on the disk.

    Args:
        root: The folder.
        name: The path as written, in either Unicode form and with either kind of slash.
        where: For the error.

    Raises:
        InputError: If the path leads out of root.
    """
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
        raise InputError(f"{where}: {name!r} is not inside {root}; give paths below protocol.root")
    return relative.as_posix()
