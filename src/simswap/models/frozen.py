"""Networks that are never trained: a base class, and a way to freeze a trained network for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from torch import nn

from simswap.models.statistics import frozen_batch_norm_statistics

Self = TypeVar("Self", bound="FrozenModule")


class FrozenModule(nn.Module):
    """A network whose weights take no gradient and that always stays in eval mode.

    Gradient still passes through it to its inputs. A subclass calls `freeze` at the end of its constructor.
    """

    def freeze(self) -> None:
        """Turn off the gradient of all parameters and switch everything to eval mode."""
        self.requires_grad_(False)
        self.eval()

    def train(self: Self, mode: bool = True) -> Self:
        """Stay in eval mode, whatever ``mode`` asks for: a frozen network's statistics must not move."""
        return super().train(False)


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Freeze a trained network inside the block: no gradient to its weights, no change of its running statistics.

    Gradient still passes through it to its inputs. All its parameters take gradients again afterwards.
    """
    network.requires_grad_(False)
    try:
        with frozen_batch_norm_statistics(network):
            yield
    finally:
        network.requires_grad_(True)
