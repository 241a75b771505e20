"""Optimizers, learning-rate schedules and the EMA of the generator."""

import copy
import functools
import inspect
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from simswap.errors import InputError
from simswap.settings.targets import import_target

FUSED = (torch.optim.Adam, torch.optim.AdamW)
SCHEDULES = ("constant", "linear", "cosine")


@dataclass(frozen=True)
class Schedule:
    """A learning rate over the iterations: a linear rise over ``warmup`` ones, then the shape, down to final_ratio.

    shape: ``constant``, or from 1 to ``final_ratio`` at ``total`` iterations in a ``linear`` or ``cosine`` way.
    """

    shape: str
    warmup: int
    total: int | None
    final_ratio: float

    def ratio(self, iteration: int) -> float:
        """The learning rate at an iteration (from 0), as a share of the full one."""
        if iteration < self.warmup:
            return (iteration + 1) / (self.warmup + 1)
        if self.shape == "constant" or self.total is None:
            return 1.0
        done = min(1.0, (iteration - self.warmup) / max(1, self.total - self.warmup))
        way = 1 - done if self.shape == "linear" else (1 + math.cos(math.pi * done)) / 2
        return self.final_ratio + (1 - self.final_ratio) * way

    def of(self, optimizer: Optimizer) -> LambdaLR:
        # A bound method, not the object: torch would store the object's fields and restore them on a resume.
        """The schedule of this optimizer."""
        return LambdaLR(optimizer, self.ratio)


class OptimizerSettings:
    """The optimizers of both phases with their schedules, and how a batch becomes steps.

    Args:
        generator_lr: The generator's full learning rate.
        discriminator_lr: The discriminators' full learning rate.
        algorithm: ``_target_``, the name of a `torch.optim.Optimizer`, and its settings without ``lr``.
        schedule: The learning rates' shape over the iterations; see `Schedule`.
        warmup: Iterations of linear rise.
        total_iterations: Iterations of both schedules.
        final_ratio: Share of the full rate at the end.
        discriminator_algorithm: Settings that the discriminators' optimizer has instead; None takes the same.
        discriminator_schedule: The shape of the discriminators' rate; None takes the generator's.
        discriminator_warmup: Iterations of the discriminators' linear rise; None takes the generator's.
        discriminator_final_ratio: The discriminators' share at the end; None takes the generator's.
        generator_clip: Largest norm of the generator's complete gradient; None leaves the gradient alone.
        discriminator_clip: The same for the discriminators.
        micro_batches: Number of micro-batches in each rank's batch. The memory is that of one micro-batch and the
            gradient is the complete batch's, but batch norm sees one micro-batch at a time.
        discriminator_steps: Discriminator steps for each generator step, each on its own batch.

    Raises:
        InputError: A value is out of range, or the values describe no schedule or no optimizer.
    """

    def __init__(
        self,
        generator_lr: float,
        discriminator_lr: float,
        algorithm: dict,
        schedule: str = "constant",
        warmup: int = 0,
        total_iterations: int | None = None,
        final_ratio: float = 0.0,
        discriminator_algorithm: dict | None = None,
        discriminator_schedule: str | None = "constant",
        discriminator_warmup: int | None = 0,
        discriminator_final_ratio: float | None = None,
        generator_clip: float | None = None,
        discriminator_clip: float | None = None,
        micro_batches: int = 1,
        discriminator_steps: int = 1,
    ) -> None:
        self.generator_lr = _positive("generator_lr", generator_lr)
        self.discriminator_lr = _positive("discriminator_lr", discriminator_lr)
        self._algorithm = _algorithm("algorithm", algorithm)
        own = {name: value for name, value in (discriminator_algorithm or {}).items() if value is not None}
        self._discriminator_algorithm = _algorithm("discriminator_algorithm", algorithm | own)
        self.generator_schedule = Schedule(schedule, warmup, total_iterations, final_ratio)
        self.discriminator_schedule = Schedule(
            schedule if discriminator_schedule is None else discriminator_schedule,
            warmup if discriminator_warmup is None else discriminator_warmup,
            total_iterations,
            final_ratio if discriminator_final_ratio is None else discriminator_final_ratio,
        )
        _check_schedule("", self.generator_schedule)
        _check_schedule("discriminator_", self.discriminator_schedule)
        self.generator_clip = None if generator_clip is None else _positive("generator_clip", generator_clip)
        self.discriminator_clip = (
            None if discriminator_clip is None else _positive("discriminator_clip", discriminator_clip)
        )
        self.micro_batches = int(_positive("micro_batches", micro_batches))
        self.discriminator_steps = int(_positive("discriminator_steps", discriminator_steps))

    def of_generator(self, network: nn.Module, fused: bool = False) -> Optimizer:
        """The generator's optimizer over the network's parameters; ``fused`` as in `optimizer_of`."""
        return optimizer_of(self._algorithm, network, self.generator_lr, fused)

    def of_discriminators(self, network: nn.Module, fused: bool = False) -> Optimizer:
        """The discriminators' optimizer over the network's parameters; ``fused`` as in `optimizer_of`."""
        return optimizer_of(self._discriminator_algorithm, network, self.discriminator_lr, fused)

    def check_batch(self, batch_size: int, ranks: int) -> None:
        """Check that the batch can be split.

        Raises:
            InputError: a rank's batch does not divide into ``micro_batches`` equal parts.
        """
        if batch_size // ranks % self.micro_batches:
            raise InputError(
                f"optimizer.micro_batches={self.micro_batches} does not divide the "
                f"{batch_size // ranks} pairs of a rank "
                f"(data.batch_size={batch_size} over {ranks} rank(s)); choose another of the two"
            )


def _positive(name: str, value: float) -> float:
    if not 0 < value < float("inf"):
        raise InputError(f"optimizer.{name}={value}: it must be a finite number above 0")
    return value


def _algorithm(name: str, settings: dict[str, Any]) -> functools.partial:
    """The optimizer class with its settings, which it has accepted for one parameter."""
    kind = import_target(settings.get("_target_"))
    given = {key: _as_torch_takes(key, value) for key, value in settings.items() if key != "_target_"}
    make = functools.partial(kind, **given)
    try:
        make([nn.Parameter(torch.zeros(1, 1))], lr=1e-3)
    except (TypeError, ValueError, LookupError, RuntimeError) as error:
        raise InputError(f"optimizer.{name}: {settings['_target_']} does not take {given} ({error})") from error
    return make


def _as_torch_takes(name: str, value: Any) -> Any:
    """A setting from YAML: pairs are tuples, and Adam refuses an integer among its betas."""
    if isinstance(value, list):
        return tuple(float(one) if name == "betas" else one for one in value)
    return value


def _check_schedule(prefix: str, schedule: Schedule) -> None:
    if schedule.shape not in SCHEDULES:
        raise InputError(f"optimizer.{prefix}schedule={schedule.shape}: choose one of {', '.join(SCHEDULES)}")
    if schedule.shape != "constant" and not schedule.total:
        raise InputError(f"optimizer.{prefix}schedule={schedule.shape} needs optimizer.total_iterations, at least 1")
    if schedule.warmup < 0:
        raise InputError(f"optimizer.{prefix}warmup={schedule.warmup}: it must be at least 0")
    if not 0 <= schedule.final_ratio <= 1:
        raise InputError(f"optimizer.{prefix}final_ratio={schedule.final_ratio}: a share from 0 to 1")


def optimizer_of(make: functools.partial, network: nn.Module, lr: float, fused: bool) -> Optimizer:
    """An optimizer over the network's parameters, in torch's fused form if ``fused`` asks for it.

    The fused form is that of Adam and AdamW, unless their settings name another: one operation for all parameters, and
    a step that the device itself can skip. Other optimizers are made as they are.
    """
    kind, given = make.func, make.keywords
    plain = not {"fused", "foreach", "capturable", "differentiable"} & given.keys()
    can = isinstance(kind, type) and issubclass(kind, FUSED) and "fused" in inspect.signature(kind).parameters
    return make(network.parameters(), lr=lr, **({"fused": True} if fused and plain and can else {}))


def skips_on_device(optimizer: Optimizer) -> bool:
    """Whether the optimizer's step does nothing where its ``found_inf`` is 1, without a host wait.

    Torch's fused SGD does so too, but a skipped first step leaves its momentum undefined.
    """
    return isinstance(optimizer, FUSED) and all(group.get("fused") for group in optimizer.param_groups)


def keep_form(optimizer: Optimizer) -> None:
    """Give an optimizer whose state was loaded the form, fused or not, in which it was made.

    Torch takes the checkpoint's form, which may be that of another device. The fused form counts steps on the device.
    """
    fused = optimizer.defaults.get("fused")
    if "fused" not in optimizer.defaults:
        return
    for group in optimizer.param_groups:
        group["fused"], group["foreach"] = fused, optimizer.defaults.get("foreach")
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            if isinstance(state.get("step"), Tensor):
                on_device = fused or group.get("capturable")
                state["step"] = state["step"].to(parameter.device if on_device else "cpu", torch.float32)


def averaged_copy(network: nn.Module) -> nn.Module:
    """A frozen copy in eval mode, which `update_ema` updates."""
    return copy.deepcopy(network).eval().requires_grad_(False)


@torch.no_grad()
def update_ema(
    average: nn.Module, network: nn.Module, decay: float, iteration: int, made: Tensor | bool = True
) -> None:
    """``average = d * average + (1 - d) * network`` with ``d = min(decay, (1 + iteration) / (10 + iteration))``.

    The ramp lets the EMA follow a young network. Buffers (running statistics) are averaged too, counters are copied.
    Where ``made`` is false, nothing changes; a scalar on the device causes no host wait.
    """
    if made is False:
        return
    d = min(decay, (1 + iteration) / (10 + iteration))
    pairs = list(zip(_state(average), _state(network), strict=True))
    own, new = (list(side) for side in zip(*[pair for pair in pairs if pair[0].is_floating_point()], strict=True))
    if isinstance(made, Tensor):
        # The form in which torch computes this small weight's lerp, with a weight that is 0 for a skipped step.
        difference = torch._foreach_sub(new, own)
        torch._foreach_mul_(difference, (1 - d) * made)
        torch._foreach_add_(own, difference)
    else:
        torch._foreach_lerp_(own, new, 1 - d)
    # After a skipped step the network's counters have their earlier values again: those of the average.
    counters = [pair for pair in pairs if not pair[0].is_floating_point()]
    if counters:
        torch._foreach_copy_([pair[0] for pair in counters], [pair[1] for pair in counters])


def _state(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]
