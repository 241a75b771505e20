"""How the built-in networks are trained: the true values of rendered photos, regressed."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from simswap.files import atomic_write

SEED = 7  # of first weights, batches and augmentation


def uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """A number for each picture of a batch: [count, 1, 1, 1] in [low, high)."""
    return torch.rand(count, 1, 1, 1, generator=generator) * (high - low) + low


def light_and_noise(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures in symmetric range [B, 3, H, W] with a contrast, a brightness and a noise of their own each."""
    count = len(pictures)
    x = pictures * uniform(count, 0.9, 1.1, generator) + uniform(count, -0.06, 0.06, generator)
    return x + torch.randn(x.shape, generator=generator) * uniform(count, 0.0, 0.03, generator)


def regress(
    make: Callable[[], nn.Module],
    pictures: Tensor,
    truth: Tensor,
    augment: Callable[[Tensor, torch.Generator], Tensor],
    loss_of: Callable[[Tensor], Tensor],
    iterations: int,
    batch_size: int,
    what: str,
) -> nn.Module:
    """Train the network that ``make`` builds with AdamW at a one-cycle rate; in eval mode when it is done.

    pictures: uint8 [N, 3, H, W], as ``augment`` takes a batch of them. truth: [N, K], the outputs' true values.
    loss_of: outputs minus truth [B, K] → a scalar. what: the network's name on the progress bar.
    """
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    network = make()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=iterations)
    bar = tqdm(range(iterations), desc=f"training {what}", unit="it", mininterval=5)
    for _ in bar:
        chosen = torch.randint(len(pictures), (batch_size,), generator=generator)
        loss = loss_of(network(augment(pictures[chosen], generator)) - truth[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    return network.eval()


def save_weights(network: nn.Module, file: Path) -> None:
    """Write the weights in half precision, as `models.builtin.load_weights` reads them."""
    state = {k: value.half() if value.is_floating_point() else value for k, value in network.state_dict().items()}
    with atomic_write(file) as part:
        torch.save(state, part)
