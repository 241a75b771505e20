"""benchmarks/memory.py: what it counts is what an allocator is asked for."""

import pytest
import torch

from tests.leftovers import REPOSITORY


@pytest.fixture
def memory(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    return __import__("memory")


def test_storages_count_once_and_while_they_are_alive(memory):
    with memory.LiveBytes() as live:
        kept = torch.zeros(100)  # 400 bytes
        view = kept.view(10, 10)[2:]
        assert (live.now, live.peak) == (400, 400)
        passing = kept * 2 + 1  # the product is freed when the sum is there
        assert (live.now, live.peak) == (800, 1200)
        del passing, kept
        assert live.now == 400  # the view holds it
        live.reset()
        del view
        assert (live.now, live.peak) == (0, 400)


def test_the_memory_of_a_backward_pass_is_what_the_graph_keeps(memory):
    x = torch.ones(1000, requires_grad=True)
    with memory.LiveBytes() as live:
        y = x.exp()  # 4,000 bytes, which the graph keeps
        z = y.exp()
        del y
        assert live.now == 8000
        z.sum().backward()
        del z
    assert live.now == 4000  # the gradient


@pytest.mark.filterwarnings("ignore")
def test_a_count_without_values_agrees_with_the_allocator(memory):
    counted, with_checkpointing = (memory.counted_peak(96, 2, "32-true", c, *memory.CHECKED[4:]) for c in (False, True))
    asked = memory.allocated_peak(96, 2, "32-true", False, *memory.CHECKED[4:])
    assert counted == pytest.approx(asked, rel=0.02)
    assert with_checkpointing < counted


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore")
def test_a_gpus_peak_is_the_counted_one_and_its_work_space(memory):
    counted, measured = (peak(224, 4, "32-true", False) for peak in (memory.counted_peak, memory.measured_peak))
    assert 0.9 * counted < measured < 1.5 * counted
