"""Optimisers, learning-rate schedules and the moving average of the generator."""

import copy
import math

import torch
from torch import nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from simswap.errors import InputError

SCHEDULES = ("constant", "linear", "cosine")


class OptimizerSettings:
    """Adam for both phases, and the generator's schedule.

    generator_lr, discriminator_lr: learning rates. betas, eps: Adam's. schedule: of the generator's rate after the
    warm-up: ``constant``, or from 1 down to ``final_ratio`` at ``total_iterations`` in a ``linear`` or ``cosine`` way.
    warmup: iterations of linear rise from 0. Raises InputError for values that make no schedule.
    """

    def __init__(
        self,
        generator_lr: float,
        discriminator_lr: float,
        betas: list[float],
        eps: float = 1e-8,
        schedule: str = "constant",
        warmup: int = 0,
        total_iterations: int | None = None,
        final_ratio: float = 0.0,
    ) -> None:
        if schedule not in SCHEDULES:
            raise InputError(f"optimizer.schedule={schedule}: choose one of {', '.join(SCHEDULES)}")
        if schedule != "constant" and not total_iterations:
            raise InputError(f"optimizer.schedule={schedule} needs optimizer.total_iterations, at least 1")
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise InputError(f"optimizer.betas={betas}: two numbers in [0, 1)")
        for name, value in {"generator_lr": generator_lr, "discriminator_lr": discriminator_lr}.items():
            if not value > 0:
                raise InputError(f"optimizer.{name}={value}: it must be above 0")
        self.generator_lr, self.discriminator_lr = generator_lr, discriminator_lr
        # an integer 0 makes Adam raise
        self.betas, self.eps = (float(betas[0]), float(betas[1])), eps
        self.schedule, self.warmup = schedule, warmup
        self.total_iterations, self.final_ratio = total_iterations, final_ratio

    def adam(self, network: nn.Module, lr: float) -> Adam:
        return Adam(network.parameters(), lr=lr, betas=self.betas, eps=self.eps)

    def generator_schedule(self, optimizer: Optimizer) -> LambdaLR:
        return LambdaLR(optimizer, self.ratio)

    def ratio(self, iteration: int) -> float:
        """The generator's learning rate at an iteration (from 0), as a share of ``generator_lr``."""
        if iteration < self.warmup:
            return (iteration + 1) / (self.warmup + 1)
        if self.schedule == "constant" or self.total_iterations is None:
            return 1.0
        done = min(1.0, (iteration - self.warmup) / max(1, self.total_iterations - self.warmup))
        shape = 1 - done if self.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
        return self.final_ratio + (1 - self.final_ratio) * shape


def averaged_copy(network: nn.Module) -> nn.Module:
    """A frozen copy in eval mode, to be moved by `update_average`."""
    return copy.deepcopy(network).eval().requires_grad_(False)


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float, iteration: int) -> None:
    """``average = d * average + (1 - d) * network`` with ``d = min(decay, (1 + iteration) / (10 + iteration))``.

    The ramp lets the average follow a young network; buffers (running statistics) are averaged alike, counters copied.
    """
    d = min(decay, (1 + iteration) / (10 + iteration))
    state, own = network.state_dict(), average.state_dict()
    floating = [name for name, value in own.items() if value.is_floating_point()]
    torch._foreach_lerp_([own[name] for name in floating], [state[name] for name in floating], 1 - d)
    for name in own.keys() - set(floating):
        own[name].copy_(state[name])
