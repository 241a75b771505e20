"""A run folder read back."""

import math

import pytest

from simswap.errors import InputError
from simswap.tracking.metrics_csv import MetricsCsvLogger
from simswap.tracking.runs import read_config, read_evaluation, read_metrics


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


def test_what_is_missing_is_named(tmp_path):
    for read, name in ((read_config, "config.yaml"), (read_metrics, "metrics.csv"), (read_evaluation, "evaluation")):
        with pytest.raises(InputError, match=f"{name}.* is not there"):
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
