"""Means of logged values over the iterations since the last logged one."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor


class RunningMeans:
    """Sums and counts by name, kept on the device, so that a GPU is not synchronized before the means are needed."""

    def __init__(self) -> None:
        # names → their sums [n] and the number of summed values
        self._sums: dict[tuple[str, ...], Tensor] = {}
        self._counts: dict[tuple[str, ...], Tensor | int] = {}
        # name → sum and count of a checkpoint, until the name comes again
        self._restored: dict[str, tuple[Tensor, int]] = {}

    def add(self, values: Mapping[str, Tensor], valid: Tensor | bool = True) -> None:
        """Add one value per name, scalars without a graph; nothing where ``valid`` is false.

        Names that come together always do.
        """
        if valid is False:
            return
        names, together = tuple(values), torch.stack(list(values.values()))
        if isinstance(valid, Tensor):
            together = torch.where(valid, together, 0)
        if names not in self._sums:
            self._resume(names)
        self._sums[names] = self._sums[names] + together if names in self._sums else together
        self._counts[names] = self._counts.get(names, 0) + valid

    def take(self, over_ranks: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """The mean of each name, averaged over ranks by a single call of ``over_ranks``; then all sums restart at 0."""
        sums, counts = self._totals()
        if not sums:
            return {}
        means = over_ranks(torch.stack([value / counts[name] for name, value in sums.items()]))
        self.clear()
        return dict(zip(sums, means, strict=True))

    def clear(self) -> None:
        """Restart all sums at 0."""
        self._sums.clear()
        self._counts.clear()
        self._restored.clear()

    def state_dict(self, over_ranks: Callable[[Tensor], Tensor]) -> dict[str, Any]:
        """Sums averaged over the ranks, for a checkpoint; they give the same means on all ranks."""
        sums, counts = self._totals()
        values = over_ranks(torch.stack(list(sums.values()))).tolist() if sums else []
        return {"sums": dict(zip(sums, values, strict=True)), "counts": counts}

    def load_state_dict(self, state: Mapping[str, Any], like: Tensor) -> None:
        """Restore the sums; ``like`` has the device and dtype of the values to come."""
        self.clear()
        for name, value in state["sums"].items():
            self._restored[name] = like.new_tensor(value), state["counts"][name]

    def _resume(self, names: tuple[str, ...]) -> None:
        """Go on with the sums of a checkpoint, if it has all of these names."""
        if all(name in self._restored for name in names):
            sums, counts = zip(*(self._restored.pop(name) for name in names), strict=True)
            self._sums[names], self._counts[names] = torch.stack(sums), counts[0]

    def _totals(self) -> tuple[dict[str, Tensor], dict[str, int]]:
        """The sum and the count of each name, the counts read from the device; without those that have no value."""
        totals = dict(self._restored)  # what has not come since
        for names, sums in self._sums.items():
            count = int(self._counts[names])
            if count:
                totals |= {name: (value, count) for name, value in zip(names, sums.unbind(), strict=True)}
        return {name: value for name, (value, _) in totals.items()}, {
            name: count for name, (_, count) in totals.items()
        }
