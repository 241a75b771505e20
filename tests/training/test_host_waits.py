"""In an iteration the host waits for nothing that the device computes, and sends it no constants."""

import lightning as L
import numpy as np
import pytest
import torch

from simswap.data.datamodule import SwapDataModule
from simswap.models.embedder import Embedder
from tests.host_waits import HostWaits
from tests.training.tiny import SIZE, batches, fit, tiny_module, tiny_recognizer

KINDS = {
    "plain": ("32-true", {}),
    "in bf16": ("bf16-mixed", {"pixel_range": "imagenet"}),
    "split": ("32-true", {"micro_batches": 2, "discriminator_steps": 2, "generator_clip": 1.0}),
    "with a cycle": ("bf16-mixed", {"weights": {"cycle": 1.0}, "generator_norm": "instance"}),
    "with little memory": ("32-true", {"checkpointing": True}),
}


def module_of(settings):
    """A module whose crops are warped for the recognizer, each by its own view."""
    module = tiny_module(**settings)
    embedder = Embedder(tiny_recognizer(), "simswap", SIZE)
    module._frozen = (embedder, embedder)
    module.decide_on_device = True  # as on a GPU
    return module


def watched(module, iteration):
    """Counts one iteration of the fit to come; the first ones fill caches."""
    waits, step, calls = HostWaits(), module.training_step, []

    def training_step(batch, batch_idx=0):
        calls.append(batch)
        if len(calls) != iteration:
            return step(batch, batch_idx)
        with waits:
            return step(batch, batch_idx)

    module.training_step = training_step
    return waits


@pytest.mark.parametrize("kind", KINDS)
def test_an_iteration_reads_no_value_and_makes_no_constant(kind):
    precision, settings = KINDS[kind]
    module = module_of(settings)
    draws = settings.get("discriminator_steps", 1)
    steps = [
        batch | {"mix": torch.rand(4 * draws).double(), "target_view": torch.arange(4 * draws) % 5}
        for batch in batches(3, batch_size=4 * draws)
    ]
    waits = watched(module, 2)
    fit(module, steps, precision=precision, log_every_n_steps=100)
    assert waits.places == {}


def test_a_value_that_the_host_reads_is_seen():
    """Decisions of the host, mixing weights that the batch lacks, and a reading term: each with its place."""
    module = module_of({})
    module.decide_on_device = False
    term = module.objective.generator
    module.objective.generator = lambda inputs: (float(inputs.result.sum()), term(inputs))[1]
    waits = watched(module, 2)
    fit(module, batches(3), precision="32-true", log_every_n_steps=100)
    found = {(kind, place) for kind, _, place in waits.places}
    assert found >= {
        ("read", "phase.py: read"),
        ("constant", "module.py: _mix"),
        ("read", "module.py: _generator_loss"),
    }


def test_every_kind_of_wait_is_counted():
    values, mask = torch.rand(3), torch.tensor([True, False, True])
    calls = {
        "read": [
            values[0].item,
            values.tolist,
            values.numpy,
            values.cpu,
            lambda: bool(mask[0]),
            lambda: np.asarray(values),
        ],
        "size": [values.nonzero, values.unique, lambda: values[mask], lambda: values.masked_select(mask)],
        "constant": [lambda: torch.tensor([1.0]), lambda: torch.from_numpy(np.ones(1)), lambda: torch.as_tensor([1])],
    }
    for kind, each in calls.items():
        for call in each:
            with HostWaits() as waits:
                call()
            assert {found for found, _, _ in waits.places} >= {kind}, (kind, call)
    with HostWaits() as waits:
        _ = torch.where(mask, values, 0.0).sum() + values[torch.arange(2)].mean()
    assert waits.places == {}


class Strict(L.Callback):
    """From the second iteration on, an operation that makes the host wait for the GPU is an error."""

    def on_train_batch_end(self, trainer, *_):
        torch.cuda.set_sync_debug_mode("error" if trainer.global_step < trainer.max_steps else "default")

    def on_exception(self, *_):
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_an_iteration_on_a_gpu_does_not_wait(kind, crops):
    precision, settings = KINDS[kind]
    module = module_of(settings)
    module.decide_on_device = None
    data = SwapDataModule(crops, 8, workers=1, fractions={"train": 1.0})
    data.prepare_training(draws=settings.get("discriminator_steps", 1))
    trainer = L.Trainer(
        accelerator="gpu", devices=1, precision=precision, max_steps=8, limit_val_batches=0, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=100,
        callbacks=[Strict()],
    )  # fmt: skip
    module.setup = lambda stage: None  # no validation
    trainer.fit(module, datamodule=data)
    assert trainer.global_step == 8
    assert all(torch.isfinite(value).all() for value in module.state_dict().values())
