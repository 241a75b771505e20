"""Batches on their way to a GPU: begun one ahead, waited for by the stream alone, the same as without."""

from contextlib import contextmanager
from itertools import islice

import lightning as L
import pytest
import torch
from tests.data.prepared_noise import write_prepared

from simswap.data import datamodule
from simswap.data.datamodule import SwapDataModule
from simswap.data.transfer import Transfer, transfer_to


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("prepared"))


class FakeStream:
    """A stream that keeps what happens on it in one list with all others."""

    def __init__(self, name, events):
        self.name, self.events, self.count = name, events, 0

    def record_event(self):
        self.events.append(("copied", self.count))
        self.count += 1
        return self.count - 1

    def wait_event(self, event):
        self.events.append(("waits", event))


@pytest.fixture
def events(monkeypatch):
    """CUDA's streams as fakes, and the CPU in the place of the GPU."""
    events: list[tuple] = []
    side, current = FakeStream("side", events), FakeStream("current", events)
    inside = []

    @contextmanager
    def stream(entered):
        inside.append(entered)
        yield
        inside.pop()

    to = torch.Tensor.to

    def watched(tensor, *given, **more):
        if more.get("non_blocking") and inside:
            assert inside == [side]
            return to(tensor, *given, **more).clone()
        return to(tensor, *given, **more)

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: side)
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current)
    monkeypatch.setattr(torch.Tensor, "to", watched)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, of: events.append(("kept for", of.name)))
    monkeypatch.setattr(datamodule, "transfer_to", Transfer)

    def unpinned(*given, pin_memory=False, **more):  # pinning needs a GPU
        events.append(("pins", pin_memory))
        return torch.utils.data.DataLoader(*given, **more)

    monkeypatch.setattr(datamodule, "DataLoader", unpinned)
    return events


class Reads(L.LightningModule):
    """Keeps the batches of its steps."""

    def __init__(self, events, steps):
        super().__init__()
        self.automatic_optimization, self.events, self.steps = False, events, steps
        self.batches: list[dict] = []

    def training_step(self, batch, batch_idx):
        self.events.append(("step", batch_idx))
        self.batches.append({name: value.clone() for name, value in batch.items()})
        # as a run's max_steps: with limit_train_batches, Lightning would know the end and take no batch ahead
        self.trainer.should_stop = len(self.batches) == self.steps

    def configure_optimizers(self):
        return []


def fitted(data, events, steps=4, accelerator="cpu", work=lambda: None):
    module = Reads(events, steps)
    module.on_train_batch_start = lambda *_: work()
    trainer = L.Trainer(
        accelerator=accelerator, devices=1, max_epochs=1, limit_val_batches=0, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    return module.batches


def data_of(root):
    return SwapDataModule(root, 8, workers=0, fractions={"train": 1.0})


def test_each_copy_begins_one_iteration_ahead_and_the_stream_waits_for_it(root, events):
    plain = list(islice(iter(data_of(root).train_dataloader()), 4))
    assert events == [("pins", False)]
    batches = fitted(data_of(root), events)
    assert events[1] == ("pins", True)
    order = [event for event in events if event[0] != "kept for"]
    # Lightning takes one batch ahead: while step k runs, the copy of batch k + 1 has begun.
    for step in range(4):
        at = order.index(("step", step))
        assert order[at - 1] == ("waits", step)
        assert ("copied", step + 1) in order[:at]
        assert ("copied", step + 2) not in order[:at]
    assert events.count(("kept for", "current")) == 4 * len(plain[0])
    for batch, expected in zip(batches, plain, strict=True):
        assert batch.keys() == expected.keys()
        assert all(torch.equal(batch[name], expected[name]) for name in expected)


def test_other_devices_and_loaders_without_a_trainer_get_the_batches_as_they_are(root):
    assert transfer_to(torch.device("cpu")) is None
    assert transfer_to(torch.device("mps")) is None
    loader = data_of(root).train_dataloader()
    assert loader.transfer is None
    assert isinstance(next(iter(loader)), dict)
    assert [batch["target"].shape[0] for batch in fitted(data_of(root), [], 2)] == [8, 8]


def test_a_device_without_float64_gets_float32(root):
    batch = data_of(root).train_batches()[0]
    del batch["unreadable"]
    moved = data_of(root).transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert moved["mix"].dtype == torch.float64
    seen = []
    data = data_of(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(L.LightningDataModule, "transfer_batch_to_device", lambda self, batch, *_: seen.append(batch))
        data.transfer_batch_to_device(batch, torch.device("mps"), 0)
    assert seen[0]["mix"].dtype == torch.float32
    assert torch.equal(seen[0]["mix"], batch["mix"].float())
    assert seen[0]["target"] is batch["target"]


@pytest.mark.gpu
@pytest.mark.parametrize("workers", [0, 2])
def test_on_a_gpu_batches_are_the_same_and_come_from_pinned_memory(root, workers, monkeypatch):
    plain, pinned = list(islice(iter(data_of(root).train_dataloader()), 6)), []
    begin = Transfer.begin

    def watched(self, batch):
        pinned.extend(value.is_pinned() for value in batch.values())
        return begin(self, batch)

    monkeypatch.setattr(Transfer, "begin", watched)

    def work():
        product = torch.rand(2048, 2048, device="cuda")
        for _ in range(20):  # the copies are done long before the kernels of an iteration
            product = product @ product

    data = SwapDataModule(root, 8, workers=workers, fractions={"train": 1.0})
    batches = fitted(data, [], 6, "gpu", work)
    assert pinned
    assert all(pinned)
    for batch, expected in zip(batches, plain, strict=True):
        assert {value.device.type for value in batch.values()} == {"cuda"}
        assert all(torch.equal(batch[name].cpu(), expected[name]) for name in expected)
