"""Choosing what to measure: a gallery of a split's persons, and cross-person pairs in it."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simswap.data.pairs import evaluation_pairs
from simswap.errors import InputError

if TYPE_CHECKING:
    from simswap.data.datamodule import SwapDataModule


class ProtocolPairs(NamedTuple):
    """The pairs of a protocol; all targets and sources are in the gallery.

    Attributes:
        gallery: int64 [N], ascending rows of the data.
        target: int64 [pairs], rows.
        source: int64 [pairs], rows.
    """

    gallery: np.ndarray
    target: np.ndarray
    source: np.ndarray


def choose_pairs(
    data: "SwapDataModule", split: str, persons: int, images_per_person: int, pairs: int, seed: int
) -> ProtocolPairs:
    """Draw a gallery of up to ``persons`` x ``images_per_person`` images of a split, and cross-person pairs in it.

    The result depends only on the split's content and the arguments.

    Raises:
        InputError: If the split has fewer than two persons.
    """
    rows = data.rows(split)
    person = data.manifest.person[rows]
    generator = np.random.default_rng(seed)
    names = np.unique(person)
    if len(names) < 2:
        raise InputError(
            f"the {split} split of {data.manifest.root} has {len(names)} person(s), and swaps need two; prepare more "
            "persons or change data.fractions"
        )
    chosen = generator.permutation(names)[:persons]
    shuffled = generator.permutation(len(rows))
    # The first images_per_person of each chosen person in the shuffled order.
    order = shuffled[np.argsort(person[shuffled], kind="stable")]
    sorted_person = person[order]
    start = np.searchsorted(sorted_person, sorted_person, side="left")
    keep = (np.arange(len(order)) - start < images_per_person) & np.isin(sorted_person, chosen)
    gallery = np.sort(rows[order[keep]])
    target, source = evaluation_pairs(data.manifest.person[gallery], pairs, seed)
    return ProtocolPairs(gallery, gallery[target], gallery[source])
