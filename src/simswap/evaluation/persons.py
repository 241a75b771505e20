"""``protocol=persons``: cross-person swaps among unseen persons of a prepared folder, and self-swaps."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from simswap.data.datamodule import FRACTIONS, SwapDataModule
from simswap.data.manifest import read_settings
from simswap.errors import InputError
from simswap.evaluation.overlap import ALL, check_overlap
from simswap.evaluation.pairs_file import PairNames, names_sha256
from simswap.evaluation.photo_faces import PhotoFaces, photo_folder
from simswap.evaluation.protocol_data import ProtocolData, Setting
from simswap.measuring.gallery import ProtocolPairs, choose_pairs
from simswap.measuring.swappers import FaceSource, PreparedFaces
from simswap.models.described import Source, describe

KEEP_MB = 1024  # of decoded crops: 7,000 of 224 px


class Persons:
    """Cross-person pairs drawn among the persons of one split, with a gallery of images of the same persons.

    Each pair's target is also swapped with itself, so ``pairs=1000`` gives the 1,000 cross-person swaps and 1,000
    self-swaps of the paper's ablation.

    Args:
        split: The split of the persons; ``all`` takes every person of data of which none was trained on.
        persons: The largest number of persons in the gallery.
        images_per_person: The largest number of images per person.
        pairs: The number of swaps.
        seed: Of the draws.
        batch_size: Images at a time.
        slices: Attribute → threshold: repeats the figures for the targets whose attribute has at least this absolute
            value, if attributes are known.
        namesakes: With ``split=all``: persons with names of the training's persons are other people.

    Raises:
        InputError: namesakes with another split.
    """

    def __init__(
        self,
        split: str,
        persons: int,
        images_per_person: int,
        pairs: int,
        seed: int,
        batch_size: int,
        slices: dict[str, Any],
        namesakes: bool = False,
    ) -> None:
        if namesakes and split != ALL:
            raise InputError(f"protocol.namesakes=true is for protocol.split={ALL}, and the split is {split}")
        self.split, self.persons, self.images_per_person = split, persons, images_per_person
        self.pairs, self.seed, self.batch_size, self.slices = pairs, seed, batch_size, slices
        self.namesakes = namesakes

    def prepare(self, setting: Setting) -> ProtocolData:
        """Draw the pairs.

        Raises:
            InputError: For several processes; without prepared data of two persons; for ``split=all`` where a
                checkpoint was trained on persons of the data.
        """
        if setting.ranks.size > 1:
            raise InputError("protocol=persons runs in one process; use protocol=faceforensics for several")
        data = held_out(setting.config, setting.data_root, self.split)
        overlap: dict[str, Any] = {}
        if self.split == ALL:
            overlap = {"overlap": check_overlap(data.manifest, setting.checkpoints, self.namesakes)}
        pairs = choose_pairs(data, self.split, self.persons, self.images_per_person, self.pairs, self.seed)
        faces, manifest = faces_to_measure(data, pairs, setting), data.manifest
        names = manifest.relative_path if setting.window is None else manifest.photo
        person = manifest.person[pairs.gallery]
        facts = {
            "name": "persons", "pairing": "cross-person, each person as often target as source, drawn by seed",
            "gallery_persons": len(np.unique(person)),
            "gallery_rule": "all images of the protocol's persons, up to images_per_person each, including the source "
            "image and the target's original (id_retrieval_without_source: without the source image)",
            "data": str(manifest.root), "split": self.split, **overlap, "seed": self.seed,
            "faces": describe((prepared_crops if setting.window is None else prepared_photos)(data, pairs)),
            "gallery_sha256": names_sha256([names(int(row)) for row in pairs.gallery]),
        }  # fmt: skip
        return ProtocolData(
            faces,
            pairs,
            named_pairs(data, pairs, names),
            facts,
            self.batch_size,
            slices=slice_pairs(faces, pairs, self.slices),
        )


def held_out(config: Mapping[str, Any], root: str | None, split: str) -> SwapDataModule:
    """The data with the same split as in training, so that its test persons are unseen; undivided for ``all``.

    Raises:
        InputError: If neither the checkpoint nor the command line names the data, or training had a split ``all``.
    """
    settings = config.get("data") or {}
    if not (root or settings.get("root")):
        raise InputError("no checkpoint names its data (imported ones do not): give prepared crops as data.root=…")
    fractions = settings.get("fractions") or FRACTIONS
    if split == ALL and ALL in fractions:
        raise InputError(
            f"protocol.split={ALL} means every person, and data.fractions of the training has such a split"
        )
    fractions = {ALL: 1.0} if split == ALL else fractions
    return SwapDataModule(root or settings["root"], batch_size=1, size=settings.get("size"), fractions=fractions)


def prepared_crops(data: SwapDataModule, pairs: ProtocolPairs) -> Source:
    """The source of the gallery's faces: a hash of their landmarks, and how their crops are stored."""
    points = data.manifest.crop_landmarks(pairs.gallery, data.size)
    settings = (read_settings(data.manifest.root) or {}).get("settings", {})
    kept = {key: settings.get(key) for key in ("format", "quality")}
    sha256 = hashlib.sha256(np.rint(points * 10).astype(np.int64).tobytes()).hexdigest()  # to a tenth of a pixel
    return Source("prepared crops", sha256, {"kind": "prepared crops", **kept})


def faces_to_measure(data: SwapDataModule, pairs: ProtocolPairs, setting: Setting) -> PreparedFaces | PhotoFaces:
    """The prepared crops, or windows of the photos that they were made of."""
    if setting.window is None:
        return PreparedFaces(data, KEEP_MB)
    return PhotoFaces(data, photo_folder(data.manifest, setting.photos), setting.window, pairs.gallery, KEEP_MB)


def prepared_photos(data: SwapDataModule, pairs: ProtocolPairs) -> Source:
    """The source of the gallery's faces in their photos: a hash of their landmarks."""
    points = np.stack([data.manifest.photo_landmarks(int(row)) for row in pairs.gallery])
    sha256 = hashlib.sha256(np.rint(points * 10).astype(np.int64).tobytes()).hexdigest()  # to a tenth of a pixel
    return Source("photos of prepared crops", sha256, {"kind": "photos"})


def named_pairs(data: SwapDataModule, pairs: ProtocolPairs, names: Callable[[int], str]) -> PairNames:
    """The pairs by name: files below the data's root or below the folder of photos, and persons."""
    manifest, both = data.manifest, (pairs.target, pairs.source)
    return PairNames(
        *([names(int(row)) for row in rows] for rows in both),
        *([manifest.person_names[manifest.person[row]] for row in rows] for rows in both),
    )


def slice_pairs(faces: FaceSource, pairs: ProtocolPairs, slices: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Slices ``<attribute> >= <threshold>`` by the targets' attributes, bool [pairs]; empty if none are known."""
    chosen = {}
    for attribute, threshold in slices.items():
        values = faces.attribute(attribute)
        if values is not None and (mask := np.abs(values)[pairs.target] >= threshold).any():
            chosen[f"{attribute} >= {threshold:g}"] = mask
    return chosen
