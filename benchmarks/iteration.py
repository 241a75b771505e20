"""Speed of a training iteration on the CPU: where its time goes, beside the machine's own rate of matrix products.

    python benchmarks/iteration.py [--seconds 8] [--threads 2] [--recogniser FILE_OR_PACK]

Real Lightning iterations on random pictures, so that neither disk nor decoding counts, with the networks of
``conf/experiment/demo.yaml`` (64 px) and ``lfw.yaml`` (112 px). ``images/s`` counts swapped pictures: a batch of B
pairs is B. ``of the products' rate`` is the floating-point operations of an iteration's convolutions and products (as
torch counts them, a multiplication and an addition each one) a second, over those of a 1024 x 1024 fp32 product.
"""

import argparse
import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import lightning as L
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, IterableDataset
from torch.utils.flop_counter import flop_registry

from simswap.config import CONF_DIR, build
from simswap.faces.rendered_dataset import photo
from simswap.models.builtin import recogniser
from simswap.models.embedder import Embedder
from simswap.models.recognition import Recogniser, onnx_recogniser
from simswap.training.module import SimSwapModule
from simswap.training.speed import set_speed

EXPERIMENTS = {"demo": 64, "lfw": 112}
WARM_UP = 3
RECOGNISER, FORWARD, PHASE_D, PHASE_G = "recogniser on sources", "G forward", "D phase with penalty", "G phase"


class RandomBatches(IterableDataset):
    """SwapBatches without end, one person and two persons by turns."""

    def __init__(self, batch_size: int, size: int) -> None:
        self.batch_size, self.size = batch_size, size

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        draw = torch.Generator().manual_seed(0)
        shape = (2, self.batch_size, 3, self.size, self.size)
        target, source = torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw)
        zeros = torch.zeros(self.batch_size, dtype=torch.int64)
        rest = {"target_index": zeros, "source_index": zeros, "target_view": zeros, "source_view": zeros}
        same = True
        while True:
            yield {"target": target, "source": source, "same_identity": torch.full((self.batch_size,), same), **rest}
            same = not same


class TimedModule(SimSwapModule):
    """The training module with a stop-watch around its phases; ``seconds`` holds their sums."""

    seconds: dict[str, float]

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def watch(self) -> None:
        """Start from zero, and time the two networks that `training_step` calls itself."""
        self.seconds = {}
        identity, forward = self.embedder.identity, self.generator.forward

        def timed_identity(*arguments: Any) -> Tensor:
            with self.timed(RECOGNISER):
                return identity(*arguments)

        def timed_forward(*arguments: Any) -> Tensor:
            with self.timed(FORWARD):
                return forward(*arguments)

        self.embedder.identity = timed_identity  # type: ignore[method-assign]
        self.generator.forward = timed_forward  # type: ignore[method-assign]

    def discriminator_phase(self, *arguments: Any) -> dict[str, Tensor]:
        with self.timed(PHASE_D):
            return super().discriminator_phase(*arguments)

    def generator_phase(self, *arguments: Any) -> dict[str, Tensor]:
        with self.timed(PHASE_G):
            return super().generator_phase(*arguments)


class Operations(TorchDispatchMode):
    """Counts floating-point operations by torch's own formulas.

    `FlopCounterMode` itself cannot be used: its module hooks refuse the gradient penalty's inner gradient.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **kwargs, out_val=result)
        return result


class StopWatch(L.Callback):
    """Iterations after the warm-up, by turns with matrix products, so that other work on the machine slows both.

    seconds: of iterations. After the run: ``iterations`` and their time ``elapsed``, the ``operations`` of one, and the
    ``products`` in ``product_seconds``.
    """

    SIDE, BURST = 1024, 6

    def __init__(self, seconds: float) -> None:
        self.limit, self.iterations, self.elapsed = seconds, 0, 0.0
        self.products, self.product_seconds = 0, 0.0
        self.operations = 0
        self._counter = Operations()
        self._factors = torch.randn(2, self.SIDE, self.SIDE)

    @property
    def product_rate(self) -> float:
        """Floating-point operations a second of the products."""
        return self.products * 2 * self.SIDE**3 / self.product_seconds

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 0:
            self._counter.__enter__()
        self._start = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        took = time.perf_counter() - self._start
        if batch_idx == 0:
            self._counter.__exit__(None, None, None)
            self.operations = self._counter.total
        if batch_idx < WARM_UP:
            pl_module.seconds.clear()
            self._multiply()
            self.products, self.product_seconds = 0, 0.0
            return
        self.iterations += 1
        self.elapsed += took
        self._multiply()
        trainer.should_stop = self.elapsed > self.limit

    def _multiply(self) -> None:
        start = time.perf_counter()
        for _ in range(self.BURST):
            torch.mm(*self._factors)
        self.products += self.BURST
        self.product_seconds += time.perf_counter() - start


def timed_module(
    experiment: str, size: int, face_recogniser: Recogniser, *overrides: str
) -> tuple[TimedModule, int]:
    """The experiment's networks and settings with this recogniser and these overrides, and its batch size."""
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        # The recogniser is given: nothing is read from the paths that the experiment leaves open.
        given = [f"experiment={experiment}", "recognition=builtin", "pose=builtin", *overrides]
        cfg = compose("train", overrides=given)
    torch.manual_seed(cfg.seed)
    module = TimedModule(
        generator=build(cfg.generator, identity_size=face_recogniser.embedding_size),
        discriminators=build(cfg.discriminator, image_size=size),
        embedder=Embedder(face_recogniser, "arcface", size),
        objective=build(cfg.objective),
        optimizer=build(cfg.optimizer),
        validation=None,  # type: ignore[arg-type]  # nothing is validated here
        average_decay=cfg.average_decay,
        seed=cfg.seed,
        config=OmegaConf.to_container(cfg, resolve=False),  # type: ignore[arg-type]
    )
    module.seconds = {}
    set_speed(module, cfg.channels_last, cfg.compile)
    return module, cfg.data.batch_size


def report_iteration(experiment: str, size: int, face_recogniser: Recogniser, seconds: float) -> None:
    module, batch_size = timed_module(experiment, size, face_recogniser)
    module.watch()
    watch = StopWatch(seconds)
    trainer = L.Trainer(
        accelerator="cpu", devices=1, max_steps=-1, limit_val_batches=0, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[watch],
    )  # fmt: skip
    trainer.fit(module, DataLoader(RandomBatches(batch_size, size), batch_size=None))
    each = watch.elapsed / watch.iterations
    print(f"{experiment}: {size} px, batch of {batch_size}, {face_recogniser.name}")
    print(f"  {'one iteration':<28} {each * 1e3:7.0f} ms    {batch_size / each:6.1f} images/s")
    rest = each
    for name in (RECOGNISER, FORWARD, PHASE_D, PHASE_G):
        part = module.seconds[name] / watch.iterations
        rest -= part
        print(f"  {'  ' + name:<28} {part * 1e3:7.0f} ms    {part / each:6.0%}")
    print(f"  {'  average, Lightning, rest':<28} {rest * 1e3:7.0f} ms    {rest / each:6.0%}")
    reached = watch.operations / each
    print(
        f"  {watch.operations / 1e9:.1f} GFLOP an iteration: {reached / 1e9:.0f} GFLOP/s, "
        f"{reached / watch.product_rate:.0%} of the products' rate ({watch.product_rate / 1e9:.0f} GFLOP/s)"
    )


def report_renderer(size: int = 128, persons: int = 10, images: int = 20) -> None:
    cv2.setNumThreads(1)
    photo(1, 0, 0, size)
    start = time.process_time()  # of this core's work alone, whatever else the machine does
    for person in range(persons):
        for image in range(images):
            photo(0, person, image, size)
    rate = persons * images / (time.process_time() - start)
    print(f"rendered photos, {size} px, {persons} persons: {rate:.0f} images/s of one core")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each network's measurement")
    parser.add_argument("--threads", type=int, default=None, help="of torch; all cores by default")
    parser.add_argument("--recogniser", help="ONNX file or pack folder for lfw; the built-in one by default")
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    if options.threads:
        torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for experiment, size in EXPERIMENTS.items():
        given = options.recogniser and experiment != "demo"
        report_iteration(
            experiment, size, onnx_recogniser(options.recogniser) if given else recogniser(), options.seconds
        )
    report_renderer()


if __name__ == "__main__":
    main()
