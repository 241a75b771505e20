"""Folders are claimed: starts at one instant get one each, and a second start into one folder is refused."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from simswap.launching.claims import claimed
from tests.sweep_app import main

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.sweep_app", "tests.launching.test_folders"])
REPOSITORY = Path(__file__).resolve().parents[2]
INSTANT = "2026-11-25_12-00-00"


class Clock:
    """In place of the module `time` and of the class `datetime`."""

    @classmethod
    def now(cls) -> type["Clock"]:
        return cls

    @staticmethod
    def strftime(_: str) -> str:
        return INSTANT


def start(arguments: list[str], folder: str, together: Any) -> None:
    """A front door in this process, at the moment when all others start theirs, in the second of INSTANT."""
    os.chdir(folder)
    sys.argv = ["simswap-train", *arguments]
    output = os.open(f"{os.getpid()}.txt", os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    together.wait(240)
    with mock.patch("simswap.launching.folders.time", Clock), mock.patch("hydra.core.utils.datetime", Clock):
        main()


@pytest.fixture
def start_all(tmp_path):
    """``start_all([arguments, …])``: processes that start at one instant; gives their exit codes."""
    processes = []

    def started(commands: list[list[str]]) -> list[int | None]:
        together = _context.Barrier(len(commands))
        processes.extend(_context.Process(target=start, args=(given, str(tmp_path), together)) for given in commands)
        for process in processes:
            process.start()
        for process in processes:
            process.join(280)
        return [process.exitcode for process in processes]

    yield started
    for process in processes:
        process.kill()
        process.join()


def test_twenty_starts_at_one_instant_are_twenty_runs(start_all, tmp_path):
    assert start_all([[f"seed={seed}"] for seed in range(100, 120)]) == [0] * 20
    runs = sorted((tmp_path / "outputs" / "demo").iterdir())
    assert sorted(run.name for run in runs) == sorted([INSTANT, *(f"{INSTANT}_{n}" for n in range(2, 21))])
    seeds = [json.loads((run / "point.json").read_text())[2] for run in runs]
    assert sorted(seeds) == list(range(100, 120))
    for run, seed in zip(runs, seeds, strict=True):  # each with its own record
        assert (run / ".hydra" / "overrides.yaml").read_text() == f"- seed={seed}\n"


# Not by the fork server: what joblib starts could not import its main module.
SWEEP = """
import sys
from pathlib import Path
from time import sleep
from types import SimpleNamespace
from tests.launching.test_folders import start
mine = Path(sys.argv[1])
def wait(seconds):
    mine.touch()
    while len(list(Path().glob("ready_*"))) < 4:
        sleep(0.02)
start(sys.argv[2:], ".", SimpleNamespace(wait=wait))
"""


@pytest.fixture
def sweep_all(tmp_path):
    processes = []

    def started(commands: list[list[str]]) -> list[int]:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), *filter(None, sys.path)])}
        for number, given in enumerate(commands):
            command = [sys.executable, "-c", SWEEP, f"ready_{number}", *given]
            processes.append(subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True))
        return [process.wait(280) for process in processes]

    yield started
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_sweeps_at_one_instant_keep_their_jobs_apart(sweep_all, tmp_path):
    sweeps = [[], ["sweep=grid"], ["launcher=local"], ["sweep=grid", "launcher=local"]]
    commands = [["-m", *sweep, f"generator.blocks={3 + i}", f"seed={i}0,{i}1"] for i, sweep in enumerate(sweeps, 1)]
    assert sweep_all(commands) == [0] * 4
    folders = sorted((tmp_path / "outputs" / "demo").iterdir())
    assert [folder.name for folder in folders] == [INSTANT, *(f"{INSTANT}_{n}" for n in (2, 3, 4))]
    found = []
    for folder in folders:
        jobs = [json.loads((folder / job / "point.json").read_text()) for job in ("0", "1")]
        assert not (folder / "2").exists()
        found.append([(blocks, seed) for _, blocks, seed in jobs])
    assert sorted(found) == [[(3 + i, 10 * i), (3 + i, 10 * i + 1)] for i in range(1, 5)]


@pytest.mark.parametrize("sweep", [[], ["sweep=grid"], ["sweep=layer_ranges"]])
def test_a_second_sweep_into_a_folder_is_refused_while_the_first_lives(sweep, tmp_path, door):
    with claimed(tmp_path, "sweep"):
        code, _, errors = door(main, "-m", *sweep, "seed=1,2", f"hydra.sweep.dir={tmp_path}")
    assert code == 2
    assert errors.startswith(f"error: {tmp_path} is in use: sweep by process {os.getpid()} on ")
    assert len(errors.splitlines()) == 1
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]


def test_a_swept_name_is_a_folder_of_its_own_in_the_same_sweep(tmp_path, door, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, errors = door(main, "-m", "name=a,b", "seed=1,2")
    assert code == 0, errors
    (sweep,) = (path.name for path in (tmp_path / "outputs" / "a").iterdir())
    for name, jobs in {"a": ["0", "1"], "b": ["2", "3"]}.items():
        folder = tmp_path / "outputs" / name / sweep
        assert [job for job in ("0", "1", "2", "3") if (folder / job / "point.json").is_file()] == jobs
        assert list(folder.parent.iterdir()) == [folder]


def test_folders_of_jobs_are_free_again_after_them(tmp_path, door):
    assert door(main, "-m", "seed=1", f"hydra.sweep.dir={tmp_path}")[0] == 0
    with claimed(tmp_path, "sweep"), claimed(tmp_path / "0", "training"):
        pass
    assert Path(tmp_path / "0" / "point.json").is_file()
