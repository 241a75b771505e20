"""Optimizer steps of any phase: micro-batches, loss scales, guards, logging, and the state of a resumed run."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import lightning as L
import torch
import torch.distributed
from lightning.pytorch.strategies import ParallelStrategy
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from simswap.compat.lightning import leave_uncounted
from simswap.models.statistics import restore_buffers
from simswap.precision import full_precision
from simswap.training.gradient_reduction import GradientReduction
from simswap.training.means import RunningMeans
from simswap.training.optimization import keep_form, skips_on_device
from simswap.training.phase import Decision, MicroBatch, Phase, like, mean_of
from simswap.training.skips import Noted, Skips

log = logging.getLogger(__name__)

STATE_KEY = "simswap_training"


class SteppingModule(L.LightningModule):
    """Manual optimization in phases, the generator's and the discriminators', each with its optimizer.

    A phase sums the gradient over the micro-batches of a batch and makes one step. If the loss or gradient is not
    finite on any rank, all ranks skip the step, and weights, optimizer and statistics stay as they were.

    On a GPU that decision stays on the device, so that the host never waits for it. The host reads it where the
    optimizer needs that, with fp16's loss scale, and on the CPU, where reading is free.

    Attributes:
        phases: name → phase, in the order of the iteration.
        skips: skipped optimizer steps, for callbacks to read.
        decide_on_device: whether decisions stay on the device; None chooses it by the device.
    """

    def __init__(self, phases: list[Phase]) -> None:
        super().__init__()
        self.automatic_optimization = False
        # A dict of plain objects, which torch does not register: each network has one name in the state dict.
        self.phases = {phase.name: phase for phase in phases}
        self.skips = Skips()
        self.decide_on_device: bool | None = None
        self._on_device = False
        self._stepping = phases[0]
        self._means = RunningMeans()
        self._restored: dict[str, Any] = {}

    def may_decide_on_device(self) -> bool:
        """Whether decisions can stay on the device, if the optimizers allow it."""
        if not (self.device.type == "cuda" if self.decide_on_device is None else self.decide_on_device):
            return False
        # Lightning's step with a loss scale asks the device itself.
        return getattr(self.trainer.precision_plugin, "scaler", None) is None

    def prepare_steps(self) -> None:
        """Set up fp16's loss scales and the reduction over ranks at the start of training."""
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is not None:  # the generator takes Lightning's, the discriminators one of its kind
            self.phases["generator"].scaler = scaler
            self.phases["discriminator"].scaler = like(scaler, self.device)
        if self._restored:
            self._load_state(self._restored)
            self._restored = {}
        self.on_fit_end()  # a training before this one may have ended with an error
        if self.trainer.world_size > 1 and not isinstance(self.trainer.strategy.model, DistributedDataParallel):
            for phase in self.phases.values():
                phase.reduction = GradientReduction(phase.network, self.trainer.world_size)

    def on_train_start(self) -> None:
        """Choose where skipped steps are decided."""
        optimizers = [optimizer.optimizer for optimizer in self.optimizers()]  # type: ignore[union-attr]
        for optimizer in optimizers:
            keep_form(optimizer)
        self._on_device = self.may_decide_on_device()
        waiting = [type(optimizer).__name__ for optimizer in optimizers if not skips_on_device(optimizer)]
        if self._on_device and waiting:
            self._on_device = False
            log.info(
                "%s cannot skip a step on the device: each step waits until the host has read whether its loss and "
                "gradient are finite",
                " and ".join(sorted(set(waiting))),
            )

    def on_fit_end(self) -> None:
        """Remove the reduction's hooks."""
        for phase in self.phases.values():
            if phase.reduction is not None:
                phase.reduction.close()
                phase.reduction = None

    def step(
        self,
        phase: Phase,
        optimizer: Optimizer,
        micro_batches: list[MicroBatch],
        loss_of: Callable[[MicroBatch], tuple[Tensor, dict[str, Tensor]]],
        statistics: list[Tensor],
    ) -> Decision:
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
                last = micro_batch is micro_batches[-1]
                with self._gradients_exchanged(last):
                    loss, part_terms = loss_of(micro_batch)
                    losses.append(loss.detach())
                    terms.append(part_terms)
                    if last:
                        self._begin_exchange(phase, losses)
                    with full_precision() if phase.precise else nullcontext():
                        self.manual_backward(loss / len(micro_batches))
            if phase.reduction is not None:
                phase.reduction.finish()
            optimizer.step()
        optimizer.zero_grad()
        restore_buffers(phase.network, statistics, unless=phase.valid)
        self._means.add(mean_of(terms), phase.valid)
        self._means.add({f"{phase.name}_grad_norm": phase.norm}, phase.made)
        self.skips.note(Noted(phase.name, phase.valid, phase.loss, phase.norm))
        return phase.made

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Check the complete gradient (unscaled, in fp16): skip the step if it is not finite, else clip."""
        phase = self._stepping
        phase.judge()
        if not self._on_device:
            phase.read()
        phase.prepare_step(optimizer)

    def end_iteration(self, batch: dict[str, Tensor]) -> None:
        """Count skipped steps; on a GPU the host reads them when values are logged."""
        self.skips.end_iteration(self.global_step - 1, batch)
        if not self._on_device or self._logs_now():
            self.skips.read()

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
        if not self._logs_now():
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
        self.skips.restore(state["skipped_steps"], state["skipped_in_a_row"])
        scaler = self.phases["discriminator"].scaler
        if scaler is not None and state["discriminator_scaler"]:
            scaler.load_state_dict(state["discriminator_scaler"])

    def _logs_now(self) -> bool:
        return self.global_step % max(1, self.trainer.log_every_n_steps) == 0  # type: ignore[attr-defined]

    def _begin_exchange(self, phase: Phase, losses: list[Tensor]) -> None:
        """Before the last backward pass: the batch's loss, whether it is finite on all ranks, and the reduction."""
        phase.loss = torch.stack(losses).mean()
        phase.bad_losses = (~torch.isfinite(phase.loss)).float()
        if self.trainer.world_size > 1:  # Lightning's own reduction would wait for the device
            torch.distributed.all_reduce(phase.bad_losses)
        if phase.reduction is not None:
            phase.reduction.begin()

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
