import numpy as np
import pytest
import torch

from simswap.measuring.stage import THERE, Stage, joined, results_of
from simswap.measuring.transfer import to_device, to_host

CPU = torch.device("cpu")


def stage(workers=0):
    def compute(chunk, read):
        return {"value": torch.from_numpy(read * 10), THERE: torch.from_numpy(chunk % 2 == 0)}

    return Stage(lambda chunk: chunk + 1, compute, workers)


@pytest.mark.parametrize("workers", [0, 2])
def test_rows_that_cannot_be_measured_are_left_out_at_the_end(workers):
    chunks = [np.arange(0, 3), np.arange(3, 5)]
    parts = list(stage(workers).in_order(chunks))
    assert [part["value"].tolist() for part in parts] == [[10, 20, 30], [40, 50]]
    assert joined(parts, CPU)["value"].tolist() == [10, 30, 50]
    assert list(joined(parts, CPU)) == ["value"]
    assert [stage()(chunk)["value"].tolist() for chunk in chunks] == [[10, 30], [50]]


def test_a_plain_function_of_chunks_works_too():
    parts = results_of(lambda chunk: {"n": torch.tensor([len(chunk)])}, [np.arange(2), np.arange(3)])
    assert joined(parts, CPU)["n"].tolist() == [2, 3]


def test_predictions_come_to_the_host_in_order():
    parts = [{"value": torch.full((2,), float(n))} for n in range(3)]
    assert [arrays["value"].tolist() for arrays in to_host(parts)] == [[0, 0], [1, 1], [2, 2]]


@pytest.mark.gpu
def test_on_a_gpu_they_come_one_chunk_late_and_nobody_waits_for_the_device():
    device = torch.device("cuda")
    launched = []

    def chunks():
        for n in range(3):
            launched.append(n)
            torch.cuda.set_sync_debug_mode("error")
            try:
                value = to_device(torch.full((1000,), float(n)), device)
            finally:
                torch.cuda.set_sync_debug_mode("default")
            yield {"value": value * 2}

    seen = []
    for arrays in to_host(chunks()):
        seen.append((len(launched), float(arrays["value"].min()), float(arrays["value"].max())))
    assert seen == [(2, 0, 0), (3, 2, 2), (3, 4, 4)]
