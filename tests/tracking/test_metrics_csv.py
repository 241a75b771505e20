"""metrics.csv: one row a step, whole at every moment, also when a run goes on."""

import pytest
import torch

from simswap.errors import InputError
from simswap.tracking.metrics_csv import MetricsCsvLogger


def lines(run) -> list[str]:
    return (run / "metrics.csv").read_text().splitlines()


def test_one_row_a_step_and_columns_that_come_later(tmp_path):
    run = tmp_path / "run"
    logger = MetricsCsvLogger(run)
    logger.log_metrics({"train/identity": torch.tensor(0.5), "epoch": 0}, step=10)
    assert lines(run) == ["step,train/identity,epoch", "10,0.5,0.0"]
    logger.log_metrics({"train/identity": 0.25, "epoch": 0}, step=20)
    logger.log_metrics({"val/id_retrieval": 0.75}, step=20)
    logger.log_metrics({"train/identity": 0.125}, step=30)
    logger.log_metrics({"epoch": 1}, step=30)
    assert lines(run) == [
        "step,train/identity,epoch,val/id_retrieval",
        "10,0.5,0.0,",
        "20,0.25,0.0,0.75",
        "30,0.125,1.0,",
    ]
    logger.log_metrics({"val/id_retrieval": 1}, step=20)
    assert lines(run)[2:] == ["20,0.25,0.0,1.0", "30,0.125,1.0,"]
    logger.log_metrics({"epoch": 2}, step=40)
    assert lines(run)[3:] == ["30,0.125,1.0,", "40,,2.0,"]


def test_a_resumed_run_replaces_what_came_after_its_checkpoint(tmp_path):
    killed = MetricsCsvLogger(tmp_path)
    for step in (10, 20, 30, 40):
        killed.log_metrics({"train/identity": step / 10}, step=step)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("50,5")  # killed while writing
    resumed = MetricsCsvLogger(tmp_path)
    resumed.log_metrics({"val/id_retrieval": 0.5}, step=20)
    assert lines(tmp_path) == ["step,train/identity,val/id_retrieval", "10,1.0,", "20,2.0,0.5"]
    resumed.log_metrics({"train/identity": 33}, step=30)
    assert lines(tmp_path)[3:] == ["30,33.0,"]


def test_infinite_and_missing_numbers_are_written_as_such(tmp_path):
    MetricsCsvLogger(tmp_path).log_metrics({"a": float("nan"), "b": float("inf")}, step=1)
    assert lines(tmp_path) == ["step,a,b", "1,nan,inf"]


def test_bad_places_are_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        MetricsCsvLogger(tmp_path / "file").log_metrics({"a": 1}, step=1)
    (tmp_path / "metrics.csv").write_text("x,y\n1,2\n")
    with pytest.raises(InputError, match="no column 'step'"):
        MetricsCsvLogger(tmp_path).log_metrics({"a": 1}, step=1)
    (tmp_path / "metrics.csv").write_text("step,y\n1,2,3\n")
    with pytest.raises(InputError, match="line 2"):
        MetricsCsvLogger(tmp_path).log_metrics({"a": 1}, step=1)
    with pytest.raises(ValueError, match="with a step"):
        MetricsCsvLogger(tmp_path).log_metrics({"a": 1})
