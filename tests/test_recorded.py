"""Runs, a sweep and a prepared folder of the commit before the rooms moved (f09ddf9): they keep working.

``tests/recorded`` was made there by ``simswap-prepare`` (10 rendered persons, 3 photos each, 32 px), ``simswap-train``
(2 iterations; a sweep of two seeds) and ``simswap-evaluate``; ``resumed.json`` holds the losses of its iterations 2
and 3, as that commit resumed it.
"""

import csv
import json
import shutil
from pathlib import Path

import pytest

from simswap import compare, evaluate, train

RECORDED = Path(__file__).parent / "recorded"


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    folder = shutil.copytree(RECORDED, tmp_path / "recorded")
    monkeypatch.chdir(folder)
    return folder


def test_its_targets_are_the_older_ones():
    assert "simswap.training.distributed.Processes" in (RECORDED / "run/.hydra/config.yaml").read_text()
    assert "simswap.faces.rendered_dataset" in (RECORDED / "crops/prepare.json").read_text()


@pytest.mark.parametrize("run", ["run", "sweep/1"])
def test_a_run_and_a_job_of_a_sweep_are_resumed(recorded, door, run):
    code, _, errors = door(train.main, f"resume={run}", "trainer.max_steps=4")
    assert code == 0, errors
    with open(recorded / run / "metrics.csv", newline="") as file:
        found = {row["step"]: row for row in csv.DictReader(file) if row["train/identity"]}
    assert list(found) == ["0", "1", "2", "3"]
    if run == "run":
        for step, losses in json.loads((RECORDED / "resumed.json").read_text()).items():
            assert {name: float(found[step][name]) for name in losses} == pytest.approx(losses, rel=1e-3)


def test_its_checkpoint_is_evaluated_to_the_same_figures(recorded, door):
    before = json.loads((recorded / "run" / "evaluation.json").read_text())["results"]
    code, _, errors = door(
        evaluate.main,
        "checkpoint=run/checkpoints/last.ckpt",
        "protocol.persons=3",
        "protocol.images_per_person=3",
        "protocol.pairs=6",
        "wandb=disabled",
        "out=again",
    )
    assert code == 0, errors
    after = json.loads((recorded / "again" / "evaluation.json").read_text())["results"]
    assert set(after) == set(before)
    for swapper, figures in before.items():
        for name in ("id_retrieval", "id_similarity", "target_similarity", "pose_error_deg", "self_reconstruction_l1"):
            assert after[swapper][name]["value"] == pytest.approx(figures[name]["value"], abs=1e-4), (swapper, name)


def test_they_are_compared(recorded, door):
    code, _, errors = door(compare.main, "runs=[run,sweep]", "figures=validation", "out=page")
    assert code == 0, errors
    page = (recorded / "page" / "comparison.html").read_text(encoding="utf-8")
    assert "3 runs" in page
