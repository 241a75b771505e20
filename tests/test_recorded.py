"""Runs, a sweep and a prepared folder of the commit before the rooms moved (f09ddf9): they keep working.

``tests/recorded`` was made there by ``simswap-prepare`` (10 rendered persons, 3 photos each, 32 px), ``simswap-train``
(2 iterations; a sweep of two seeds) and ``simswap-evaluate``; ``resumed.json`` holds the losses of its iterations 2
and 3, as that commit resumed it, and ``swap.png`` a swap of two enlarged crops with its checkpoint.
"""

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from simswap import compare, evaluate, swap, train
from simswap.faces.alignment import template_points
from simswap.tracking.runs import read_metrics
from simswap.tracking.wandb_summary import training_summary

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


def test_a_resumed_run_keeps_its_column_names(recorded, door):
    before = (recorded / "run" / "metrics.csv").read_text().splitlines()[0].split(",")
    assert "val/self_reconstruction" in before
    code, _, errors = door(train.main, "resume=run", "trainer.max_steps=4")
    assert code == 0, errors
    with open(recorded / "run" / "metrics.csv", newline="") as file:
        reader = csv.DictReader(file)
        assert reader.fieldnames == before
        rows = [row for row in reader if row["val/id_retrieval"]]
    assert all(row["val/self_reconstruction"] and row["val/do_nothing/self_reconstruction"] for row in rows)
    assert len(rows) > 1
    summary = training_summary(recorded / "run")["val/self_reconstruction"]
    assert summary["min"] == min(float(row["val/self_reconstruction"]) for row in rows)
    assert read_metrics(recorded / "run", ["val/self_reconstruction"]) == read_metrics(
        recorded / "run", ["val/self_reconstruction_l1"]
    )


def test_a_figures_earlier_name_is_taken_with_a_warning(recorded, door):
    code, _, errors = door(
        compare.main, "runs=[run,sweep]", "figures=validation", "columns=[self_reconstruction]",
        "curves=[val/self_reconstruction]", "out=page",
    )  # fmt: skip
    assert code == 0, errors
    assert errors.count("warning: self_reconstruction is now called self_reconstruction_l1") == 1
    assert errors.count("warning: val/self_reconstruction is now called val/self_reconstruction_l1") == 1
    page = (recorded / "page" / "comparison.html").read_text(encoding="utf-8")
    assert "self-reconstruction L1" in page
    assert "val/self_reconstruction_l1" in page  # the curve's description
    with open(recorded / "page" / "runs.csv", newline="") as file:
        assert all(0 < float(row["self_reconstruction_l1"]) < 1 for row in csv.DictReader(file))


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


def test_its_checkpoint_swaps_as_it_did(recorded, door):
    (recorded / "photos").mkdir()
    for name, person in (("source", "n000000"), ("target", "n000001")):
        crop = cv2.imread(str(recorded / "crops" / "crops" / person / "0000_01.png"))
        photo = cv2.resize(crop, (96, 96), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(recorded / "photos" / f"{name}.png"), photo)
    points = ",".join(f"{value:.3f}" for value in template_points("arcface", 96).reshape(-1))
    header = "NAME_ID,P1X,P1Y,P2X,P2Y,P3X,P3Y,P4X,P4Y,P5X,P5Y"
    rows = [f"photos/{name},{points}" for name in ("source", "target")]
    (recorded / "points.csv").write_text("\n".join([header, *rows, ""]))
    code, _, errors = door(
        swap.main,
        "checkpoint=run/checkpoints/last.ckpt",
        "source=photos/source.png",
        "target=photos/target.png",
        "out=out.png",
        "landmarks=points.csv",
        "mark=false",
        # the paste of that commit: its defaults have changed since
        "paste.extent=1.0",
        "paste.detail_fade=null",
    )
    assert code == 0, errors
    found, before = (cv2.imread(str(path)).astype(int) for path in (recorded / "out.png", RECORDED / "swap.png"))
    target = cv2.imread(str(recorded / "photos" / "target.png")).astype(int)
    assert np.abs(before - target).mean() > 5  # swap.png is a swap
    assert np.abs(found - before).max() <= 1
