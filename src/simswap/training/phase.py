"""One phase of an iteration, its micro-batches, and the outcome of its step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from simswap.data.batches import LOSS_IDENTITY
from simswap.training.gradient_reduction import GradientReduction

PART_KEYS = ("target", "source", "source_identity", "same_identity", "target_view", "source_view")
"""What a micro-batch takes of a SwapBatch, beside the loss recognizers' embeddings."""

Decision = bool | Tensor
"""A decision about a step: a bool scalar on the device, or a bool where the host has read it."""

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


def rows_of(batch: Mapping[str, Tensor], start: int, count: int) -> dict[str, Tensor]:
    """These positions of a SwapBatch."""
    keys = [key for key in batch if key in PART_KEYS or key.startswith(LOSS_IDENTITY)]
    return {key: batch[key][start : start + count] for key in keys}


@dataclass
class Phase:
    """The discriminators' or the generator's phase: its network, its loss scale, and the result of its last step.

    Attributes:
        clip: largest norm of the complete gradient, or None.
        scaler: of fp16, one per phase, since the two gradients differ by orders of magnitude.
        precise: the backward pass runs in `full_precision`.
        reduction: averages the gradients over the ranks; None with one rank, or where torch's wrapper does it.
        loss: of the last step, on this rank.
        norm: of the last step's gradient, before clipping.
        bad_losses: number of ranks whose loss was not finite in the last step, a scalar.
        made: whether the last step was made.
        valid: whether what it showed counts: it was made, or fp16 is still searching its scale.
    """

    name: str
    network: nn.Module
    clip: float | None
    scaler: Any = None
    precise: bool = False
    reduction: GradientReduction | None = None
    loss: Tensor = field(default_factory=lambda: torch.zeros(()))
    norm: Tensor = field(default_factory=lambda: torch.zeros(()))
    bad_losses: Tensor = field(default_factory=lambda: torch.zeros(()))
    made: Decision = True
    valid: Decision = True

    def judge(self) -> None:
        """Compute the norm of the unscaled gradient and decide, on the device, whether to make the step.

        A square that overflows makes the norm infinite, as it would make Adam's second moment. The gradient and
        ``bad_losses`` are those of all ranks, so all ranks decide alike.
        """
        self.norm = get_total_norm([p.grad for p in self.network.parameters() if p.grad is not None])
        finite_loss, finite_norm = self.bad_losses == 0, torch.isfinite(self.norm)
        self.made = self.valid = finite_loss & finite_norm
        if self.scaler is not None and self.scaler.get_scale() > SMALLEST_SEARCHED_SCALE:
            self.valid = finite_loss

    def read(self) -> None:
        """Bring the decision to the host."""
        self.made, self.valid = bool(self.made), bool(self.valid)

    def prepare_step(self, optimizer: Optimizer) -> None:
        """Clip the gradient, or make the optimizer's next step change nothing."""
        if isinstance(self.made, Tensor):
            optimizer.found_inf = (~self.made).float()  # type: ignore[attr-defined]
            optimizer.grad_scale = None  # type: ignore[attr-defined]
        elif not self.made:
            optimizer.zero_grad()  # an optimizer ignores parameters without a gradient
            return
        if self.clip is not None:
            clip_grads_with_norm_(self.network.parameters(), self.clip, self.norm)


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
    if len(terms) == 1:
        return terms[0]
    return {name: torch.stack([micro_batch[name] for micro_batch in terms]).mean() for name in terms[0]}
