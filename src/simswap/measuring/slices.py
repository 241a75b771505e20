"""Slices of a protocol's pairs by what the instruments measure on targets and sources.

They are made of the gallery's predictions alone, so all swappers share them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from simswap.errors import InputError
from simswap.measuring.gallery import ProtocolPairs
from simswap.measuring.predictions import Predictions
from simswap.settings.words import nearest

THIRDS = ("low", "middle", "high")


class Side(NamedTuple):
    """The predictions for the targets or the sources of all pairs."""

    yaw: np.ndarray
    embedding: Tensor
    sharpness: np.ndarray


@dataclass(frozen=True)
class Quantity:
    """Something by which pairs are sliced.

    Attributes:
        label: Its name in tables.
        definition: What it is, in a few words.
        measure: (targets, sources) → float64 [pairs], NaN where it is unknown.
        angle: Whether it is an angle in degrees, sliced at fixed edges; otherwise it is sliced into thirds.
    """

    label: str
    definition: str
    measure: Callable[[Side, Side], np.ndarray]
    angle: bool = False


QUANTITIES = {
    "target_yaw": Quantity(
        "target yaw", "absolute yaw of the target by the pose estimator, degrees", lambda t, s: np.abs(t.yaw), True
    ),
    "yaw_difference": Quantity(
        "yaw difference", "absolute difference of source's and target's yaw by the pose estimator, degrees",
        lambda t, s: np.abs((s.yaw - t.yaw + 180) % 360 - 180), True,
    ),
    "cosine": Quantity(
        "cosine", "cosine of source's and target's embeddings by the judge",
        lambda t, s: (t.embedding * s.embedding).sum(dim=1).double().cpu().numpy(),
    ),
    "target_sharpness": Quantity(
        "target sharpness", "Laplacian variance of the target divided by its mean squared gradient, at 112 px",
        lambda t, s: t.sharpness,
    ),
    "source_sharpness": Quantity(
        "source sharpness", "Laplacian variance of the source divided by its mean squared gradient, at 112 px",
        lambda t, s: s.sharpness,
    ),
}  # fmt: skip
"""By their names in ``slices.by``."""


class MeasuredSlices(NamedTuple):
    """Slices by what was measured.

    Attributes:
        masks: The slices with enough pairs, bool [pairs] by name.
        facts: The description for evaluation.json, by quantity: ``label``, ``definition``, ``edges``, ``rule``,
            ``unknown`` (pairs without a value), ``slices`` (``low``, ``high`` and ``pairs`` of every slice by name) and
            ``left_out`` (the names of those with too few pairs).
    """

    masks: dict[str, np.ndarray]
    facts: dict[str, Any]


def measured_slices(
    gallery: Predictions, pairs: ProtocolPairs, by: Sequence[str], yaw_edges: Sequence[float], min_pairs: int
) -> MeasuredSlices:
    """Slice the pairs by each quantity.

    Args:
        gallery: Predictions for the gallery, in the order of ``pairs.gallery``, with ``sharpness`` [N].
        pairs: The protocol's pairs.
        by: Names of `QUANTITIES`.
        yaw_edges: Degrees between the slices of an angle, ascending.
        min_pairs: Slices with fewer pairs have no mask.

    Raises:
        InputError: For an unknown quantity, or edges that do not ascend from above 0.
    """
    check_slices(by, yaw_edges)
    target, source = (_side(gallery, np.searchsorted(pairs.gallery, rows)) for rows in (pairs.target, pairs.source))
    masks: dict[str, np.ndarray] = {}
    facts: dict[str, Any] = {}
    for name in by:
        quantity = QUANTITIES[name]
        values = quantity.measure(target, source)
        edges = np.asarray(yaw_edges if quantity.angle else _thirds(values), dtype=np.float64)
        found = _cut(quantity, values, edges)
        facts[name] = {
            "label": quantity.label,
            "definition": quantity.definition,
            "edges": edges.tolist(),
            "rule": "fixed edges" if quantity.angle else "thirds of the pairs",
            "unknown": int(np.isnan(values).sum()),
            "slices": {part: {"low": low, "high": high, "pairs": int(mask.sum())} for part, low, high, mask in found},
            "left_out": [part for part, _, _, mask in found if mask.sum() < min_pairs],
        }
        masks |= {part: mask for part, _, _, mask in found if mask.sum() >= min_pairs}
    return MeasuredSlices(masks, facts)


def check_slices(by: Sequence[str], yaw_edges: Sequence[float]) -> None:
    """Raise InputError for an unknown quantity, or edges that do not ascend from above 0."""
    for name in by:
        if name not in QUANTITIES:
            raise InputError(f"slices.by: unknown quantity {name}{nearest(name, list(QUANTITIES))}")
    if any(low >= high for low, high in zip((0, *yaw_edges), yaw_edges, strict=False)):
        raise InputError(f"slices.yaw_edges={list(yaw_edges)}: give degrees that ascend from above 0, as in [15,30]")


def _side(gallery: Predictions, places: np.ndarray) -> Side:
    yaw, sharp = (gallery[key].double().cpu().numpy() for key in ("pose", "sharpness"))
    return Side(yaw[places, 0], gallery["embedding"][places], sharp[places])


def _thirds(values: np.ndarray) -> np.ndarray:
    """The two values that part the known values into thirds; none if no value is known."""
    known = values[~np.isnan(values)]
    return np.quantile(known, [1 / 3, 2 / 3]) if len(known) else np.empty(0)


def _cut(
    quantity: Quantity, values: np.ndarray, edges: np.ndarray
) -> list[tuple[str, float | None, float | None, np.ndarray]]:
    """(name, low, high, bool [pairs]) of each slice, low <= value < high; None where it has no edge."""
    if not len(edges):
        return []
    place = np.searchsorted(edges, values, side="right")  # NaN sorts behind every edge
    lows, highs = [None, *edges.tolist()], [*edges.tolist(), None]
    words: Sequence[str] = THIRDS
    if quantity.angle:
        words = [f"{low or 0:g} to {high:g}" for low, high in zip(lows, edges, strict=False)] + [f"from {edges[-1]:g}"]
    known = ~np.isnan(values)
    return [
        (f"{quantity.label} {word}", low, high, (place == k) & known)
        for k, (word, low, high) in enumerate(zip(words, lows, highs, strict=True))
    ]
