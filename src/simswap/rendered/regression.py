"""Training of the built-in networks: regression of the true values of rendered photos."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from simswap.files import atomic_write

SEED = 7  # of initial weights, batches and augmentation


def uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """One random number in [low, high) for each image of a batch: [count, 1, 1, 1]."""
    return torch.rand(count, 1, 1, 1, generator=generator) * (high - low) + low


def light_and_noise(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Add random contrast, brightness and noise to each image of [B, 3, H, W] in the symmetric range."""
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
    """Train a network with AdamW and a one-cycle learning rate.

    Args:
        make: Builds the network; called after the seed is set.
        pictures: Images uint8 [N, 3, H, W].
        truth: The true values of the outputs, [N, K].
        augment: A batch of images, and the generator of random numbers → the network's inputs.
        loss_of: Outputs minus truth [B, K] → a scalar.
        iterations: Number of iterations.
        batch_size: Images per iteration.
        what: The network's name on the progress bar.

    Returns:
        The network in eval mode.
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
    """Write a network's weights in half precision, for `models.builtin.load_weights`."""
    state = {k: value.half() if value.is_floating_point() else value for k, value in network.state_dict().items()}
    with atomic_write(file) as part:
        torch.save(state, part)
