"""A metric that keeps one number per sample, so that intervals can be clustered by persons."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class PerSampleMetric(Metric):
    """Keeps named columns of one float per sample; ranks are concatenated in order, rank 0 first.

    Every column is float32 and one-dimensional, so that a rank without samples can be gathered with the others:
    torchmetrics replaces its empty list by an empty float tensor.

    Args:
        columns: The names of the columns.
    """

    full_state_update = False

    def __init__(self, columns: tuple[str, ...]) -> None:
        super().__init__()
        self.columns = columns
        for column in columns:
            self.add_state(column, default=[], dist_reduce_fx="cat")

    def append(self, **columns: Tensor) -> None:
        """Add B samples: float [B] for each column. Raises ValueError for other columns."""
        if set(columns) != set(self.columns):
            raise ValueError(f"columns are {sorted(self.columns)}, got {sorted(columns)}")
        for column, values in columns.items():
            getattr(self, column).append(values.detach().to(torch.float32))
        # torchmetrics does this in update(), which values computed elsewhere bypass.
        self._update_count += 1
        self._computed = None

    def values(self, column: str) -> Tensor:
        """The samples of a column, float32 [n], in the order of the updates; NaN where undefined.

        They are this rank's only, except during compute(). Raises ValueError for an unknown column.
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
        """The mean over the samples that are not NaN, float64 []; NaN without any."""
        return self.values(column).double().nanmean()


class PairValues(PerSampleMetric):
    """Keeps values that were computed elsewhere, one per pair and column."""

    def update(self, **columns: Tensor) -> None:
        """Add float [B] for each column."""
        self.append(**columns)
