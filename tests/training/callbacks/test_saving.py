import threading

import pytest
import torch

from simswap.errors import InputError
from simswap.training import checkpoint_files
from simswap.training.callbacks.saving import NewestCheckpoint
from tests.training.tiny import batches, fit, tiny_module


def step_of(path) -> int:
    return torch.load(path, weights_only=True)["global_step"]


def after_each_step(module, happens):
    step = module.training_step

    def training_step(*given):
        step(*given)
        happens(module)

    module.training_step = training_step
    return module


def test_the_newest_and_the_one_before_are_kept(tmp_path):
    fit(tiny_module(), batches(5), callbacks=[NewestCheckpoint(tmp_path, every=2)])
    folder = tmp_path / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["last.ckpt", "previous.ckpt"]
    assert (step_of(folder / "last.ckpt"), step_of(folder / "previous.ckpt")) == (5, 4)


def test_weights_are_those_of_the_iteration_though_training_goes_on(tmp_path, monkeypatch):
    write, late = checkpoint_files.write_checkpoint, threading.Event()
    monkeypatch.setattr(checkpoint_files, "write_checkpoint", lambda *given: late.wait(60) and write(*given))
    there, weights = [], []

    def after(module):
        weights.append(module.generator.state_dict()["last.1.weight"].clone())
        there.append((tmp_path / "checkpoints" / "last.ckpt").exists())
        if len(weights) == 3:  # the file of two iterations is written after the third
            late.set()

    module = after_each_step(tiny_module(), after)
    fit(module, batches(3), callbacks=[NewestCheckpoint(tmp_path, every=2)])
    assert there == [False] * 3
    before = torch.load(tmp_path / "checkpoints" / "previous.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(before["generator.last.1.weight"], weights[1])
    assert not torch.equal(weights[1], weights[2])


def test_a_fault_of_the_disk_ends_the_run_in_the_next_iteration(tmp_path, monkeypatch):
    def full(content, path):
        raise InputError(f"{path} cannot be written (full): free the disk")

    monkeypatch.setattr(checkpoint_files, "write_checkpoint", full)
    waits = NewestCheckpoint(tmp_path, every=2)
    module = after_each_step(tiny_module(), lambda _: waits.writer.join())
    with pytest.raises(InputError, match=r"next.ckpt cannot be written \(full\).*; there is no checkpoint yet"):
        fit(module, batches(50), callbacks=[waits])
    assert module.global_step == 3
