"""Means over several iterations, also where a checkpoint cuts them in two."""

import pytest
import torch

from simswap.training.means import RunningMeans

ITERATIONS = [{"a": 1.0, "b": 10.0}, {"a": 2.0, "b": 20.0}, {"a": 6.0, "b": 0.0}]


def same(values):
    return values


def add(means, iterations):
    for values in iterations:
        means.add({name: torch.tensor(value) for name, value in values.items()})
        means.add({"norm": torch.tensor(values["a"] * 100)})


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
@pytest.mark.parametrize("saved_again", [False, True])
def test_a_mean_goes_on_after_a_resume(cut, saved_again):
    before, after = RunningMeans(), RunningMeans()
    add(before, ITERATIONS[:cut])
    after.load_state_dict(before.state_dict(same), torch.zeros(()))
    if saved_again:  # before anything was added
        state = after.state_dict(same)
        assert state["counts"] == ({"a": cut, "b": cut, "norm": cut} if cut else {})
    add(after, ITERATIONS[cut:])
    assert {name: float(value) for name, value in after.take(same).items()} == {"a": 3.0, "b": 10.0, "norm": 300.0}
    assert after.take(same) == {}


def test_values_that_do_not_count_are_left_out_on_the_device_too():
    means = RunningMeans()
    for value, valid in ((1.0, True), (torch.nan, False), (3.0, torch.tensor(True)), (torch.nan, torch.tensor(False))):
        means.add({"a": torch.tensor(value)}, valid)
    means.add({"b": torch.tensor(torch.nan)}, torch.tensor(False))
    assert means.take(same) == {"a": torch.tensor(2.0)}
