"""A run folder read back."""

import json
import math

import pytest

from simswap.errors import InputError
from simswap.tracking.evaluation_format import FORMAT
from simswap.tracking.metrics_csv import MetricsCsvLogger
from simswap.tracking.runs import find_runs, read_config, read_evaluation, read_metrics


def test_what_was_written_is_read(tmp_path):
    logger = MetricsCsvLogger(tmp_path)
    logger.log_metrics({"train/identity": 0.1}, step=10)
    logger.log_metrics({"val/id_retrieval": 0.5}, step=20)
    columns = read_metrics(tmp_path)
    assert columns["step"] == [10, 20]
    assert columns["train/identity"][0] == 0.1
    assert math.isnan(columns["train/identity"][1])
    assert columns["val/id_retrieval"][1] == 0.5
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text("seed: 3\nlike: ${seed}\n")
    assert read_config(tmp_path) == {"seed": 3, "like": 3}
    (tmp_path / "evaluation.json").write_text('{"protocol": {"name": "p"}, "results": {}}')
    assert read_evaluation(tmp_path)["protocol"] == {"name": "p"}


def test_an_older_format_keeps_its_figures_and_loses_its_intervals(tmp_path):
    figure = {"value": 0.5, "low": 0.4, "high": 0.6}
    results = {"own": {"kind": "trained", "yaw_error_deg": figure, "slices": {"glasses": {"fid": figure, "pairs": 3}}}}
    unknown = {"value": 0.5, "low": None, "high": None}
    for number, expected in ((None, unknown), (1, unknown), (FORMAT, figure)):
        stored = {"protocol": {"low": 1}, "results": results} | ({} if number is None else {"format": number})
        (tmp_path / "evaluation.json").write_text(json.dumps(stored))
        read = read_evaluation(tmp_path)
        assert read["format"] == (number or 1)
        assert read["protocol"] == {"low": 1}
        assert read["results"]["own"] == {
            "kind": "trained",
            "yaw_error_deg": expected,
            "slices": {"glasses": {"fid": expected, "pairs": 3}},
        }


@pytest.mark.parametrize("number", [FORMAT + 1, 0, 1.5, "2", True, None])
def test_a_format_of_a_newer_version_is_refused(tmp_path, number):
    (tmp_path / "evaluation.json").write_text(json.dumps({"protocol": {}, "results": {}, "format": number}))
    with pytest.raises(InputError, match=r"evaluation.json has format .*, and this version reads 1 to"):
        read_evaluation(tmp_path)


def test_what_is_missing_is_named(tmp_path):
    for read, name in ((read_config, "config.yaml"), (read_metrics, "metrics.csv"), (read_evaluation, "evaluation")):
        with pytest.raises(InputError, match=f"{name}.* does not exist"):
            read(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "read"),
    [
        (".hydra/config.yaml", "a: [", read_config),
        (".hydra/config.yaml", "- a", read_config),
        (".hydra/config.yaml", "a: ${nowhere}", read_config),
        ("metrics.csv", "step,a\n1,one\n", read_metrics),
        ("evaluation.json", "{", read_evaluation),
        ("evaluation.json", "[]", read_evaluation),
    ],
)
def test_what_is_something_else_is_one_line(tmp_path, file, content, read):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(content)
    with pytest.raises(InputError, match=file) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_whose_name_holds_a_globs_signs_is_meant_as_it_stands(tmp_path):
    for name in ("a [1]/x", "a 1/x", "b*/[z]/y"):
        (tmp_path / name / ".hydra").mkdir(parents=True)
        (tmp_path / name / ".hydra" / "config.yaml").write_text("name: x\n")
    found = {
        given: [str(run.relative_to(tmp_path)) for run, _ in find_runs(str(tmp_path / given))]
        for given in ("a [1]/x", "a [1]", "a [1]/*", "a [12]/x", "b*/[z]/y", "b*/[z]/*", "a*/x")
    }
    assert found == {
        "a [1]/x": ["a [1]/x"],
        "a [1]": ["a [1]/x"],
        "a [1]/*": ["a [1]/x"],
        "a [12]/x": ["a 1/x"],
        "b*/[z]/y": ["b*/[z]/y"],
        "b*/[z]/*": ["b*/[z]/y"],
        "a*/x": ["a 1/x", "a [1]/x"],
    }
