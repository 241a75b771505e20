"""Measures swappers by one protocol and puts the figures into the form of evaluation.json."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from simswap.checkpoint import SwapCheckpoint
from simswap.data.datamodule import SwapDataModule
from simswap.evaluation.pairs_file import PairNames, pairs_sha256
from simswap.measuring import COPY_SOURCE, DO_NOTHING, Figure, Ruler, Swapper, swap_faces
from simswap.models.embedder import Embedder
from simswap.models.recognition import Recogniser

CONTROLS = (DO_NOTHING, COPY_SOURCE)


def checkpoint_swapper(
    checkpoint: SwapCheckpoint, embedder: Embedder, name: str, kind: str, device: torch.device
) -> Swapper:
    """The checkpoint's generator as a swapper of pictures in unit range."""
    generator = checkpoint.generator.to(device)
    embedder = embedder.to(device)

    return Swapper(name, kind, partial(swap_faces, generator, embedder))


class Evaluated(NamedTuple):
    """Each swapper's entry in evaluation.json, every pair's figures by swapper (float [n]), and the chance level."""

    results: dict[str, dict[str, Any]]
    samples: dict[str, dict[str, np.ndarray]]
    chance: float


def run_protocol(ruler: Ruler, swappers: list[Swapper], seed: int, slices: Mapping[str, float]) -> Evaluated:
    """Each swapper's figures, the controls' beside them, all on the same pairs."""
    results: dict[str, dict[str, Any]] = {}
    samples: dict[str, dict[str, np.ndarray]] = {}
    chosen = slice_pairs(ruler, slices)
    chance = float("nan")
    for swapper in (*swappers, *CONTROLS):
        measured = ruler.measure(swapper)
        chance = measured.chance
        samples[swapper.name] = {name: values.cpu().numpy() for name, values in measured.samples().items()}
        results[swapper.name] = {
            "kind": swapper.kind,
            **_plain(measured.figures(seed)),
            "missed_poses": measured.missed_poses,
            "slices": {
                name: {**_plain(measured.figures(seed, mask)), "pairs": int(mask.sum())}
                for name, mask in chosen.items()
            },
        }
    return Evaluated(results, samples, chance)


def named_pairs(ruler: Ruler) -> PairNames:
    """The pairs by name: files below the data's root, and persons."""
    manifest, pairs = ruler.data.manifest, ruler.pairs
    return PairNames(
        *([manifest.relative_path(row) for row in rows] for rows in (pairs.target, pairs.source)),
        *([manifest.person_names[manifest.person[row]] for row in rows] for rows in (pairs.target, pairs.source)),
    )


def slice_pairs(ruler: Ruler, slices: Mapping[str, float]) -> dict[str, np.ndarray]:
    """``<attribute> >= <threshold>`` → bool [pairs] by the targets' known attributes; empty where none are known."""
    table = ruler.data.manifest.attributes()
    if table is None:
        return {}
    chosen = {}
    for attribute, threshold in slices.items():
        if attribute in table.column_names:
            values = np.abs(table[attribute].to_numpy().astype(np.float64))[ruler.pairs.target]
            mask = values >= threshold
            if mask.any():
                chosen[f"{attribute} >= {threshold:g}"] = mask
    return chosen


def describe_protocol(
    ruler: Ruler, settings: Mapping[str, Any], data: SwapDataModule, recogniser: Recogniser, chance: float
) -> dict[str, Any]:
    """What must stand beside every figure."""
    judge, pose = ruler.judge.recogniser, ruler.pose
    gallery = ruler.pairs.gallery
    return {
        "name": settings["name"],
        "pairs": len(ruler.pairs.target),
        "pairs_sha256": pairs_sha256(named_pairs(ruler)),
        "pairing": "cross-person, each person as often target as source, drawn by seed",
        "gallery_images": len(gallery),
        "gallery_persons": len(np.unique(data.manifest.person[gallery])),
        "gallery_rule": "all images of the protocol's persons, up to images_per_person each; the very source image "
        "and the target's original are in it (id_retrieval_without_source: without the source image)",
        "chance": chance,
        "recogniser": {"name": recogniser.name, "sha256": recogniser.sha256},
        "judge": {
            "name": judge.name, "sha256": judge.sha256, "same_network": judge.sha256 == recogniser.sha256,
        },
        "pose": {"name": pose.name, "sha256": pose.sha256, "noise_floor_deg": pose.noise_floor_deg},
        "data": str(data.manifest.root),
        "split": settings["split"],
        "seed": settings["seed"],
        "image_size": data.size,
        "template": data.manifest.template,
    }


def _plain(figures: Mapping[str, Figure]) -> dict[str, dict[str, float]]:
    return {name: figure._asdict() for name, figure in figures.items()}
