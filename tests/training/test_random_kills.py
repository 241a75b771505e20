"""Runs killed at random moments resume and end as runs that nobody killed."""

import random
import time

import pytest
import torch

from simswap.tracking.status import read_status
from tests.training.runs import LONG, content_of, differences, finish, kill, start
from tests.waiting import DEADLINE, until


@pytest.mark.slow
def test_killed_at_20_random_moments(crops, tmp_path):
    # Runs that end before their turn to be killed are compared too, and begun anew.
    longer = [*LONG, f"data.root={crops}", "trainer.max_steps=40", "checkpoints.every=1"]
    output, moments, kills, folders = tmp_path / "out.txt", random.Random(4), 0, 0
    began = time.monotonic()
    assert finish([*longer, f"hydra.run.dir={tmp_path / 'whole'}"], output) == 0
    seconds = time.monotonic() - began
    expected = content_of(tmp_path / "whole")
    reached: list[int] = []
    while kills < 20:
        folders += 1
        run = tmp_path / f"run{folders}"
        arguments = [*longer, f"hydra.run.dir={run}"]
        while True:
            process = start(arguments, output)
            process.join(moments.uniform(0.2, 1.2) * seconds if kills < 20 else DEADLINE)
            if process.exitcode is not None:
                break
            kill(process)
            kills += 1
            status = read_status(run)
            reached.append(status.iteration if status else 0)
            if (run / ".hydra" / "overrides.yaml").is_file():  # before it nothing is begun, and nothing to go on with
                arguments = [f"resume={run}"]
        assert process.exitcode == 0, output.read_text()[-3000:]
        assert differences(expected, content_of(run)) == []
    print(f"killed {kills} times, at iterations {reached}; {folders} run(s), each the same to the bit")


@pytest.mark.slow
def test_two_ranks_killed_and_resumed(crops, tmp_path):
    two = [*LONG, f"data.root={crops}", "trainer.devices=2", "trainer.log_every_n_steps=2"]
    output = tmp_path / "out.txt"
    assert finish([*two, f"hydra.run.dir={tmp_path / 'whole'}"], output, seconds=600) == 0, output.read_text()
    run = tmp_path / "run"
    process = start([*two, f"hydra.run.dir={run}", "trainer.max_steps=100000"], output)
    try:
        until((run / "checkpoints" / "previous.ckpt").is_file, "the second checkpoint")
    finally:
        kill(process)
    before = torch.load(run / "checkpoints" / "previous.ckpt", weights_only=True)["global_step"]
    assert 0 < before < 10
    assert finish([f"resume={run}", "trainer.max_steps=10"], output, seconds=600) == 0, output.read_text()
    assert differences(content_of(tmp_path / "whole"), content_of(run)) == []
