"""Speed of a training iteration on the CPU: where its time goes, beside the machine's own rate of matrix products.

    python benchmarks/iteration.py [--seconds 8] [--threads 2] [--only demo lfw] [--recognizer FILE_OR_PACK]

Real Lightning iterations on made-up JPEG crops through the real loader, with the networks of
``conf/experiment/demo.yaml`` (64 px), ``lfw.yaml`` (112 px) and the paper's ``vggface2_224.yaml`` (224 px, a batch of
2, a ResNet-50 with random weights as the recognizer). ``images/s`` counts swapped pictures: a batch of B pairs is B.
``of the products' rate`` is the floating-point operations of an iteration's convolutions and products (as torch counts
them, a multiplication and an addition each one) a second, over those of the 1024 x 1024 fp32 products that run right
after it: the median over iterations, and the quartiles. Every part's time is its own, without the parts inside of it.
Parts and shares are of the process's CPU time, from which other work on the machine takes nothing; with several threads
it is the sum over them.
"""

import argparse
import logging
import statistics
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from loader import write_crops
from omegaconf import OmegaConf
from timing import PARTS, WARM_UP, StopWatch, TimedModule, bare_trainer
from torch import Tensor
from torch.utils.data import IterableDataset

from simswap.config import build
from simswap.data.datamodule import SwapDataModule
from simswap.models.builtin import recognizer
from simswap.models.embedder import Embedder
from simswap.models.iresnet import IResNet
from simswap.models.recognition import Recognizer, onnx_recognizer
from simswap.settings.words import CONF_DIR
from simswap.training.speed import layout, set_speed

EXPERIMENTS = {"demo": 64, "lfw": 112, "vggface2_224": 224}
LARGE = {"vggface2_224": ("data.batch_size=2",)}  # seconds an iteration: a small batch, and one iteration to warm up


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


def timed_module(experiment: str, size: int, face_recognizer: Recognizer, *overrides: str) -> tuple[TimedModule, int]:
    """The experiment's networks and settings with this recognizer and these overrides, and its batch size."""
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        # The recognizer is given: nothing is read from the paths that the experiment leaves open.
        given = [f"experiment={experiment}", "recognition=builtin", "judge=none", "pose=builtin", *overrides]
        cfg = compose("train", overrides=given)
    torch.manual_seed(cfg.seed)
    module = TimedModule(
        generator=build(cfg.generator, identity_size=face_recognizer.embedding_size),
        discriminators=build(cfg.discriminator, image_size=size),
        embedder=Embedder(face_recognizer, "arcface", size),
        objective=build(cfg.objective),
        optimizer=build(cfg.optimizer),
        validation=None,  # type: ignore[arg-type]  # nothing is validated here
        ema_decay=cfg.ema_decay,
        seed=cfg.seed,
        config=OmegaConf.to_container(cfg, resolve=False),  # type: ignore[arg-type]
    )
    set_speed(module, layout(cfg.channels_last, "cpu", size), cfg.compile)
    return module, cfg.data.batch_size


def random_resnet50() -> Recognizer:
    """As large as the usual recognizer, and knowing nobody: for its speed alone."""
    return Recognizer(IResNet((3, 4, 14, 3)), "ResNet-50, random weights", "", 112, 512, "symmetric")


def report_iteration(experiment: str, size: int, face_recognizer: Recognizer, seconds: float, workers: int) -> None:
    module, batch_size = timed_module(experiment, size, face_recognizer, *LARGE.get(experiment, ()))
    module.watch()
    watch = StopWatch(seconds, 1 if experiment in LARGE else WARM_UP)
    trainer = bare_trainer(watch)
    with tempfile.TemporaryDirectory() as folder:
        write_crops(Path(folder), size, ".jpg")
        data = SwapDataModule(folder, batch_size, workers=workers, fractions={"train": 1.0})
        trainer.fit(module, data.train_dataloader())  # type: ignore[arg-type]
    each, busy = statistics.fmean(watch.each), statistics.fmean(watch.busy)
    print(f"{experiment}: {size} px, batch of {batch_size}, {face_recognizer.name}, {len(watch.each)} iterations")
    print(f"  {'one iteration, by the clock':<28} {each * 1e3:7.0f} ms    {batch_size / each:6.2f} images/s")
    print(f"  {'one iteration, CPU time':<28} {busy * 1e3:7.0f} ms    {batch_size / busy:6.2f} images/s")
    rest = busy
    for name in PARTS:
        part = module.seconds.get(name, 0.0) / len(watch.each)
        rest -= part
        print(f"  {'  ' + name:<28} {part * 1e3:7.0f} ms    {part / busy:6.0%}")
    print(f"  {'  average, Lightning, rest':<28} {rest * 1e3:7.0f} ms    {rest / busy:6.0%}")
    waited = statistics.median(watch.waited)
    print(f"  {f'waiting for {workers} worker(s)':<28} {waited * 1e3:7.0f} ms    {waited / each:6.0%} (median, clock)")
    shares = [watch.operations / spent / rate for spent, rate in zip(watch.busy, watch.rates, strict=True)]
    low, middle, high = statistics.quantiles(shares, n=4) if len(shares) > 1 else shares * 3
    print(
        f"  {watch.operations / 1e9:.1f} GFLOP an iteration: {watch.operations / busy / 1e9:.0f} GFLOP/s of CPU time, "
        f"{middle:.0%} ({low:.0%} to {high:.0%}) of the products' rate ({statistics.median(watch.rates) / 1e9:.0f} "
        "GFLOP/s)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each network's measurement")
    parser.add_argument("--threads", type=int, default=None, help="of torch; all cores by default")
    parser.add_argument("--recognizer", help="ONNX file or pack folder for all but the demo")
    parser.add_argument("--workers", type=int, default=1, help="of the loader")
    parser.add_argument("--only", nargs="+", choices=list(EXPERIMENTS), default=list(EXPERIMENTS))
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    if options.threads:
        torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for experiment in options.only:
        given = options.recognizer and experiment != "demo"
        fallback = random_resnet50() if experiment in LARGE else recognizer()
        report_iteration(
            experiment,
            EXPERIMENTS[experiment],
            onnx_recognizer(options.recognizer) if given else fallback,
            options.seconds,
            options.workers,
        )


if __name__ == "__main__":
    main()
