"""A figure of a user's own package: one file with the function and its declaration, and it is in every table."""

import csv
import json
import shutil
import sys

import pyarrow.parquet as pq
import pytest

from simswap import compare, evaluate, train
from simswap.metrics.figures import FIGURES
from simswap.tracking.wandb_summary import best_goals, evaluation_summary, training_summary
from tests.test_recorded import RECORDED

PACKAGE = """
from simswap.metrics.figures import Figure, Heading, register


def brightness_error(pairs):
    result, target = (crop["image"].mean(dim=(1, 2, 3)) for crop in (pairs.result, pairs.target))
    return (result - target).abs()


register(
    Figure(
        "brightness_error", "brightness error", better="lower", printed=Heading("brightness", "error", 3),
        headline=True, validated=True, best=True,
    ),
    brightness_error,
)
"""


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A copy of the recorded runs with the package in it, as the working folder."""
    folder = shutil.copytree(RECORDED, tmp_path / "recorded")
    (folder / "mylab.py").write_text(PACKAGE, encoding="utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield folder
    sys.modules.pop("mylab", None)
    FIGURES.pop("brightness_error", None)


def test_it_is_measured_and_shown_everywhere(recorded, door):
    # A validation logs it, and W&B keeps the best value of a series in which smaller is better.
    code, _, errors = door(train.main, "trusted=[mylab]", "resume=run", "trainer.max_steps=4")
    assert code == 0, errors
    with open("run/metrics.csv", newline="") as file:
        validated = [row for row in csv.DictReader(file) if row["val/brightness_error"]]
    assert validated
    assert float(validated[-1]["val/do_nothing/brightness_error"]) == 0
    assert float(validated[-1]["val/copy_source/brightness_error"]) > 0
    assert best_goals(recorded / "run")["val/brightness_error"] == "min"
    assert training_summary(recorded / "run")["val/brightness_error"] == {
        "min": min(float(row["val/brightness_error"]) for row in validated),
        "last": float(validated[-1]["val/brightness_error"]),
    }

    # An evaluation reports it with an interval, prints it, and keeps every pair's value.
    code, printed, errors = door(
        evaluate.main, "trusted=[mylab]", "checkpoint=run/checkpoints/last.ckpt", "protocol.persons=4",
        "protocol.images_per_person=3", "protocol.pairs=12", "protocol.split=train", "wandb=disabled",
    )  # fmt: skip
    assert code == 0, errors
    evaluation = json.loads((recorded / "run" / "evaluation.json").read_text())
    found = evaluation["results"]["trained"]["brightness_error"]
    assert found["n"] == 12
    assert found["low"] < found["value"] < found["high"]
    assert evaluation["results"]["do_nothing"]["brightness_error"]["value"] == 0
    assert "brightness" in printed
    assert f"{found['value']:.3f}" in printed
    pairs = pq.read_table(recorded / "run" / "evaluation_pairs.parquet").to_pydict()
    values = [v for v, s in zip(pairs["brightness_error"], pairs["swapper"], strict=True) if s == "trained"]
    assert sum(values) / 12 == pytest.approx(found["value"])
    summary = evaluation_summary(evaluation["protocol"], evaluation["results"])
    assert summary["evaluation/brightness_error"]["value"] == found["value"]

    # The comparison page shows it without being asked.
    code, _, errors = door(compare.main, "trusted=[mylab]", "runs=run", "out=page")
    assert code == 0, errors
    assert "brightness error" in (recorded / "page" / "comparison.html").read_text(encoding="utf-8")
