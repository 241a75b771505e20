"""Schedules by worked-out numbers, and settings that make none."""

import math

import pytest
import torch

from simswap.errors import InputError
from simswap.training.optimization import OptimizerSettings, Schedule

RATES = {
    "generator_lr": 1e-3,
    "discriminator_lr": 2e-3,
    "algorithm": {"_target_": "torch.optim.Adam", "betas": [0, 0.999]},
}


def test_schedules_by_hand():
    linear = Schedule("linear", 3, 11, 0.2)
    assert [linear.ratio(i) for i in range(4)] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert [linear.ratio(i) for i in (7, 11, 50)] == pytest.approx([0.6, 0.2, 0.2])
    cosine = Schedule("cosine", 0, 8, 0.0)
    assert [cosine.ratio(i) for i in (0, 2, 4, 8)] == pytest.approx([1, (1 + math.sqrt(0.5)) / 2, 0.5, 0])
    assert [Schedule("constant", 1, None, 0.0).ratio(i) for i in (0, 1, 9)] == [0.5, 1.0, 1.0]


def test_the_discriminators_follow_the_generator_where_nothing_else_is_said():
    both = OptimizerSettings(
        **RATES,
        schedule="linear",
        warmup=4,
        total_iterations=20,
        final_ratio=0.5,
        discriminator_schedule=None,
        discriminator_warmup=None,
    )
    assert both.discriminator_schedule == both.generator_schedule
    own = OptimizerSettings(
        **RATES,
        schedule="linear",
        total_iterations=20,
        discriminator_schedule="cosine",
        discriminator_final_ratio=0.1,
        discriminator_algorithm={"betas": [0.5, 0.9], "eps": None},
    )
    assert own.discriminator_schedule == Schedule("cosine", 0, 20, 0.1)
    network = torch.nn.Linear(1, 1)
    generator, discriminators = own.of_generator(network), own.of_discriminators(network)
    assert type(generator) is type(discriminators) is torch.optim.Adam
    defaults = [one.defaults for one in (generator, discriminators)]
    assert [(one["lr"], one["betas"], one["eps"]) for one in defaults] == [
        (1e-3, (0.0, 0.999), 1e-8),
        (2e-3, (0.5, 0.9), 1e-8),
    ]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"schedule": "step"}, "optimizer.schedule=step: choose one of constant, linear, cosine"),
        ({"discriminator_schedule": "linear"}, "optimizer.discriminator_schedule=linear needs"),
        ({"warmup": -1}, "optimizer.warmup=-1"),
        ({"final_ratio": 2.0}, "optimizer.final_ratio=2.0: a share from 0 to 1"),
        ({"algorithm": {"_target_": "torch.optim.Adam", "betas": [0.5, 1.0]}}, "optimizer.algorithm: torch.optim.Adam"),
        ({"algorithm": {"_target_": "torch.optim.SGD", "betas": [0.5, 0.9]}}, "optimizer.algorithm: torch.optim.SGD"),
        ({"algorithm": {"_target_": "torch.optim.LBFGS"}}, "cannot work here: it evaluates the loss several times"),
        ({"algorithm": {"_target_": "torch.load", "f": "x"}}, "not on the list"),
        ({"discriminator_algorithm": {"betas": [0.5]}}, "optimizer.discriminator_algorithm: torch.optim.Adam"),
        ({"generator_lr": 0.0}, "optimizer.generator_lr=0.0"),
        ({"discriminator_clip": -1.0}, "optimizer.discriminator_clip=-1.0"),
        ({"micro_batches": 0}, "optimizer.micro_batches=0"),
        ({"discriminator_steps": 0}, "optimizer.discriminator_steps=0"),
    ],
)
def test_settings_that_are_refused(wrong, words):
    with pytest.raises(InputError) as refused:
        OptimizerSettings(**(RATES | wrong))
    assert words in str(refused.value)


def test_parts_must_divide_a_ranks_batch():
    settings = OptimizerSettings(**RATES, micro_batches=3)
    settings.check_batch(24, 2)
    with pytest.raises(
        InputError, match=r"micro_batches=3 does not divide the 8 pairs of a rank .*batch_size=16 over 2"
    ):
        settings.check_batch(16, 2)
