"""One stage of a measurement: the gallery, or the results of one swapper."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import torch
from torch import Tensor

from simswap.measuring.ahead import ahead
from simswap.measuring.predictions import Predictions

THERE = "there"
"""Among a chunk's predictions: bool [B], which rows can be measured."""


class Stage:
    """Computes the predictions of a chunk: of rows of the gallery, or of places of the protocol's pairs.

    Args:
        read: Reads a chunk's faces; may run in a thread, ahead of the computation.
        compute: (chunk, its faces) → predictions, with `THERE` if rows may be unusable.
        workers: Threads that read ahead.
    """

    def __init__(
        self, read: Callable[[np.ndarray], Any], compute: Callable[[np.ndarray, Any], Predictions], workers: int = 0
    ) -> None:
        self.read, self.compute, self.workers = read, compute, workers

    def __call__(self, chunk: np.ndarray) -> Predictions:
        """The predictions of one chunk."""
        return kept(self.compute(chunk, self.read(chunk)))

    def in_order(self, chunks: Sequence[np.ndarray]) -> Iterator[Predictions]:
        """The predictions of each chunk with all rows and `THERE`: leaving rows out would wait for the device."""
        with closing(ahead(self.read, chunks, self.workers)) as faces:  # type: ignore[type-var]
            for chunk, read in zip(chunks, faces, strict=True):
                yield self.compute(chunk, read)


def results_of(compute: Callable[[np.ndarray], Predictions], chunks: Sequence[np.ndarray]) -> Iterator[Predictions]:
    """The results for each chunk in order, of a `Stage` or of a plain function."""
    return compute.in_order(chunks) if isinstance(compute, Stage) else map(compute, chunks)


def kept(predictions: Predictions) -> Predictions:
    """The predictions of the rows that can be measured, without `THERE`."""
    there = predictions.get(THERE)
    if there is None:
        return predictions
    return {name: values[there] for name, values in predictions.items() if name != THERE}


def joined(parts: Iterable[Predictions], device: torch.device) -> Predictions:
    """The predictions of all chunks as one, on a device."""
    parts = list(parts)
    names = dict.fromkeys(name for part in parts for name in part)

    def join(name: str) -> Tensor:
        return torch.cat([part[name] for part in parts]).to(device)

    return kept({name: join(name) for name in names})
