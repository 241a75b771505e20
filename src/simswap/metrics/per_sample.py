"""A metric that keeps one number per sample, so that intervals can be clustered by persons."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class PerSampleMetric(Metric):
    """Keeps named columns of one float per sample; over ranks they are put one after the other (rank 0 first).

    Every column is float32, whatever it holds, and one-dimensional: a rank that saw no sample can then be gathered
    with the others (torchmetrics stands an empty float tensor in for it).
    """

    full_state_update = False

    def __init__(self, columns: tuple[str, ...]) -> None:
        super().__init__()
        self.columns = columns
        for column in columns:
            self.add_state(column, default=[], dist_reduce_fx="cat")

    def append(self, **columns: Tensor) -> None:
        """Add samples: one float [B] for each of the metric's columns."""
        if set(columns) != set(self.columns):
            raise ValueError(f"columns are {sorted(self.columns)}, got {sorted(columns)}")
        for column, values in columns.items():
            getattr(self, column).append(values.detach().to(torch.float32))
        # What torchmetrics does at update(): values that were worked out elsewhere are appended without it.
        self._update_count += 1
        self._computed = None

    def values(self, column: str) -> Tensor:
        """Float32 [n]: the column's samples in the order of the updates; of this rank alone, except in compute().

        NaN where the figure is not defined for the sample. Raises ValueError for a column that is not kept.
        """
        if column not in self.columns:
            raise ValueError(f"no column {column!r}: there are {', '.join(self.columns)}")
        kept = getattr(self, column)
        if isinstance(kept, Tensor):  # a gathered state is one tensor already
            return kept
        return torch.cat(kept) if kept else torch.empty(0, device=self.device)

    def compute(self) -> Any:
        """The mean of each column, float64 []; NaN before the first sample."""
        return {column: self.mean(column) for column in self.columns}

    def mean(self, column: str) -> Tensor:
        """Float64 []: the mean over the samples where the figure is defined; NaN when there is none."""
        return self.values(column).double().nanmean()


class PairValues(PerSampleMetric):
    """Keeps values that were computed elsewhere, one per pair and column."""

    def update(self, **columns: Tensor) -> None:
        """Add float [B] for each column."""
        self.append(**columns)
