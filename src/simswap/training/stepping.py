"""Optimizer steps of any phase: micro-batches, loss scales, guards, logging, and the state of a resumed run."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import lightning as L
import torch
from lightning.pytorch.strategies import ParallelStrategy
from torch import Tensor
from torch.optim import Optimizer

from simswap.compat.lightning import leave_uncounted
from simswap.models.statistics import restore_buffers
from simswap.precision import full_precision
from simswap.training.means import RunningMeans
from simswap.training.phase import MADE, OVERFLOWED, SKIPPED, MicroBatch, Phase, SkippedStep, Skips, like, mean_of

STATE_KEY = "simswap_training"


class SteppingModule(L.LightningModule):
    """Manual optimization in phases, the generator's and the discriminators', each with its optimizer.

    A phase sums the gradient over the micro-batches of a batch and makes one step. If the loss or gradient is not
    finite on any rank, all ranks skip the step, and weights, optimizer and statistics stay as they were.
    """

    def __init__(self, phases: list[Phase]) -> None:
        super().__init__()
        self.automatic_optimization = False
        # A dict of plain objects, which torch does not register: each network has one name in the state dict.
        self.phases = {phase.name: phase for phase in phases}
        #: skipped optimizer steps, for callbacks to read
        self.skips = Skips()
        self._stepping = phases[0]
        self._means = RunningMeans()
        self._restored: dict[str, Any] = {}

    def prepare_steps(self) -> None:
        """Set up fp16's loss scales at the start of training, with their state from a checkpoint."""
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is not None:  # the generator takes Lightning's, the discriminators one of its kind
            self.phases["generator"].scaler = scaler
            self.phases["discriminator"].scaler = like(scaler, self.device)
        if self._restored:
            self._load_state(self._restored)
            self._restored = {}

    def step(
        self,
        phase: Phase,
        optimizer: Optimizer,
        micro_batches: list[MicroBatch],
        loss_of: Callable[[MicroBatch], tuple[Tensor, dict[str, Tensor]]],
        statistics: list[Tensor],
    ) -> bool:
        """One step along the mean gradient of the micro-batches.

        Args:
            phase: whose step.
            optimizer: of the phase.
            micro_batches: of the batch.
            loss_of: gives a micro-batch's loss and terms.
            statistics: the buffers of the phase's network before any forward pass on this batch; restored if the step
                is skipped.

        Returns:
            Whether the step was made.
        """
        self._stepping = phase
        losses, terms = [], []
        with self._loss_scale_of(phase):
            for micro_batch in micro_batches:
                with self._gradients_exchanged(micro_batch is micro_batches[-1]):
                    loss, part_terms = loss_of(micro_batch)
                    with full_precision() if phase.precise else nullcontext():
                        self.manual_backward(loss / len(micro_batches))
                losses.append(loss.detach())
                terms.append(part_terms)
            phase.loss = torch.stack(losses).mean()
            optimizer.step()
        optimizer.zero_grad()
        if phase.step == SKIPPED:
            restore_buffers(phase.network, statistics)
            self.skips.now.append(SkippedStep(phase.name, float(phase.loss), float(phase.norm)))
            return False
        self._means.add(mean_of(terms))
        if phase.step == MADE:
            self._means.add({f"{phase.name}_grad_norm": phase.norm})
        return phase.step == MADE

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Check the complete gradient (unscaled, in fp16): skip the step if it is not finite, else clip."""
        phase, agree = self._stepping, self.trainer.strategy.reduce_boolean_decision
        if agree(phase.measure()):
            phase.step = MADE
            phase.clip_gradient()
            return
        phase.step = OVERFLOWED if agree(phase.looking_for_scale()) else SKIPPED
        optimizer.zero_grad()  # Adam ignores parameters without a gradient: neither weights nor moments change

    def optimizers_counted_once(self) -> Any:
        """Both optimizers; discriminator steps are not counted, or one iteration would be two global steps."""
        optimizer_g, optimizer_d = self.optimizers()  # type: ignore
        leave_uncounted(optimizer_d)
        return optimizer_g, optimizer_d

    def log_means(self, rates: dict[str, Optimizer]) -> None:
        """Log means over ranks and over the iterations since the last logged one.

        With alternating pairs, a single iteration shows only one kind of pair.

        Args:
            rates: name → optimizer whose learning rate is logged.
        """
        if self.global_step % max(1, self.trainer.log_every_n_steps):  # type: ignore[attr-defined]
            return
        values: dict[str, Any] = dict(self._means.take(self._over_ranks))
        values |= {name: optimizer.param_groups[0]["lr"] for name, optimizer in rates.items()}
        values |= {"skipped_steps": float(self.skips.total)}
        values |= {f"{p.name}_loss_scale": p.scaler.get_scale() for p in self.phases.values() if p.scaler is not None}
        self.log_dict({f"train/{name}": value for name, value in values.items()}, batch_size=1)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the running means, skipped steps and loss scales."""
        scaler = self.phases["discriminator"].scaler
        checkpoint[STATE_KEY] = {
            "means": self._means.state_dict(self._over_ranks),
            "skipped_steps": self.skips.total,
            "skipped_in_a_row": self.skips.in_a_row,
            "discriminator_scaler": None if scaler is None else scaler.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore what `on_save_checkpoint` added."""
        self._restored = checkpoint.get(STATE_KEY, {})  # earlier checkpoints have none

    def _load_state(self, state: dict[str, Any]) -> None:
        self._means.load_state_dict(state["means"], next(self.parameters()))
        self.skips.total, self.skips.in_a_row = state["skipped_steps"], state["skipped_in_a_row"]
        scaler = self.phases["discriminator"].scaler
        if scaler is not None and state["discriminator_scaler"]:
            scaler.load_state_dict(state["discriminator_scaler"])

    def _over_ranks(self, values: Tensor) -> Tensor:
        return self.trainer.strategy.reduce(values, reduce_op="mean")  # type: ignore[return-value]

    def _gradients_exchanged(self, last: bool) -> AbstractContextManager[None]:
        """Let ranks exchange gradients only with the last micro-batch's backward pass."""
        strategy = self.trainer.strategy
        return nullcontext() if last or not isinstance(strategy, ParallelStrategy) else strategy.block_backward_sync()

    @contextmanager
    def _loss_scale_of(self, phase: Phase) -> Iterator[None]:
        """fp16: Lightning scales, unscales and steps with this phase's own scale."""
        plugin: Any = self.trainer.precision_plugin
        if phase.scaler is not None:
            plugin.scaler = phase.scaler
        yield
        if phase.scaler is not None:
            plugin.scaler = self.phases["generator"].scaler  # the one that Lightning saves
