"""Means of logged values over the iterations since the last logged one."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor


class RunningMeans:
    """Sums and counts by name, kept on the device, so that a GPU is not synchronized before the means are needed."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add one value per name, scalars without a graph."""
        for name, value in values.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self, over_ranks: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """The mean of each name, averaged over ranks by a single call of ``over_ranks``; then all sums restart at 0."""
        names = list(self._sums)
        if not names:
            return {}
        means = over_ranks(torch.stack([self._sums[name] / self._counts[name] for name in names]))
        self.clear()
        return dict(zip(names, means, strict=True))

    def clear(self) -> None:
        """Restart all sums at 0."""
        self._sums.clear()
        self._counts.clear()

    def state_dict(self, over_ranks: Callable[[Tensor], Tensor]) -> dict[str, Any]:
        """Sums averaged over the ranks, for a checkpoint; they give the same means on all ranks."""
        names = list(self._sums)
        sums = over_ranks(torch.stack([self._sums[name] for name in names])).tolist() if names else []
        return {"sums": dict(zip(names, sums, strict=True)), "counts": dict(self._counts)}

    def load_state_dict(self, state: Mapping[str, Any], like: Tensor) -> None:
        """Restore the sums; ``like`` has the device and dtype of the values to come."""
        self._sums = {name: like.new_tensor(value) for name, value in state["sums"].items()}
        self._counts = dict(state["counts"])
