"""Sweeps through the command line, with the real configuration and launchers; the jobs train nothing."""

import csv
import errno
import importlib
import json
import os
import sys
from pathlib import Path

import joblib
import pytest

from tests.sweep_app import main
from tests.waiting import finished

REPOSITORY = Path(__file__).resolve().parents[2]


def command(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.sweep_app", "-m", f"hydra.sweep.dir={folder}", *arguments]


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def points(folder: Path) -> dict[int, list]:
    return {int(file.parent.name): json.loads(file.read_text()) for file in folder.glob("*/point.json")}


@pytest.mark.slow
def test_a_study_killed_twice_ends_with_twelve_different_trials(tmp_path):
    kill, sweep = tmp_path / "kill", tmp_path / "sweep"
    kill.mkdir()
    for job in ("3", "8"):
        (kill / job).touch()
    run = command(sweep, "sweep=optuna", "sweep.trials=12", "generator.blocks=3,5,9")
    codes, folders_before = [], {}
    for _ in range(3):
        done = finished(
            *run,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            env=os.environ | {"STUB_KILL": str(kill), "TMPDIR": str(tmp_path)},
        )
        codes.append(done.returncode)
        for job, point in folders_before.items():
            assert points(sweep)[job] == point  # no folder is written over
        folders_before = points(sweep)
    assert codes == [-9, -9, 0], done.stderr
    complete = [row for row in table(sweep) if row["state"] == "complete"]
    settings = {tuple(value for key, value in row.items() if "." in key) for row in complete}
    assert len(complete) == len(table(sweep)) == len(settings) == 12
    # jobs 3 and 8 were killed, and their points were tried again in folders of their own
    assert sorted(points(sweep)) == [0, 1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 13]


def test_failing_jobs_do_not_stop_the_others(tmp_path, door):
    code, _, errors = door(main, "-m", "sweep=grid", "seed=12,13,14,15", f"hydra.sweep.dir={tmp_path}")
    assert code == 1
    assert [row["state"] for row in table(tmp_path)] == ["complete", "fail", "fail", "complete"]
    assert (tmp_path / "1" / "error.txt").read_text() == "seed 13 brings bad luck\n"
    trace = (tmp_path / "2" / "error.txt").read_text()
    assert trace.startswith("ZeroDivisionError: seed 14 divides by nothing\n\nTraceback")
    assert errors.splitlines()[-3:] == [
        "error: 2 job(s) of the sweep failed:",
        f"  {tmp_path / '1'}: seed 13 brings bad luck",
        f"  {tmp_path / '2'}: ZeroDivisionError: seed 14 divides by nothing",
    ]


def test_hydras_own_sweeper_goes_on_as_well(tmp_path, door):
    code, _, errors = door(main, "-m", "seed=13,15", f"hydra.sweep.dir={tmp_path}")
    assert code == 1
    assert "1 job(s) of the sweep failed" in errors
    assert list(points(tmp_path)) == [0, 1]


def test_jobs_side_by_side_keep_their_numbers(tmp_path, door):
    code, _, errors = door(
        main,
        "-m",
        "sweep=random",
        "launcher=local",
        "sweep.trials=4",
        "seed=range(1,14)",
        "objective.weights.identity=tag(log,interval(1,100))",
        f"hydra.sweep.dir={tmp_path}",
    )
    assert code in (0, 1), errors  # a random seed may be 13
    rows = table(tmp_path)
    assert [row["job"] for row in rows] == ["0", "1", "2", "3"]
    for row in rows:
        identity, _, seed = points(tmp_path)[int(row["job"])]
        assert [json.loads(row["objective.weights.identity"]), json.loads(row["seed"])] == [identity, seed]


def test_no_room_for_the_locks_of_the_launchers_pool(tmp_path, door, monkeypatch):
    """A full /dev/shm, which each of joblib's processes needs."""

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    locks = importlib.import_module("joblib.externals.loky.backend.synchronize")
    monkeypatch.setattr(locks, "_SemLock", full)
    monkeypatch.setattr(joblib.Parallel, "__call__", lambda *_: locks.Lock())  # the first thing that its pool does
    code, _, errors = door(
        main,
        "-m",
        "sweep=random",
        "launcher=local",
        "sweep.trials=2",
        "seed=range(1,14)",
        f"hydra.sweep.dir={tmp_path / 'sweep'}",
    )
    assert code == 1
    assert "/dev/shm is full (" in errors
    assert "Traceback" not in errors
    for job in "01":
        assert (tmp_path / "sweep" / job / "error.txt").read_text().startswith("/dev/shm is full (")


def test_a_sweep_goes_on_as_it_began(tmp_path, door):
    arguments = ["sweep=grid", "seed=1,2", "generator.blocks=4"]
    assert door(main, "-m", *arguments, f"hydra.sweep.dir={tmp_path}")[0] == 0
    before = (tmp_path / "0" / "point.json").stat().st_mtime_ns
    code, output, _ = door(main, "-m", *arguments, f"sweep.resume={tmp_path}")
    assert code == 0
    assert "2 trials are done, 0 are missing" in output
    assert (tmp_path / "0" / "point.json").stat().st_mtime_ns == before
    code, _, errors = door(main, "-m", "sweep=grid", "seed=1,2", "generator.blocks=5", f"sweep.resume={tmp_path}")
    assert code == 2
    assert "other settings (generator.blocks: 4 → 5); it began with 'sweep=grid generator.blocks=4" in errors


def test_a_sweep_goes_on_whatever_the_order_and_form_of_its_settings(tmp_path, door):
    """Order, quotes, blanks, forms of one number, a key given twice (the last counts), + and ++."""
    began = [
        "sweep=grid",
        "seed=1,2",
        "generator.blocks=4",
        "optimizer.generator_lr=1e-3",
        "name='a b'",
        "data.augmentation={flip: 0.5, color: 0.0}",
        "sweep.metrics=[val/id_retrieval]",
        "generator.width=3",
    ]
    assert door(main, "-m", *began, f"hydra.sweep.dir={tmp_path}")[0] == 0
    same = [
        "++generator.width=3",
        "optimizer.generator_lr=0.5",
        "optimizer.generator_lr=.001",
        'name="a b"',
        "generator.blocks=4",
        "data.augmentation={color:0,flip:0.50}",
        "seed= 1, 2",
        "sweep.metrics=['val/id_retrieval']",
        "sweep=grid",
        "++sweep.trials=7",
    ]
    code, output, errors = door(main, "-m", *same, f"sweep.resume={tmp_path}")
    assert code == 0, errors
    assert "2 trials are done, 0 are missing" in output
    code, _, errors = door(main, "-m", *began[:-1], "name='a  b'", f"sweep.resume={tmp_path}")
    assert code == 2
    assert 'name: "a b" → "a  b"' in errors
    assert "generator.width: 3 → (not given)" in errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sweep=optuna", "sweep.pruning=median"], "Optuna prunes studies of one objective only"),
        (["sweep=grid"], "the sweep has nothing to try"),
        (["sweep=grid", "seed=interval(0,1)"], "an interval has no end of points"),
        (["sweep=random", "seed=1,2", "sweep.resume=nowhere"], "sweep.resume=nowhere: there is no study.journal"),
        (["sweep=optunna", "seed=1,2"], "did you mean optuna?"),
    ],
)
def test_what_is_no_sweep_is_one_line(arguments, words, tmp_path, door, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, errors = door(main, "-m", *arguments)
    assert code == 2
    assert words in errors
    assert len(errors.strip().splitlines()) == 1
