"""The instruments' predictions for faces, and the figures that are computed from them by a function of their own."""

import hashlib
import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from simswap.errors import InputError
from simswap.metrics.figures import Figure, registered

Predictions = dict[str, Tensor]
"""Predictions for B images by name: ``embedding`` [B, E] of the judge and ``pose`` [B, 3] in degrees; where they are
available, ``identity`` [B, E'] of the recognizer used in training, ``points`` [B, P, 2] in pixels, ``gaze`` [B, 2] in
degrees, ``features`` [B, F] and the embeddings of further judges (`embedding_of`)."""

PREFIX = "figure_"
"""Marks a registered figure among predictions and columns, where its name could be taken."""


def embedding_of(judge: str) -> str:
    """The name of a further judge's embeddings [B, E] among the predictions."""
    return f"embedding of {judge}"


class PairPredictions(NamedTuple):
    """B pairs: the predictions for results, targets and sources, row by row.

    Each also has ``image``: float32 [B, 3, S, S] in unit range, the crop that the instruments saw. ``target`` has
    ``true_gaze`` [B, 2] in degrees where it is known.
    """

    result: Predictions
    target: Predictions
    source: Predictions


def compute_registered(pairs: PairPredictions) -> Predictions:
    """Compute the figures with a function of their own, float32 [B] each, under their prefixed names.

    Raises:
        InputError: If a figure's function returns anything but one real number per pair.
    """
    return {PREFIX + figure.name: _values(figure, pairs) for figure in registered()}


def _values(figure: Figure, pairs: PairPredictions) -> Tensor:
    count = len(pairs.result["image"])
    values = _function(figure)(pairs)
    if not isinstance(values, Tensor) or values.shape != (count,) or values.is_complex():
        found = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise InputError(f"the figure {figure.name!r} returned {found}: one number per pair is needed, [{count}]")
    return values.detach().to(pairs.result["image"].device, torch.float32)


def _function(figure: Figure) -> Callable[[PairPredictions], Any]:
    if isinstance(figure.compute, str):
        module, _, name = figure.compute.rpartition(".")
        return getattr(importlib.import_module(module), name)
    assert figure.compute is not None
    return figure.compute


def registered_digests() -> list[str]:
    """Each such figure with a hash of the file that computes it, so that cached chunks are not used after a change."""
    found = []
    for figure in registered():
        file = inspect.getsourcefile(inspect.unwrap(_function(figure)))
        content = Path(file).read_bytes() if file and Path(file).is_file() else b""
        found.append(f"{figure.name} {hashlib.sha256(content).hexdigest()[:24]}")
    return found
