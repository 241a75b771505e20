"""What W&B's table of runs shows of a run: training's figures over all its starts, and its evaluation."""

import json
import math

import pytest
from PIL import Image
from tests.waiting import until

from simswap.compat.wandb import records
from simswap.tracking.logger import build_loggers, finish
from simswap.tracking.metrics_csv import MetricsCsvLogger
from simswap.tracking.status import RUNNING, write_status
from simswap.tracking.wandb_history import offline_fragments
from simswap.tracking.wandb_run import known_as
from simswap.tracking.wandb_summary import evaluation_in, evaluation_summary, put_evaluation, training_summary

PROTOCOL = {"name": "persons", "pairs": 4, "judge": {"name": "j"}}
RESULTS = {
    "trained": {"kind": "trained", "id_retrieval": {"value": 0.5, "low": 0.25, "high": 0.75}, "missed_poses": 0,
                "slices": {"glasses": {"id_retrieval": {"value": 0.1, "low": 0.0, "high": 0.2}}}},
    "do_nothing": {"kind": "control", "id_retrieval": {"value": 0.0, "low": 0.0, "high": math.nan}},
}  # fmt: skip


def begun(run, retrievals):
    """A start that logs these retrievals, step by step."""
    loggers = build_loggers(run, mode="offline", name="3 seed=1", group="sweep")
    for step, retrieval in retrievals.items():
        for logger in loggers:
            logger.log_metrics({"val/id_retrieval": retrieval}, step)
    finish(loggers)


def last_fragment(run, name, value):
    """Name, group and project, and the summary in the newest of the run's files, as soon as it holds this value: W&B's
    own process may still be writing it."""
    from wandb.proto.wandb_internal_pb2 import Record

    def look():
        file = max(offline_fragments(run, known_as(run).id), key=lambda path: path.stat().st_mtime_ns)
        names, summary = None, {}
        for content in records(file.read_bytes()):
            record = Record()
            record.ParseFromString(content)
            if record.WhichOneof("record_type") == "run":
                names = (record.run.display_name, record.run.run_group, record.run.project)
            for item in record.summary.update:
                summary["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
        return (names, summary) if summary.get(name) == value else None

    return until(look, f"{name} = {value} in the summary")


def test_training_by_hand(tmp_path):
    csv = MetricsCsvLogger(tmp_path)
    rows = [{"val/id_retrieval": 0.2, "val/pose_error_deg": 3.0}, {"val/id_retrieval": 0.8, "train/identity": 1.0},
            {"val/id_retrieval": 0.4, "val/pose_error_deg": 5.0}]  # fmt: skip
    for step, row in enumerate(rows):
        csv.log_metrics(row, step)
    assert training_summary(tmp_path) == {
        "val/id_retrieval": {"max": 0.8, "last": 0.4},
        "val/pose_error_deg": {"min": 3.0, "last": 5.0},
        "train/identity": 1.0,
    }
    assert training_summary(tmp_path / "none") == {}


def test_an_evaluation_comes_back_as_it_was():
    summary = evaluation_summary(PROTOCOL, RESULTS)
    assert summary["evaluation/id_retrieval"] == {"value": 0.5, "low": 0.25, "high": 0.75}
    assert summary["evaluation/do_nothing/id_retrieval"]["value"] == 0.0
    assert not [name for name in summary if "glasses" in name or "missed" in name]
    back = evaluation_in({**summary, "val/id_retrieval": {"last": 1.0}})
    assert back["protocol"] == PROTOCOL
    assert {key: entry["kind"] for key, entry in back["results"].items()} == {
        "trained": "trained",
        "do_nothing": "control",
    }
    for key, entry in back["results"].items():
        assert entry["id_retrieval"] == RESULTS[key]["id_retrieval"]
    assert evaluation_in({"val/id_retrieval": 1.0}) is None
    del summary["evaluation/format"]  # what an older version put there
    older = evaluation_in(summary)
    assert older["format"] == 1
    assert older["results"]["trained"]["id_retrieval"] == {"value": 0.5, "low": None, "high": None}


def test_further_judges_and_named_evaluations_come_back_too():
    second = {"identity_share": {"value": 0.625, "low": 0.5, "high": 0.75}, "missed_results": 2}
    judged = {name: entry | {"judges": {"second": second}} for name, entry in RESULTS.items()}
    summary = evaluation_summary(PROTOCOL, RESULTS) | evaluation_summary({**PROTOCOL, "pairs": 6}, judged, "six")
    assert summary["evaluation/id_retrieval"]["value"] == 0.5
    share = {"value": 0.625, "low": 0.5, "high": 0.75}
    assert summary["evaluations/six/judges/second/identity_share"] == share
    assert summary["evaluations/six/do_nothing/judges/second/identity_share"] == share
    first, six = evaluation_in(summary), evaluation_in(summary, name="six")
    assert (first["protocol"]["pairs"], six["protocol"]["pairs"]) == (4, 6)
    assert "judges" not in first["results"]["trained"]
    assert {key: entry["judges"] for key, entry in six["results"].items()} == {
        "trained": {"second": second},
        "do_nothing": {"second": second},
    }
    assert six["results"]["trained"]["id_retrieval"] == RESULTS["trained"]["id_retrieval"]
    assert evaluation_in(summary, name="seven") is None


def test_a_named_evaluation_stands_beside_the_first_ones_in_the_newest_fragment(tmp_path, capsys):
    begun(tmp_path, {1: 0.8})
    Image.new("RGB", (4, 4)).save(tmp_path / "evaluation.png")
    (tmp_path / "evaluations").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "evaluations" / "five_worst.png")
    low = {"trained": {"kind": "trained", "id_retrieval": {"value": 0.25, "low": 0.0, "high": 0.5}}}
    for name, results in (("evaluation", low), ("evaluations/five", low), ("evaluations/six", low)):
        content = {"format": 2, "protocol": PROTOCOL, "results": results}
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "evaluations" / "four.json").write_text("{")
    put_evaluation(tmp_path, PROTOCOL, RESULTS, tmp_path / "evaluation.png", "auto", name="six")
    assert "evaluations/four.json is not in W&B" in capsys.readouterr().err
    _, summary = last_fragment(tmp_path, "evaluations/six/id_retrieval", {"value": 0.5, "low": 0.25, "high": 0.75})
    assert summary["evaluation/id_retrieval"] == summary["evaluations/five/id_retrieval"]
    assert summary["evaluation/id_retrieval"]["value"] == 0.25
    for picture in ("evaluation/grid", "evaluations/five/worst", "evaluations/six/grid"):
        assert (tmp_path / "wandb" / "latest-run" / "files" / summary[picture]["path"]).is_file()
    put_evaluation(tmp_path, PROTOCOL, RESULTS, None, "auto")  # the first again: the named ones stay
    _, summary = last_fragment(tmp_path, "evaluation/id_retrieval", {"value": 0.5, "low": 0.25, "high": 0.75})
    assert summary["evaluations/six/id_retrieval"]["value"] == 0.25  # as its file has it
    assert summary["val/id_retrieval"]["last"] == 0.8


def test_it_is_added_to_the_run_that_training_began(tmp_path, capsys):
    begun(tmp_path, {1: 0.8, 2: 0.4})
    begun(tmp_path, {3: 0.5})
    best = {"max": 0.8, "last": 0.5}  # the first start's is not forgotten
    assert last_fragment(tmp_path, "val/id_retrieval", best)[1]["val/id_retrieval"] == best
    Image.new("RGB", (4, 4)).save(tmp_path / "evaluation.png")
    worst = {"trained": tmp_path / "evaluation.png", "shipped": tmp_path / "evaluation.png"}
    put_evaluation(tmp_path, PROTOCOL, RESULTS, tmp_path / "evaluation.png", "auto", worst)
    assert "W&B: the evaluation is in the run's summary; to upload: wandb sync" in capsys.readouterr().err
    expected = {"value": 0.5, "low": 0.25, "high": 0.75}
    names, summary = last_fragment(tmp_path, "evaluation/id_retrieval", expected)
    assert names == ("3 seed=1", "sweep", "simswap")
    assert summary["evaluation/id_retrieval"] == expected
    assert summary["val/id_retrieval"] == best
    for picture in ("evaluation/grid", "evaluation/worst", "evaluation/shipped/worst"):
        assert (tmp_path / "wandb" / "latest-run" / "files" / summary[picture]["path"]).is_file()
    assert len(offline_fragments(tmp_path, known_as(tmp_path).id)) == 3


@pytest.mark.parametrize("mode", ["auto", "disabled"])
def test_a_run_that_w_and_b_does_not_know_stays_unknown(tmp_path, mode):
    if mode == "disabled":
        begun(tmp_path, {1: 0.8})
    before = sorted(tmp_path.rglob("*.wandb"))
    put_evaluation(tmp_path, PROTOCOL, RESULTS, None, mode)
    assert sorted(tmp_path.rglob("*.wandb")) == before


def test_a_run_that_is_still_going_is_left_alone(tmp_path, capsys):
    begun(tmp_path, {1: 0.8})
    write_status(tmp_path, RUNNING, 2)
    put_evaluation(tmp_path, PROTOCOL, RESULTS, None, "auto")
    assert "is still running): run simswap-evaluate again" in capsys.readouterr().err
    assert len(offline_fragments(tmp_path, known_as(tmp_path).id)) == 1


def test_a_run_on_a_server_gets_no_second_one_beside_it(tmp_path, monkeypatch, capsys):
    begun(tmp_path, {1: 0.8})
    for fragment in offline_fragments(tmp_path, known_as(tmp_path).id):
        fragment.unlink()  # as after an online start
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    put_evaluation(tmp_path, PROTOCOL, RESULTS, None, "online")
    assert capsys.readouterr().err.startswith("the evaluation is not in W&B (")
    assert not list(tmp_path.rglob("*.wandb"))
