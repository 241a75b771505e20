"""Tiny networks and batches for tests of training: real classes, small sizes, no files."""

import copy
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from simswap.losses.objective import Objective
from simswap.models.discriminator import Discriminators
from simswap.models.discriminator_contract import DiscriminatorPyramid
from simswap.models.embedder import Embedder
from simswap.models.generator import Generator
from simswap.models.recognition import Recognizer
from simswap.training.loss_recognition import LossRecognizer
from simswap.training.module import SimSwapModule
from simswap.training.optimization import OptimizerSettings

SIZE = 32


ADAM = {"_target_": "torch.optim.Adam", "betas": [0.0, 0.999]}


def tiny_recognizer(seed: int = 1, outputs: int = 8) -> Recognizer:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4), nn.Tanh(), nn.Flatten(), nn.LazyLinear(outputs))
    network(torch.zeros(1, 3, SIZE, SIZE))
    return Recognizer(network, "tiny", f"{seed:064x}", SIZE, outputs, "symmetric")


def tiny_module(
    generator_norm: str = "batch",
    discriminator_norm: str = "batch",
    weights: dict | None = None,
    pixel_range: str = "unit",
    checkpointing: bool = False,
    discriminators: DiscriminatorPyramid | None = None,
    loss_recognizers: dict[str, LossRecognizer] | None = None,
    **optimizer: Any,
) -> SimSwapModule:
    recognizer = tiny_recognizer()
    torch.manual_seed(0)
    return SimSwapModule(
        generator=Generator(4, 2, 2, 8, 16, pixel_range, generator_norm, checkpointing=checkpointing),
        discriminators=discriminators or Discriminators(SIZE, width=4, norm=discriminator_norm),
        embedder=Embedder(recognizer, "arcface", SIZE),
        objective=Objective(
            {
                "identity": 10.0,
                "reconstruction": 10.0,
                "adversarial": 1.0,
                "gradient_penalty": 0.1,
                "feature_matching": 10.0,
            }
            | (weights or {}),
            feature_matching={"first_layer": 1, "last_layer": 2, "layer_reduction": "sum"},
            gradient_penalty={"patch_reduction": "mean"},
        ),
        optimizer=OptimizerSettings(
            **({"generator_lr": 1e-3, "discriminator_lr": 2e-3, "algorithm": ADAM} | optimizer)
        ),
        validation=None,  # type: ignore[arg-type]
        ema_decay=0.99,
        seed=5,
        config={"name": "tiny"},
        loss_recognizers=loss_recognizers,
    )


def batches(count: int, batch_size: int = 3, seed: int = 0) -> list[dict[str, Tensor]]:
    """SwapBatches: even ones same person, odd ones different, as `alternate` draws them."""
    generator = np.random.default_rng(seed)
    made = []
    for i in range(count):
        pictures = generator.integers(0, 256, (2, batch_size, 3, SIZE, SIZE), dtype=np.uint8)
        zeros = torch.zeros(batch_size, dtype=torch.int64)
        made.append(
            {
                "target": torch.from_numpy(pictures[0]),
                "source": torch.from_numpy(pictures[1]),
                "same_identity": torch.full((batch_size,), i % 2 == 0),
                "target_index": zeros,
                "source_index": zeros,
                "target_view": zeros,
                "source_view": zeros,
            }
        )
    return made


def fit(
    module: SimSwapModule,
    steps: list[dict[str, Tensor]],
    precision: Any = "64-true",
    resume: Path | None = None,
    **trainer: Any,
) -> L.Trainer:
    """Real Lightning iterations on these batches, one each, without validation; the rest of them from a checkpoint."""
    settings: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "precision": precision,
        "max_steps": len(steps),
        "limit_val_batches": 0,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "log_every_n_steps": 1,
    }
    if "plugins" in trainer:
        del settings["precision"]  # a plugin stands for it
    made = L.Trainer(**(settings | trainer))
    if precision == "64-true":
        module.embedder.double()
        module.loss_recognition.double()
    start = 0 if resume is None else torch.load(resume, weights_only=True)["global_step"]
    rest = copy.deepcopy(steps[start:] + steps[:start])  # Lightning counts what was before as taken from the loader
    made.fit(module, DataLoader(rest, batch_size=None), ckpt_path=resume, weights_only=True)  # type: ignore[arg-type]
    return made
