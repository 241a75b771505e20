"""One phase of an iteration, its micro-batches, and the outcome of its step."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

MADE, OVERFLOWED, SKIPPED = "made", "overflowed", "skipped"
SMALLEST_SEARCHED_SCALE = 1.0
"""fp16 finds its loss scale by overflowing: down to here a gradient that is not finite says nothing of the network."""


@dataclass
class MicroBatch:
    """A share of a rank's batch that is worked through at once.

    batch: these positions of the SwapBatch. mix: of the gradient penalty, [b]. identity: of the sources, [b, E].
    result: the swaps with their graph where one forward pass serves both phases, else None.
    """

    batch: dict[str, Tensor]
    mix: Tensor
    identity: Tensor
    result: Tensor | None = None


@dataclass(frozen=True)
class SkippedStep:
    """A step that was left out: whose, and its loss and the norm of its gradient on this rank."""

    phase: str
    loss: float
    norm: float


@dataclass
class Skips:
    """Steps left out: in all, in the iteration at hand, and how many iterations in a row had one."""

    total: int = 0
    in_a_row: int = 0
    now: list[SkippedStep] = field(default_factory=list)

    def count(self) -> None:
        """At the end of an iteration."""
        self.total += len(self.now)
        self.in_a_row = self.in_a_row + 1 if self.now else 0


@dataclass
class Phase:
    """The discriminators' or the generator's: its network, its loss scale, and how its last step went.

    clip: largest norm of the whole gradient, or None. scaler: of fp16, each phase its own, since the two gradients
    differ by orders of magnitude. loss, norm: of the last step, the norm before clipping. step: ``made``, ``skipped``
    (the loss or the gradient was not finite) or ``overflowed`` (fp16 looks for its scale). precise: its backward pass
    runs in `full_precision`.
    """

    name: str
    network: nn.Module
    clip: float | None
    scaler: Any = None
    precise: bool = False
    loss: Tensor = field(default_factory=lambda: torch.zeros(()))
    norm: Tensor = field(default_factory=lambda: torch.zeros(()))
    step: str = MADE

    def measure(self) -> bool:
        """Work out the norm of the unscaled gradient; is it finite on this rank, and the loss too?

        A square that overflows makes the norm infinite, as it would Adam's second moment.
        """
        self.norm = get_total_norm([p.grad for p in self.network.parameters() if p.grad is not None])
        return bool(torch.isfinite(self.norm) & torch.isfinite(self.loss))

    def clip_gradient(self) -> None:
        if self.clip is not None:
            clip_grads_with_norm_(self.network.parameters(), self.clip, self.norm)

    def looking_for_scale(self) -> bool:
        """fp16: the loss is finite, and the scale that made the gradient overflow may still come down."""
        if self.scaler is None or self.scaler.get_scale() <= SMALLEST_SEARCHED_SCALE:
            return False
        return bool(torch.isfinite(self.loss)) and not bool(torch.isfinite(self.norm))


def like(scaler: Any, device: torch.device) -> Any:
    """A second loss scaler with the settings of the first."""
    return torch.amp.GradScaler(
        device.type,
        scaler.get_scale(),
        scaler.get_growth_factor(),
        scaler.get_backoff_factor(),
        scaler.get_growth_interval(),
    )


def mean_of(terms: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The batch's terms from those of its micro_batches, which are of one size."""
    return {name: torch.stack([micro_batch[name] for micro_batch in terms]).mean() for name in terms[0]}
