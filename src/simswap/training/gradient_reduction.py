"""The mean of a network's gradients over all ranks: once a step, in buckets, during the backward pass."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn

from simswap.models.statistics import parts_of

BUCKET_BYTES = 25 * 2**20
"""Size of a bucket: large enough for the network's bandwidth, small enough to be sent during the backward pass."""


@dataclass
class Bucket:
    """Parameters whose gradients travel together, in one flat tensor.

    Attributes:
        parameters: of one dtype.
        flat: their gradients one after another; allocated at the first use.
        missing: the parameters whose gradient has not arrived in this backward pass.
        work: the running operation, or None before it starts.
    """

    parameters: list[nn.Parameter]
    flat: Tensor | None = None
    missing: set[nn.Parameter] = field(default_factory=set)
    work: Any = None

    def views(self) -> list[Tensor]:
        """The parts of ``flat``, one a parameter and of its shape."""
        if self.flat is None:
            first = self.parameters[0]
            self.flat = first.new_empty(sum(p.numel() for p in self.parameters))
        return parts_of(self.flat, self.parameters)


class GradientReduction:
    """Averages the gradients of one network over the ranks, as torch's DistributedDataParallel does for one loss.

    That wrapper handles one forward and one backward pass of one module. Here each phase has several forward passes, a
    gradient penalty inside, and a network of its own; the wrapper would send both networks' gradients in each phase.

    Between `begin` and `finish` there is one backward pass, that of the last micro-batch. As soon as all gradients of a
    bucket have arrived, the bucket is sent while the pass goes on. All ranks send the buckets in the same order.

    Args:
        network: whose parameters; those that take a gradient now.
        ranks: number of ranks in torch's default process group.
        bucket_bytes: largest size of a bucket.
    """

    def __init__(self, network: nn.Module, ranks: int, bucket_bytes: int = BUCKET_BYTES) -> None:
        self.ranks = ranks
        self._names = {p: name for name, p in network.named_parameters() if p.requires_grad}
        # Gradients arrive about in the reverse order of the parameters.
        self.buckets = in_buckets(reversed(list(self._names)), bucket_bytes)
        self._bucket_of = {p: bucket for bucket in self.buckets for p in bucket.parameters}
        #: parameters that took a gradient on any rank in the first step; None before it
        self._used: set[nn.Parameter] | None = None
        self._open, self._next = False, 0
        self._hooks = [p.register_post_accumulate_grad_hook(self._arrived) for p in self._names]

    def close(self) -> None:
        """Remove the hooks from the parameters."""
        for hook in self._hooks:
            hook.remove()

    def begin(self) -> None:
        """Expect the gradients of a backward pass."""
        self._open, self._next = True, 0
        for bucket in self.buckets:
            bucket.missing, bucket.work = set(bucket.parameters), None

    def finish(self) -> None:
        """Send what is left, wait for all buckets, and set each gradient to its mean over the ranks.

        On a GPU it is the device's stream that waits. A parameter that takes no gradient on any rank keeps none.
        """
        self._open = False
        for bucket in self.buckets[self._next :]:
            self._send(bucket)
        used = self._parameters_in_use()
        for bucket in self.buckets:
            bucket.work.wait()
            views = bucket.views()
            gradients, means = [], []
            for p, view in zip(bucket.parameters, views, strict=True):
                if p in used:
                    p.grad = torch.empty_like(p) if p.grad is None else p.grad
                    gradients.append(p.grad)
                    means.append(view)
            if gradients:
                torch._foreach_copy_(gradients, means)

    def _arrived(self, parameter: nn.Parameter) -> None:
        if not self._open:
            return
        bucket = self._bucket_of[parameter]
        if parameter not in bucket.missing:
            raise RuntimeError(f"the gradient of {self._names[parameter]} arrived twice in one backward pass")
        bucket.missing.remove(parameter)
        while self._next < len(self.buckets) and not self.buckets[self._next].missing:
            self._send(self.buckets[self._next])
            self._next += 1

    @torch.no_grad()
    def _send(self, bucket: Bucket) -> None:
        views = bucket.views()
        assert bucket.flat is not None
        if any(p.grad is None for p in bucket.parameters):
            bucket.flat.zero_()
        present = [(view, p.grad) for view, p in zip(views, bucket.parameters, strict=True) if p.grad is not None]
        if present:
            torch._foreach_copy_([view for view, _ in present], [gradient for _, gradient in present])
        bucket.flat.div_(self.ranks)  # before the sum, so that it overflows no earlier than a single gradient
        bucket.work = torch.distributed.all_reduce(bucket.flat, async_op=True)

    def _parameters_in_use(self) -> set[nn.Parameter]:
        """The parameters that take a gradient on any rank: agreed in the first step, then fixed.

        Raises:
            RuntimeError: a parameter takes its first gradient in a later step, which other ranks would not know.
        """
        mine = {p for p in self._names if p.grad is not None}
        if self._used is None:
            device = self.buckets[0].parameters[0].device
            counts = torch.tensor([p in mine for p in self._names], dtype=torch.int32, device=device)
            torch.distributed.all_reduce(counts)
            self._used = {p for p, count in zip(self._names, counts.tolist(), strict=True) if count}
        for p in mine - self._used:
            raise RuntimeError(
                f"{self._names[p]} took no gradient on any rank in the first step and takes one now: every step must "
                "reach the same parameters"
            )
        return self._used


def in_buckets(parameters: Iterable[nn.Parameter], most: int) -> list[Bucket]:
    """The parameters in this order, in buckets of at most ``most`` bytes (or one parameter) and of one dtype."""
    buckets: list[Bucket] = []
    size = 0
    for p in parameters:
        own = p.numel() * p.element_size()
        if not buckets or size + own > most or p.dtype != buckets[-1].parameters[0].dtype:
            buckets.append(Bucket([]))
            size = 0
        buckets[-1].parameters.append(p)
        size += own
    return buckets
