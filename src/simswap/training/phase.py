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
    """A part of a rank's batch that is processed at once.

    Attributes:
        batch: its positions of the SwapBatch.
        mix: interpolation weights of the gradient penalty, [b].
        identity: identity embeddings of the sources, [b, E].
        result: the swaps with their graph if one forward pass serves both phases, else None.
    """

    batch: dict[str, Tensor]
    mix: Tensor
    identity: Tensor
    result: Tensor | None = None


@dataclass(frozen=True)
class SkippedStep:
    """A skipped step: its phase, and its loss and gradient norm on this rank."""

    phase: str
    loss: float
    norm: float


@dataclass
class Skips:
    """Skipped steps: their total, those of the current iteration, and how many iterations in a row had one."""

    total: int = 0
    in_a_row: int = 0
    now: list[SkippedStep] = field(default_factory=list)

    def count(self) -> None:
        """Count at the end of an iteration."""
        self.total += len(self.now)
        self.in_a_row = self.in_a_row + 1 if self.now else 0


@dataclass
class Phase:
    """The discriminators' or the generator's phase: its network, its loss scale, and the result of its last step.

    Attributes:
        clip: largest norm of the complete gradient, or None.
        scaler: of fp16, one per phase, since the two gradients differ by orders of magnitude.
        loss: of the last step.
        norm: of the last step's gradient, before clipping.
        step: ``made``, ``skipped`` (the loss or gradient was not finite) or ``overflowed`` (fp16 searches its scale).
        precise: the backward pass runs in `full_precision`.
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
        """Compute the norm of the unscaled gradient; returns whether it and the loss are finite on this rank.

        A square that overflows makes the norm infinite, as it would make Adam's second moment.
        """
        self.norm = get_total_norm([p.grad for p in self.network.parameters() if p.grad is not None])
        return bool(torch.isfinite(self.norm) & torch.isfinite(self.loss))

    def clip_gradient(self) -> None:
        """Scale the gradient down to the norm ``clip``, if there is one."""
        if self.clip is not None:
            clip_grads_with_norm_(self.network.parameters(), self.clip, self.norm)

    def looking_for_scale(self) -> bool:
        """fp16: whether the loss is finite and the scale, with which the gradient overflowed, can still decrease."""
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
    """The batch's terms: the mean over its micro-batches, which have equal sizes."""
    return {name: torch.stack([micro_batch[name] for micro_batch in terms]).mean() for name in terms[0]}
