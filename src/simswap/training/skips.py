"""Skipped optimizer steps: noted on the device, and read from it once in a while."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

ROWS: tuple[str, ...] = ("target_index", "source_index")


@dataclass(frozen=True)
class Noted:
    """The outcome of one phase's step, as scalars on the device.

    Attributes:
        phase: its name.
        made: bool, False where the step was skipped since a value was not finite. A loss scale that is being searched
            skips nothing.
        loss: of this rank.
        norm: of the complete gradient, before clipping.
    """

    phase: str
    made: Tensor | bool
    loss: Tensor
    norm: Tensor


@dataclass(frozen=True)
class SkippedStep:
    """A skipped step: its phase, and its loss and gradient norm on this rank."""

    phase: str
    loss: float
    norm: float


@dataclass(frozen=True)
class Iteration:
    """What became of an iteration.

    Attributes:
        number: from 0.
        steps: its skipped steps; empty in the usual case.
        in_a_row: number of iterations up to this one that had a skipped step; 0 if this one had none.
        batch: its ``target_index`` and ``source_index`` on this rank.
    """

    number: int
    steps: list[SkippedStep]
    in_a_row: int
    batch: dict[str, Tensor]


@dataclass
class Skips:
    """Counts skipped steps without a host wait in each iteration: `read` asks the device for all at once."""

    _total: int = 0
    _in_a_row: int = 0
    _now: list[Noted] = field(default_factory=list)
    _unread: list[tuple[int, dict[str, Tensor], list[Noted]]] = field(default_factory=list)
    _news: list[Iteration] = field(default_factory=list)

    @property
    def total(self) -> int:
        """The number of skipped steps so far."""
        self.read()
        return self._total

    @property
    def in_a_row(self) -> int:
        """The number of iterations in a row, up to the last one, that had a skipped step."""
        self.read()
        return self._in_a_row

    def note(self, noted: Noted) -> None:
        """Add a step of the current iteration."""
        self._now.append(noted)

    def end_iteration(self, number: int, batch: dict[str, Tensor]) -> None:
        """Close the current iteration."""
        rows = {name: batch[name] for name in ROWS if name in batch}
        self._unread.append((number, rows, self._now))
        self._now = []

    def read(self) -> None:
        """Count the iterations since the last call; a wait for the device if there are any."""
        unread, self._unread = self._unread, []
        made = iter(_numbers([one.made for _, _, steps in unread for one in steps]))
        for number, batch, steps in unread:
            skipped = [SkippedStep(one.phase, float(one.loss), float(one.norm)) for one in steps if not next(made)]
            self._total += len(skipped)
            self._in_a_row = self._in_a_row + 1 if skipped else 0
            self._news.append(Iteration(number, skipped, self._in_a_row, batch if skipped else {}))

    def news(self) -> list[Iteration]:
        """The iterations that were read since the last call."""
        news, self._news = self._news, []
        return news

    def restore(self, total: int, in_a_row: int) -> None:
        """Go on with the counts of a checkpoint."""
        self._total, self._in_a_row = total, in_a_row


def _numbers(values: list[Tensor | bool]) -> list[bool]:
    """The values on the host, with one transfer from the device."""
    if any(isinstance(value, Tensor) for value in values):
        return torch.stack([torch.as_tensor(value) for value in values]).tolist()
    return values  # type: ignore[return-value]
