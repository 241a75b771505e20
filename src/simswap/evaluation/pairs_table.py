"""The table of pairs for W&B: target, source and result as pictures, and every figure of the pair."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from simswap.evaluation.pairs_file import PairNames
from simswap.evaluation.protocol_data import ProtocolData
from simswap.evaluation.worst import IDENTITY, POSE, Values, faces_of_pairs
from simswap.measuring.swappers import Swapper
from simswap.pictures import provenance, write_jpeg
from simswap.tracking.wandb_evaluation import PICTURES, PairsTable

SAMPLE = "sample"
WORST = {IDENTITY: "worst by identity", POSE: "worst by pose"}


def chosen_pairs(values: Values, sample: int, worst: int) -> dict[int, str]:
    """Choose pairs to show: a sample, evenly spread and so the same for every run of the protocol, and the worst.

    Args:
        values: What the worst are chosen by.
        sample: Pairs of the sample; all if there are fewer.
        worst: Pairs by identity, and as many by pose.

    Returns:
        The places, in the order of the pairs, with the reasons.
    """
    count = len(values.share)
    even = np.linspace(0, count - 1, min(sample, count)).round().astype(int) if count and sample else []
    found: dict[int, list[str]] = {int(place): [SAMPLE] for place in even}
    bad = values.worst(worst) if worst else {}
    for name, reason in WORST.items():
        for place in bad.get(name, ()):
            found.setdefault(int(place), []).append(reason)
    return {place: ", ".join(found[place]) for place in sorted(found)}


def pairs_table(
    folder: Path,
    data: ProtocolData,
    swapper: Swapper,
    samples: Mapping[str, np.ndarray],
    values: Values,
    chosen: Mapping[int, str],
    sha256: str,
    device: torch.device,
) -> PairsTable:
    """Swap the chosen pairs again and write their pictures.

    Args:
        folder: Where to write JPEG files.
        data: The protocol's faces and pairs.
        swapper: The network.
        samples: Its figures of every pair, float [pairs].
        values: What the worst pairs were chosen by.
        chosen: `chosen_pairs`.
        sha256: The hash of the network's checkpoint, for the results' provenance.
        device: Where to swap.
    """
    places, names = list(chosen), data.names
    figures = dict(samples) | {IDENTITY: values.share}
    columns = ["pair", "chosen", "target_person", "source_person", *PICTURES, *figures]
    rows: list[list[object]] = []
    for start in range(0, len(places), data.batch_size):
        part = places[start : start + data.batch_size]
        pictures = zip(*faces_of_pairs(data, swapper, part, device), strict=True)
        for place, (source, target, result) in zip(part, pictures, strict=True):
            files = [folder / f"{place}_{kind}.jpg" for kind in PICTURES]
            for file, picture in zip(files, (target, source, result), strict=True):
                write_jpeg(file, picture, provenance(f"sha256:{sha256}") if picture is result else None)
            rows.append(
                [
                    pair_name(names, place),
                    chosen[place],
                    names.target_person[place],
                    names.source_person[place],
                    *files,
                    *(float(figures[name][place]) for name in figures),
                ]
            )
    return PairsTable(columns, rows)


def pair_name(names: PairNames, place: int) -> str:
    """The key by which the tables of several runs are joined: ``<target> < <source>``."""
    return f"{names.target[place]} < {names.source[place]}"
