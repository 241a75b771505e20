"""A training iteration of this project beside the public trainers' order of work, in one process and by turns.

    python benchmarks/against_published.py [--sizes 64 112 224] [--threads 1 2] [--rounds 7] [--pairs 2]
        [--sides published ours]

All sides have the same networks at every size (the paper's generator, two discriminators with batch norm, a ResNet-50
with random weights as the recognizer), the same number of pairs, and fp32.

- ``published``: the public trainer, written from its description, with torch's own convolutions. An iteration takes two
  batches: one trains the generator, the other the discriminators, each with a generator pass with a graph and a
  recognizer pass on the sources. There is no gradient penalty, the generator's backward pass also computes the
  discriminators' gradients, and Adam updates one tensor at a time.
- ``one batch``: the Lightning re-implementations. The same, but one batch and one recognizer pass serve both phases.
- ``ours``: `SimSwapModule` in a Lightning trainer, with EMA and logging.

A ratio is that side's time divided by the time of ``ours`` in the same round: above 1, ours is faster. Printed are the
median over rounds and the quartiles, of CPU time for one thread and of the clock for more. ``ceiling`` is the ratio of
the counted floating-point operations, which both sides would reach at one rate; Winograd's convolutions of ``ours``
count as the products that they make. Iterations take turns with matrix products, whose rate is printed.
"""

import argparse
import functools
import logging
import statistics
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from iteration import RandomBatches, random_resnet50, timed_module
from timing import Operations, TimedModule, bare_trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from simswap.launching.product_rate import product_rate
from simswap.models.discriminator import most_layers
from simswap.models.recognition import Recognizer
from simswap.models.winograd import Conv3x3
from simswap.training.module import SimSwapModule

OURS = {
    "ours": (),
    "ours, channels_last=true": ("channels_last=true",),
    "ours, channels_last=false": ("channels_last=false",),
    "ours, cached embeddings": ("data.cache_embeddings=true", "data.augmentation.sources=false"),
    "ours, no penalty": ("objective.weights.gradient_penalty=0",),
}
"""Name → overrides."""
PUBLIC = {"published": 2, "one batch": 1}
"""Name → batches that an iteration takes."""
EXPERIMENT = "vggface2_224"
WARM_UP = 2
Batch = dict[str, Tensor]


def networks(size: int, recognizer: Recognizer, *overrides: str) -> TimedModule:
    """The module with the paper's networks; below 95 px the discriminators have fewer layers."""
    last = f"objective.feature_matching.last_layer={most_layers(size, 2) - 1}"
    return timed_module(EXPERIMENT, size, recognizer, last, *overrides)[0]


class Public:
    """The public trainers' iteration.

    Args:
        module: Has the networks, on their device.
        batches: How many batches one iteration takes: 2 (the public trainer) or 1 (the re-implementations).
    """

    def __init__(self, module: SimSwapModule, batches: int) -> None:
        self.generator, self.discriminators, self.embedder = module.generator, module.discriminators, module.embedder
        self.generator.train()
        for part in self.generator.modules():
            if isinstance(part, Conv3x3):
                part.forward = functools.partial(nn.Conv2d.forward, part)  # type: ignore[method-assign]
        self.batches = batches
        self.optimizer_g, self.optimizer_d = (
            torch.optim.Adam(network.parameters(), 4e-4, (0.0, 0.99), foreach=False)
            for network in (self.generator, self.discriminators)
        )

    def __call__(self, batches: list[Batch]) -> None:
        """One iteration."""
        identity = None
        for phase, batch in ((self._generator_phase, batches[0]), (self._discriminator_phase, batches[-1])):
            if identity is None or self.batches == 2:
                identity = self.embedder.identity(batch["source"].float() / 255, batch["source_view"])
            phase(batch, batch["target"].float() / 255, identity)

    def count(self, batches: list[Batch]) -> int:
        """Floating-point operations of one iteration."""
        with Operations() as counter:
            self(batches)
        return counter.total

    def _discriminator_phase(self, batch: Batch, target: Tensor, identity: Tensor) -> None:
        fake = self.discriminators(self.generator(target, identity).detach())
        real = self.discriminators(target)
        loss = torch.stack(
            [F.relu(1 + f.logits).mean() + F.relu(1 - r.logits).mean() for f, r in zip(fake, real, strict=True)]
        ).sum()
        self.optimizer_d.zero_grad()
        loss.backward()
        self.optimizer_d.step()

    def _generator_phase(self, batch: Batch, target: Tensor, identity: Tensor) -> None:
        result = self.generator(target, identity)
        fake, real = self.discriminators(result), self.discriminators(target)
        cosine = F.cosine_similarity(self.embedder(result, batch["target_view"]), identity, dim=1)
        loss = 10 * (1 - cosine).mean() + 10 * (result - target).abs().mean() * batch["same_identity"].any()
        for f, r in zip(fake, real, strict=True):
            for mine, theirs in zip(f.features[2:], r.features[2:], strict=True):
                loss = loss + 10 * (mine - theirs.detach()).abs().mean()
            loss = loss - f.logits.mean()
        self.optimizer_g.zero_grad()
        loss.backward()
        self.optimizer_g.step()


class Turns(L.Callback):
    """Lets a trainer in a thread of its own make one iteration at a time."""

    def __init__(self) -> None:
        self.go, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.ended = False
        #: counts the iteration in which it is set
        self.counter: Operations | None = None

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> int | None:
        """Wait for the turn; -1 ends the trainer."""
        self.go.acquire()
        if self.ended:
            trainer.should_stop = True
            return -1
        if self.counter is not None:
            self.counter.__enter__()
        return None

    def on_train_batch_end(self, *_: Any) -> None:
        """Hand the turn back."""
        if self.counter is not None:
            self.counter.__exit__(None, None, None)
        self.done.release()


class Batches(IterableDataset):
    """Made-up batches without end; with ``embeddings``, those stand for the source pictures, as from their table."""

    def __init__(self, pairs: int, size: int, embeddings: Tensor | None) -> None:
        self.batches, self.embeddings = RandomBatches(pairs, size), embeddings

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.batches:
            if self.embeddings is not None:
                batch = {name: value for name, value in batch.items() if name != "source"}
                batch["source_identity"] = self.embeddings
            yield batch


class Ours:
    """`SimSwapModule` in a Lightning trainer, one iteration a call."""

    def __init__(self, size: int, recognizer: Recognizer, pairs: int, threads: int, overrides: tuple[str, ...]) -> None:
        module = networks(size, recognizer, *overrides)
        cached = "data.cache_embeddings=true" in overrides
        embeddings = F.normalize(torch.randn(pairs, recognizer.embedding_size), dim=1) if cached else None
        self.turns = Turns()
        trainer = bare_trainer(self.turns)

        def fit() -> None:
            torch.set_num_threads(threads)  # OpenMP keeps the number for each thread
            trainer.fit(module, DataLoader(Batches(pairs, size, embeddings), batch_size=None))

        self.thread = threading.Thread(target=fit, daemon=True)
        self.thread.start()

    def __call__(self, batches: list[Batch]) -> None:
        """One iteration, on a batch of the trainer's own."""
        self.turns.go.release()
        self.turns.done.acquire()

    def count(self, batches: list[Batch]) -> int:
        """Floating-point operations of one iteration."""
        self.turns.counter = Operations()
        self(batches)
        total, self.turns.counter = self.turns.counter.total, None
        return total

    def end(self) -> None:
        """End the trainer."""
        self.turns.ended = True
        self.turns.go.release()
        self.thread.join()


def report(size: int, threads: int, pairs: int, rounds: int, chosen: list[str]) -> None:
    """Measure the chosen sides at one size and print their lines."""
    torch.set_num_threads(threads)
    recognizer = random_resnet50()
    clock = time.process_time if threads == 1 else time.perf_counter
    endless = iter(Batches(pairs, size, None))
    batches = [next(endless), next(endless)]
    public = {
        name: Public(networks(size, recognizer, "channels_last=false"), taken)
        for name, taken in PUBLIC.items()
        if name in chosen
    }
    ours = {name: Ours(size, recognizer, pairs, threads, OURS[name]) for name in OURS if name in chosen}
    sides: dict[str, Any] = {**public, **ours}
    operations = {name: side.count(batches) for name, side in sides.items()}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    products: list[float] = []
    for number in range(WARM_UP - 1 + rounds):
        for name in list(sides)[:: 1 if number % 2 else -1]:  # every second round goes backward
            start = clock()
            sides[name](batches)
            if number >= WARM_UP - 1:
                seconds[name].append(clock() - start)
            products.append(product_rate(clock))
    for side in ours.values():
        side.end()
    print(
        f"{size} px, {pairs} pairs, {threads} thread(s), {rounds} rounds, {'CPU' if threads == 1 else 'clock'} "
        f"seconds; products of 1024 x 1024: {statistics.median(products) / 1e9:.0f} GFLOP/s"
    )
    for name, mine in seconds.items():
        against = {other: _quartiles([a / b for a, b in zip(seconds[other], mine, strict=True)]) for other in public}
        ceilings = {other: operations[other] / operations[name] for other in public}
        words = "   ".join(f"{other} / this {against[other]}, ceiling {ceilings[other]:.2f}" for other in public)
        rate = operations[name] / statistics.median(mine) / 1e9
        print(f"  {name:<26} {statistics.median(mine):7.2f} s {rate:6.1f} GFLOP/s   {words}", flush=True)


def _quartiles(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    """Parse the arguments and report every size and number of threads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 112, 224])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--sides", nargs="+", choices=[*PUBLIC, *OURS], default=[*PUBLIC, *OURS])
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    print(f"torch {torch.__version__}")
    for size in options.sizes:
        for threads in options.threads:
            report(size, threads, options.pairs, options.rounds, options.sides)


if __name__ == "__main__":
    main()
