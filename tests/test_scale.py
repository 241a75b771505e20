"""The estimate for many GPUs counts the real module's iteration, without computing it."""

import pytest

from tests.leftovers import REPOSITORY


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))


def module():
    import counted_iteration

    from simswap.models.builtin import recognizer

    layers = ("objective.feature_matching.first_layer=1", "objective.feature_matching.last_layer=2")
    return counted_iteration.module_of(32, "generator.width=4", *layers, experiment="debug", face=recognizer())


def test_it_counts_what_an_iteration_computes():
    from counted_iteration import Batches, Watched, count
    from timing import Operations, bare_trainer

    counter = Operations()
    real = module()
    bare_trainer(Watched(counter), max_steps=2).fit(real, Batches(32, 2))
    counted = count(module(), 32, 2)
    assert counted.operations.total() == counter.total > 0
    trained = [*real.generator.parameters(), *real.discriminators.parameters()]
    # each phase exchanges its own network's gradients, once
    assert counted.gradients == 4 * sum(p.numel() for p in trained)
    assert counted.generator + counted.discriminators == sum(p.numel() for p in trained)
    # a GPU's Adam is one operation for many tensors
    assert counted.started["optimizers"] < len(trained) / 2
    assert counted.kept > 2 * 3 * 32 * 32 * 4


def test_an_estimate():
    from collections import Counter

    from counted_iteration import Iteration
    from scale import Assumed, Estimate

    one, two = (
        Iteration(n, Counter(a=n * 4e12), Counter(a=n * 10**9), Counter(a=1000), n * 10**9, 4 * 10**8, 9, 1, 0)
        for n in (1, 2)
    )
    assumed = Assumed(1000.0, 0.4, 2.0, 6.0, 100.0, 10.0, 72.0, 1000.0, {224: 20.0})
    alone, eight = (Estimate(one, two, 3, gpus, 224, assumed) for gpus in (1, 8))
    assert alone.compute == pytest.approx(3 * (4e12 / 400e12 + 1e9 / 2e12))  # 31.5 ms
    assert alone.launch == pytest.approx(0.006)
    assert alone.seconds == alone.compute
    assert eight.gradients == pytest.approx(7e8)  # 400 MB, 2 x 7/8 of it sent by each
    assert eight.reduce == pytest.approx(0.007)
    assert eight.exposed == 0  # half of the computation hides it
    assert eight.images == pytest.approx(8 * alone.images)
