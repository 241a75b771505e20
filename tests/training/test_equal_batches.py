"""One batch of 16 on one rank = 8 on each of two ranks = four accumulated parts of 4 on one, without batch norm."""

import os
import socket

import lightning as L
import pytest
import torch
import torch.distributed
import torch.multiprocessing
from lightning.pytorch.strategies import DDPStrategy

from simswap.compat.lightning import UnwrappedDDP
from simswap.training.loss_recognition import LossRecognizer
from tests.training.test_module import logged, reference_run
from tests.training.tiny import batches, fit, tiny_module, tiny_recognizer

FAST, PROOF = 4, 50  # iterations
CYCLE = {"cycle": 5.0}  # a term that runs the generator twice
OTHER_LOSS = ((2, 5, 3.0), (1, 8, 1.0))  # (seed, size, weight) of recognizers; seed 1 is the conditioning's
SKIPPED_ON = 2  # of the run in which one rank's discriminators give a loss that is not finite


def train(steps, precision, micro_batches=1, breaks=None, weights=None, loss=(), **trainer):
    """Losses and weights of a run; ``breaks(module)`` may put a fault in. loss: what the identity loss judges by."""
    judged_by = {f"r{seed}": LossRecognizer(tiny_recognizer(seed, size), weight) for seed, size, weight in loss}
    module = tiny_module(
        "none", "none", weights, loss_recognizers=judged_by, micro_batches=micro_batches, generator_clip=50.0
    )
    if breaks is not None:
        breaks(module)
    lines = logged(module)
    fit(module, steps, precision=precision, **trainer)
    return {"losses": lines, "weights": {name: value.clone() for name, value in module.state_dict().items()}}


def share(steps, rank):
    """What rank of two loads of each batch."""
    return [{name: value.chunk(2)[rank] for name, value in batch.items()} for batch in steps]


def no_number_on(rank):
    """A fault that strikes one rank alone, in one discriminator phase."""

    def breaks(module):
        loss_of = module._discriminator_loss

        def broken(part):
            loss, terms = loss_of(part)
            strikes = module.global_step == SKIPPED_ON and module.trainer.global_rank == rank
            return (loss * torch.nan if strikes else loss), terms

        module._discriminator_loss = broken

    return breaks


class GradientsSeen(L.Callback):
    """The complete gradient of each optimizer's first step, by the name of its network."""

    def __init__(self):
        self.seen = {}

    def on_before_optimizer_step(self, trainer, module, optimizer):
        phase = module._stepping
        found = {name: None if p.grad is None else p.grad.clone() for name, p in phase.network.named_parameters()}
        self.seen.setdefault(phase.name, found)


def gradients(steps, **trainer):
    """The gradients of one iteration of networks with batch norm, in two micro-batches, while the weights stay."""
    module = tiny_module(
        "batch", "batch", {"gradient_penalty": 10.0}, micro_batches=2, discriminator_lr=1e-300, generator_lr=1e-300
    )
    seen = GradientsSeen()
    # The draws of a rank differ from those of the same pictures on one rank.
    steps = [steps[0] | {"mix": torch.linspace(0, 1, len(steps[0]["target"]), dtype=torch.float64)}]
    fit(module, steps, precision="64-true", callbacks=[seen], **trainer)
    return seen.seen


def sent_bytes(steps, **trainer):
    """Bytes that one iteration sends to the other ranks, and those of all trained parameters."""
    module, sent = tiny_module("none", "none"), []
    real = torch.distributed.all_reduce

    def counted(tensor, *arguments, **settings):
        sent.append(tensor.numel() * tensor.element_size())
        return real(tensor, *arguments, **settings)

    class Count(L.Callback):
        def on_train_batch_start(self, trainer, *_):
            torch.distributed.all_reduce = counted if trainer.global_step == 1 else real

        def on_train_batch_end(self, trainer, *_):
            torch.distributed.all_reduce = real

    fit(module, steps[:3], precision="32-true", callbacks=[Count()], log_every_n_steps=100, **trainer)
    trained = [*module.generator.parameters(), *module.discriminators.parameters()]
    return sum(sent), sum(p.numel() * p.element_size() for p in trained)


def one_rank(rank, port, folder, iterations):
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "NODE_RANK": "0",
        "LOCAL_RANK": str(rank),
    }
    torch.set_num_threads(1)
    trainer = {"devices": 2, "use_distributed_sampler": False}
    steps = share(batches(iterations, batch_size=16), rank)

    def ddp():
        return UnwrappedDDP(process_group_backend="gloo")

    wrapped = DDPStrategy(process_group_backend="gloo", find_unused_parameters=True)

    made = {
        "64": train(steps, "64-true", strategy=ddp(), **trainer),
        "64 in parts": train(steps[:3], "64-true", micro_batches=2, strategy=ddp(), **trainer),
        "cycle": train(steps[:2], "64-true", weights=CYCLE, strategy=ddp(), **trainer),
        "cycle in parts": train(steps[:2], "64-true", micro_batches=2, weights=CYCLE, strategy=ddp(), **trainer),
        "loss": train(steps[:2], "64-true", loss=OTHER_LOSS, strategy=ddp(), **trainer),
        "loss in parts": train(steps[:2], "64-true", 2, loss=OTHER_LOSS, strategy=ddp(), **trainer),
        "32": train(steps[:1], "32-true", strategy=ddp(), **trainer),
        "wrapped": train(steps[:2], "64-true", strategy=wrapped, **trainer),
        "gradients": gradients(steps, strategy=ddp(), **trainer),
        "bytes": sent_bytes(steps, strategy=ddp(), **trainer),
        "no number": train(steps[:4], "64-true", breaks=no_number_on(1), strategy=ddp(), **trainer),
    }
    torch.save(made, f"{folder}/{rank}.pt")


@pytest.fixture(scope="module", params=[FAST, pytest.param(PROOF, marks=pytest.mark.slow)])
def steps(request):
    return batches(request.param, batch_size=16)


@pytest.fixture(scope="module")
def two_ranks(steps, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(one_rank, args=(port, str(folder), len(steps)), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.fixture(scope="module")
def whole(steps):
    return train(steps, "64-true")


def assert_same_losses(made, expected, tolerance):
    for line, other in zip(made["losses"], expected["losses"], strict=False):
        assert line.keys() == other.keys()
        for name, value in line.items():
            assert value == pytest.approx(other[name], rel=tolerance, abs=tolerance), name


def assert_same_weights(made, expected, tolerance):
    for name, value in made["weights"].items():
        # A bias before an instance norm cancels out: its gradient is rounding alone, of which Adam makes whole steps.
        if not ("id_blocks" in name and "conv" in name and name.endswith("bias")):
            torch.testing.assert_close(value, expected["weights"][name], rtol=0, atol=tolerance)


def test_in_float64_all_three_stay_one(whole, two_ranks, steps):
    parts = train(steps, "64-true", micro_batches=4)
    for made in (parts, two_ranks[0]["64"]):
        assert len(made["losses"]) == len(whole["losses"]) == len(steps)
        assert_same_losses(made, whole, 1e-8)
        assert_same_weights(made, whole, 1e-8)
    assert abs(whole["losses"][-1]["train/discriminator"] - whole["losses"][0]["train/discriminator"]) > 0.001


def test_two_ranks_with_parts_are_the_same_too(two_ranks, whole):
    assert len(two_ranks[0]["64 in parts"]["losses"]) == 3
    assert_same_losses(two_ranks[0]["64 in parts"], whole, 1e-8)


def test_the_cycle_too_is_the_same_over_ranks_and_micro_batches(two_ranks, steps):
    whole = train(steps[:2], "64-true", weights=CYCLE)
    assert all(line["train/cycle"] > 0.01 for line in whole["losses"])
    parts = train(steps[:2], "64-true", micro_batches=4, weights=CYCLE)
    for made in (parts, two_ranks[0]["cycle"], two_ranks[0]["cycle in parts"]):
        assert len(made["losses"]) == 2
        assert_same_losses(made, whole, 1e-8)
        assert_same_weights(made, whole, 1e-8)


def test_so_is_a_loss_by_other_recognizers(two_ranks, steps):
    whole = train(steps[:2], "64-true", loss=OTHER_LOSS)
    by_one = train(steps[:2], "64-true")
    assert abs(whole["losses"][1]["train/identity"] - by_one["losses"][1]["train/identity"]) > 0.001
    parts = train(steps[:2], "64-true", micro_batches=4, loss=OTHER_LOSS)
    for made in (parts, two_ranks[0]["loss"], two_ranks[0]["loss in parts"]):
        assert len(made["losses"]) == 2
        assert_same_losses(made, whole, 1e-8)
        assert_same_weights(made, whole, 1e-8)


def test_in_float32_the_first_step_is_the_same_within_its_rounding(two_ranks, steps):
    whole = train(steps[:1], "32-true")
    for made in (train(steps[:1], "32-true", micro_batches=4), two_ranks[0]["32"]):
        assert_same_losses(made, whole, 1e-5)
        assert_same_weights(made, whole, 1e-4)  # a step of the generator's Adam is 1e-3 here


def test_it_is_the_step_of_the_text(whole, steps):
    _, _, losses = reference_run(tiny_module("none", "none"), steps[:3])
    names = ["discriminator", "gradient_penalty", "adversarial", "identity", "reconstruction", "feature_matching"]
    for line, expected in zip(whole["losses"], losses, strict=False):
        assert [line[f"train/{name}"] for name in names] == pytest.approx(expected, abs=1e-8)


def test_lightnings_own_ddp_gives_the_same(two_ranks, whole):
    assert_same_losses(two_ranks[0]["wrapped"], whole, 1e-8)


def test_with_batch_norm_the_gradient_is_the_mean_of_the_ranks_own(two_ranks, steps):
    halves = [gradients(share(steps, rank)) for rank in (0, 1)]
    for phase, found in two_ranks[0]["gradients"].items():
        for name, gradient in found.items():
            expected = (halves[0][phase][name] + halves[1][phase][name]) / 2
            torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-13)
            assert torch.equal(gradient, two_ranks[1]["gradients"][phase][name])
        assert max(gradient.abs().max() for gradient in found.values()) > 1e-3
    assert two_ranks[0]["gradients"].keys() == {"discriminator", "generator"}


def test_each_gradient_is_sent_once(two_ranks):
    sent, trained = two_ranks[0]["bytes"]
    assert trained == 82_420
    assert sent == trained + 2 * 4  # and each phase's number of losses that are not finite


def test_ranks_hold_the_same_weights_bit_for_bit(two_ranks):
    for run in two_ranks[0].keys() - {"gradients", "bytes"}:
        for name, value in two_ranks[0][run]["weights"].items():
            assert torch.equal(value, two_ranks[1][run]["weights"][name]), (run, name)


def test_what_is_not_finite_on_one_rank_is_left_out_on_all(two_ranks):
    for rank in two_ranks:
        assert [line["train/skipped_steps"] for line in rank["no number"]["losses"]] == [0, 0, 1, 1]
        assert "train/discriminator_grad_norm" not in rank["no number"]["losses"][SKIPPED_ON]
        assert all(torch.isfinite(value).all() for value in rank["no number"]["weights"].values())
