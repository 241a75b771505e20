"""What is not finite leaves no trace: injected in the discriminators, in the generator and in the data."""

import copy
import json
import logging

import pytest
import torch

from simswap.errors import Diverged
from simswap.training.callbacks.guards import SkippedSteps
from simswap.training.callbacks.saving import NewestCheckpoint
from simswap.training.optimization import skips_on_device
from tests.training.test_module import logged
from tests.training.tiny import batches, fit, tiny_module

STRUCK = 2  # the iteration with the fault
DISCRIMINATOR, GENERATOR = "discriminator", "generator"


def strike(module, where, iterations):
    """Put NaN into the discriminators' loss, the generator's loss, or the pictures, at these iterations."""
    if where == "data":
        from_uint8 = module._target

        def broken_target(part):
            target = from_uint8(part)
            if module.global_step in iterations:
                target[0] = torch.nan
            return target

        module._target = broken_target
        return
    loss_of = getattr(module, f"_{where}_loss")

    def broken_loss(part):
        loss, terms = loss_of(part)
        return (loss + torch.nan, terms) if module.global_step in iterations else (loss, terms)

    setattr(module, f"_{where}_loss", broken_loss)


class StateSeen(SkippedSteps):
    """After each iteration: everything that a fault could pollute."""

    def __init__(self, run, max_in_a_row=20):
        super().__init__(run, max_in_a_row)
        self.states = []

    def on_train_batch_end(self, trainer, module, *arguments):
        super().on_train_batch_end(trainer, module, *arguments)
        moments = [copy.deepcopy(optimizer.state_dict()["state"]) for optimizer in trainer.optimizers]
        self.states.append((copy.deepcopy(module.state_dict()), moments))


def same(left, right):
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return left == right


def part_of(state, network):
    return {name: value for name, value in state.items() if name.split(".")[0] == network}


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize("micro_batches", [1, 2])
@pytest.mark.parametrize(("where", "skipped"), [(DISCRIMINATOR, 1), (GENERATOR, 1), ("data", 2)])
def test_a_fault_leaves_no_trace(where, skipped, micro_batches, on_device, tmp_path, caplog):
    module, seen = tiny_module(micro_batches=micro_batches), StateSeen(tmp_path)
    module.decide_on_device = on_device
    strike(module, where, {STRUCK})
    lines = logged(module)
    with caplog.at_level(logging.WARNING, "simswap.training.callbacks.guards"):
        trainer = fit(module, batches(4, batch_size=4), callbacks=[seen])

    (before, (g_before, d_before)), (after, (g_after, d_after)) = seen.states[STRUCK - 1 : STRUCK + 1]
    stays_g, stays_d = where != DISCRIMINATOR, where != GENERATOR
    for network, stays in (("generator", stays_g), ("ema", stays_g), ("discriminators", stays_d)):
        # Running statistics too; the phase that has no fault makes its step.
        assert same(part_of(before, network), part_of(after, network)) == stays, network
    assert same(g_before, g_after) == stays_g
    assert same(d_before, d_after) == stays_d
    assert all(torch.isfinite(value).all() for value in module.state_dict().values())

    assert trainer.global_step == 4  # the iteration counts: its pairs do not come again
    assert [line["train/skipped_steps"] for line in lines] == [0, 0, skipped, skipped]
    assert module.skips.in_a_row == 0
    phase = {"data": "discriminator phase's loss and the generator phase's loss"}.get(where, f"{where} phase's loss")
    assert [r.getMessage() for r in caplog.records] == [
        f"iteration 2: the {phase} not finite, the step is left out (iteration 1 in a row)"
    ]
    assert not (tmp_path / "diverged.json").exists()


@pytest.mark.parametrize("on_device", [False, True])
def test_a_gradient_that_is_not_finite_is_left_out_though_the_loss_is(on_device):
    module = tiny_module()
    module.decide_on_device = on_device
    lines = logged(module)
    module.generator.last[1].weight.register_hook(
        lambda gradient: gradient * (torch.inf if module.global_step == 1 else 1)
    )
    fit(module, batches(3))
    assert [line["train/skipped_steps"] for line in lines] == [0, 1, 1]
    assert "train/generator_grad_norm" not in lines[1]
    assert all(value == value for line in lines for value in line.values())  # no NaN is logged


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_gpu_skips_the_step_itself_and_the_host_reads_it_later(precision, tmp_path):
    module, seen = tiny_module(generator_clip=1.0), StateSeen(tmp_path)
    strike(module, GENERATOR, {STRUCK})
    fit(module, batches(4), precision, callbacks=[seen], accelerator="gpu", log_every_n_steps=100)
    (before, (g_before, d_before)), (after, (g_after, d_after)) = seen.states[STRUCK - 1 : STRUCK + 1]
    for network, stays in (("generator", True), ("ema", True), ("discriminators", False)):
        assert same(part_of(before, network), part_of(after, network)) == stays, network
    assert same(g_before, g_after)
    assert not same(d_before, d_after)
    assert module.skips.total == 1
    assert all(skips_on_device(optimizer) for optimizer in module.trainer.optimizers)


def test_too_many_in_a_row_end_the_run_with_the_last_good_checkpoint(tmp_path):
    module = tiny_module()
    strike(module, GENERATOR, {1, 3, 4, 5, 6, 7})
    steps = batches(8)
    for iteration, batch in enumerate(steps):
        batch["target_index"] = batch["target_index"] + iteration
        batch["source_index"] = batch["source_index"] + 100
    callbacks = [SkippedSteps(tmp_path, max_in_a_row=2), NewestCheckpoint(tmp_path, every=1)]
    with pytest.raises(Diverged, match=r"^training diverged at iteration 5: 3 iterations in a row .* \(generator\)"):
        fit(module, steps, callbacks=callbacks)
    kept = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert kept["global_step"] == 3  # iterations 0 to 2, of which one alone was left out
    dump = json.loads((tmp_path / "diverged.json").read_text())
    assert str(tmp_path / "checkpoints" / "last.ckpt") in dump["message"]
    assert [entry["iteration"] for entry in dump["iterations"]] == [3, 4, 5]
    (step,) = dump["iterations"][0]["steps"]
    assert (step["phase"], step["loss"]) == ("generator", ["nan"])
    assert dump["iterations"][0]["target_index"] == [3, 3, 3]
    assert dump["iterations"][2]["source_index"] == [100, 100, 100]


def test_on_a_device_the_run_ends_at_the_next_logged_iteration(tmp_path, caplog):
    module = tiny_module()
    module.decide_on_device = True
    strike(module, GENERATOR, {1, 3, 4, 5, 6, 7, 8})
    with (
        caplog.at_level(logging.WARNING, "simswap.training.callbacks.guards"),
        pytest.raises(Diverged, match=r"^training diverged at iteration 5: 3 iterations in a row"),
    ):
        fit(module, batches(12), callbacks=[SkippedSteps(tmp_path, max_in_a_row=2)], log_every_n_steps=8)
    assert module.trainer.global_step == 8
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "iteration 1", "iteration 3", "iteration 4", "iteration 5"
    ]  # fmt: skip
    assert [entry["iteration"] for entry in json.loads((tmp_path / "diverged.json").read_text())["iterations"]] == [
        3,
        4,
        5,
    ]


def test_on_a_device_the_last_iterations_are_reported_though_none_is_logged(tmp_path, caplog):
    module = tiny_module()
    module.decide_on_device = True
    strike(module, DISCRIMINATOR, {2})
    with caplog.at_level(logging.WARNING, "simswap.training.callbacks.guards"):
        fit(module, batches(3), callbacks=[SkippedSteps(tmp_path)], log_every_n_steps=100)
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["iteration 2"]
    assert (module.skips.total, module.skips.in_a_row) == (1, 1)


@pytest.mark.parametrize("on_device", [False, True])
def test_counts_go_on_after_a_resume(on_device, tmp_path):
    steps = batches(6)
    whole, part, resumed = tiny_module(), tiny_module(), tiny_module()
    lines, rest = logged(whole), logged(resumed)
    logged(part)
    for module in (whole, part, resumed):
        module.decide_on_device = on_device
        strike(module, DISCRIMINATOR, {1})
    settings = {"precision": "32-true", "log_every_n_steps": 2}
    fit(whole, steps, **settings)
    fit(part, steps[:3], **settings).save_checkpoint(tmp_path / "a.ckpt")
    fit(resumed, steps, resume=tmp_path / "a.ckpt", **settings)
    assert lines[1:] == rest  # the mean that the interruption cut in two as well
    assert rest[0]["train/skipped_steps"] == 1
    assert same(whole.state_dict(), resumed.state_dict())
