"""What is read from runs, and which runs can be compared."""

import json

import numpy as np
import pytest

from simswap.comparison.collected import load_local
from simswap.comparison.comparison import compare_runs
from simswap.comparison.run_settings import keep_where
from simswap.errors import InputError
from tests.comparison.made import FIGURES, made_run, write_evaluation

EVERYTHING = keep_where(None)


def load(folder, source="evaluation"):
    return load_local(str(folder), source, ["val/id_retrieval", "train/identity"], EVERYTHING)


def test_the_last_validation_stands_in_where_asked(tmp_path):
    made_run(tmp_path / "run", evaluated=False, figures={"id_retrieval": 0.7, "pose_error_deg": 2.0})
    (run,) = load(tmp_path, "validation")[0]
    assert run.figures["id_retrieval"].value == pytest.approx(0.7)
    assert run.figures["pose_error_deg"].value == pytest.approx(2.0)
    assert [(s.name, s.figures["id_retrieval"].value) for s in run.others] == [("do_nothing", 0.0)]
    assert run.curves["train/identity"][0] == [10.0, 20.0, 30.0, 40.0]


def test_somebody_elses_swaps_are_rows_too(tmp_path):
    made_run(tmp_path / "run")
    (tmp_path / "theirs").mkdir()
    write_evaluation(tmp_path / "theirs", FIGURES | {"id_retrieval": 0.1}, {}, "deepfakes", "other")
    comparison = compare_runs(load(tmp_path)[0], title="made")
    assert [v.label for v in comparison.variants] == ["run", "theirs"]
    assert comparison.differences["theirs"]["id_retrieval"].over_pairs.value == pytest.approx(-0.4)


def test_figures_of_different_rulers_do_not_stand_in_one_table(tmp_path):
    made_run(tmp_path / "a")
    for name, protocol, said in (
        ("judge", {"judge": {"name": "other", "sha256": "d" * 64}}, "different judges"),
        ("gallery", {"gallery_images": 40}, "different gallery sizes"),
        ("data", {"data": "lfw", "pairs_sha256": "e" * 64}, "different data"),
    ):
        made_run(tmp_path / name, protocol=protocol)
        with pytest.raises(InputError, match=said) as error:
            compare_runs(
                load_local([str(tmp_path / "a"), str(tmp_path / name)], "evaluation", [], EVERYTHING)[0], title="made"
            )
        assert "\n" not in str(error.value)


def test_runs_that_cannot_be_compared_are_said_in_one_line(tmp_path):
    made_run(tmp_path / "good")
    made_run(tmp_path / "going", state="running")
    crashed = made_run(tmp_path / "crashed", state="running")
    status = json.loads((crashed / "status.json").read_text())
    (crashed / "status.json").write_text(json.dumps(status | {"pid": 2**22 + 1}))  # above the largest pid there is
    made_run(tmp_path / "diverged", state="diverged")
    made_run(tmp_path / "unmeasured", evaluated=False)
    old = made_run(tmp_path / "old")
    content = json.loads((old / "evaluation.json").read_text())
    del content["results"]["trained"]["id_similarity"]
    (old / "evaluation.json").write_text(json.dumps(content))
    runs, left_out = load(tmp_path)
    assert [run.name for run in runs] == ["good"]
    said = "\n".join(left_out)
    for words in (
        "still running (at iteration 40)",
        "crashed at iteration 40 (its process is gone)",
        "diverged at iteration 40 (loss is NaN)",
        "unmeasured/evaluation.json does not exist",
        "old/evaluation.json comes from an older version: it lacks results.trained.id_similarity",
    ):
        assert words in said
    assert len(said.splitlines()) == 5
    for name in ("going", "crashed", "diverged", "unmeasured", "old"):
        with pytest.raises(InputError):  # named itself, it stops the comparison
            load_local([str(tmp_path / "good"), str(tmp_path / name)], "evaluation", [], EVERYTHING)
    with pytest.raises(InputError, match=r"none of 1 runs can be compared; the first: .* still running"):
        load_local([str(tmp_path / "goin*")], "evaluation", [], EVERYTHING)


def test_an_older_evaluation_is_shown_without_intervals_and_this_is_said(tmp_path):
    made_run(tmp_path / "a", {"variant": "SimSwap"})
    old = made_run(tmp_path / "b", {"variant": "oFM"})
    content = json.loads((old / "evaluation.json").read_text())
    del content["format"]
    (old / "evaluation.json").write_text(json.dumps(content))
    comparison = compare_runs(load(tmp_path)[0], title="made")
    assert any(
        "Evaluated by an older version, whose intervals over persons were too narrow: b. They are left out" in n
        for n in comparison.notes
    )
    first, second = (variant.interval("id_retrieval") for variant in comparison.variants)
    assert first == pytest.approx((0.5, 0.49, 0.51))
    assert second.value == 0.5
    assert np.isnan([second.low, second.high]).all()
