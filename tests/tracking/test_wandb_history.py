"""A run's history in W&B over several starts: no row twice, none missing."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from tests.waiting import until

from simswap.tracking.logger import build_loggers, finish, log_watch
from simswap.tracking.wandb_history import offline_fragments, steps_of
from simswap.tracking.wandb_run import known_as


def start_and_log(run: Path, steps: Sequence[int]) -> str:
    """One start of a run that logs at these steps; gives its id."""
    loggers = build_loggers(run, mode="offline")
    for step in steps:
        for logger in loggers:
            logger.log_metrics({"train/identity": step / 10}, step)
            logger.log_metrics({"val/id_retrieval": 0.5}, step)
        log_watch(loggers, {"watch/images_per_second": 3.0}, step)
    finish(loggers)
    return loggers[1].experiment.id


def fragments(run: Path) -> list[Path]:
    called = known_as(run)
    assert called is not None
    return offline_fragments(run, called.id)


def held(fragment: Path, expected: set[int]) -> set[int]:
    """The file's steps, as soon as W&B's own process, which outlives `finish`, has written the expected ones."""
    until(lambda: expected <= steps_of(fragment), f"steps {sorted(expected)[:9]} in {fragment}")
    return steps_of(fragment)


def test_starts_share_an_id_and_complete_each_other(tmp_path):
    identity = start_and_log(tmp_path, [1, 3, 5])
    first = fragments(tmp_path)[0]
    assert held(first, {1, 3, 5}) == {1, 3, 5}
    first.write_bytes(first.read_bytes()[:7])  # killed: W&B had not written its rows yet
    (tmp_path / "samples").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "samples" / "0000004.png")

    assert start_and_log(tmp_path, [5, 7]) == identity  # from the checkpoint of iteration 4 on
    second = (set(fragments(tmp_path)) - {first}).pop()
    assert steps_of(first) == set()
    assert held(second, {1, 3, 5, 7}) == {1, 3, 5, 7}
    assert list(second.parent.glob("files/media/images/samples_*.png"))

    assert start_and_log(tmp_path, [7, 9]) == identity
    third = (set(fragments(tmp_path)) - {first, second}).pop()
    assert held(third, {9}) == {9}
    assert (tmp_path / "metrics.csv").read_text().count("\n") == 6


def test_a_sweep_agents_id_is_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "agent7")
    assert start_and_log(tmp_path, [1]) == "agent7"
    monkeypatch.delenv("WANDB_RUN_ID")
    assert start_and_log(tmp_path, [3]) == "agent7"


def test_a_file_of_many_blocks_is_read(tmp_path):
    steps = range(1, 400)  # 32 KiB are a block
    start_and_log(tmp_path, steps)
    (file,) = fragments(tmp_path)
    assert held(file, set(steps)) == set(steps)
    assert file.stat().st_size > 2 * 32768
    file.write_bytes(file.read_bytes()[:40_000])
    left = sorted(steps_of(file))
    assert left == list(range(1, left[-1] + 1))
    assert 10 < left[-1] < 399
