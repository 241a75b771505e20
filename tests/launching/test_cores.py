"""Jobs of a sweep that run side by side share the cores; threads wait briefly, and sleep then."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from simswap import WAITING
from simswap.launching import cores
from simswap.launching.distributed import environments

JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"


@pytest.fixture
def machine(monkeypatch):
    """``machine(12, n_jobs=3)``: this process is a job of a sweep on a machine of 12 cores."""
    threads = torch.get_num_threads()
    monkeypatch.delenv(cores.SHARE, raising=False)

    def be(count, launcher=JOBLIB, mode=RunMode.MULTIRUN, **settings):
        monkeypatch.setattr(cores, "usable_cores", lambda: count)
        cfg = SimpleNamespace(mode=mode, launcher={"_target_": launcher, **settings})
        monkeypatch.setattr(HydraConfig, "initialized", staticmethod(lambda: True))
        monkeypatch.setattr(HydraConfig, "get", staticmethod(lambda: cfg))

    yield be
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("count", "jobs", "processes", "share"),
    [(12, 3, 1, 4), (12, 3, 2, 2), (2, 2, 1, 1), (2, 5, 1, 1), (7, 2, 1, 3), (4, 2, 4, 1)],
)
def test_each_job_gets_its_share(machine, count, jobs, processes, share):
    machine(count, n_jobs=jobs)
    assert cores.share_of_cores(processes) == share


def test_who_has_the_machine_alone_shares_nothing(machine):
    machine(12, n_jobs=3, mode=RunMode.RUN)  # no sweep: one job, whatever launcher is chosen
    assert cores.share_of_cores() is None
    machine(12, n_jobs=1)
    assert cores.share_of_cores() is None
    machine(12, "hydra._internal.core_plugins.basic_launcher.BasicLauncher")
    assert cores.share_of_cores() is None
    machine(12, "hydra_plugins.simswap_sweeping.slurm_launcher.PatientSlurmLauncher", array_parallelism=8)
    assert cores.share_of_cores() is None  # on other machines
    assert cores.keep_to_share(1, 8) == 8
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(
    ("threads", "workers", "expected"), [(None, 2, (4, 2)), (None, 8, (4, 4)), (2, 0, (2, 0)), (9, 1, (4, 1))]
)
def test_threads_and_workers_stay_within_it(machine, threads, workers, expected):
    machine(12, n_jobs=3)
    kept = cores.keep_to_share(threads, workers)
    assert (torch.get_num_threads(), kept) == expected


def test_it_reaches_a_jobs_own_processes(machine, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    first, second = environments(2, [], 1234, 3)
    assert first[cores.SHARE] == second[cores.SHARE] == first["OMP_NUM_THREADS"] == "3"
    monkeypatch.setenv(cores.SHARE, first[cores.SHARE])
    machine(12, n_jobs=1)
    assert cores.share_of_cores(2) == 3  # settled by whoever started this process


def test_a_sweeps_job_takes_it(crops, tmp_path, door):
    """Through the front door, with the launcher for this machine, in a process of its own."""
    from simswap.train import main
    from tests.training.runs import SMALL

    # Twice as many as there are: each job has one then.
    count = 2 * len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2 * (os.cpu_count() or 1)
    arguments = [*SMALL, f"data.root={crops}", "threads=64", "data.workers=3", "trainer.max_steps=2", "samples.every=9",
                 "trainer.val_check_interval=2", "launcher=local", f"sweep.parallel={count}", "seed=1",
                 f"hydra.sweep.dir={tmp_path}"]  # fmt: skip
    code, _, errors = door(main, "-m", *arguments)
    assert code == 0, errors
    assert "beside other jobs: 1 thread(s), 1 worker(s)" in (tmp_path / "0" / "train.log").read_text()


DOORS = ["simswap.train", "simswap.models.generator"]  # every door imports the package first
REPORT = """
import importlib, json, os, sys
importlib.import_module(sys.argv[1])
import torch
torch.ones(9)
print(json.dumps(os.environ.get("GOMP_SPINCOUNT")))
"""


def imported(door, **environment):
    """What OpenMP tells of its settings when this module has been imported in a new process, and the variable."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", REPORT, door],
        capture_output=True,
        text=True,
        check=True,
        env=clean | {"OMP_DISPLAY_ENV": "VERBOSE"} | environment,
    )
    told = [line.split("=")[1].strip(" '\"") for line in done.stderr.splitlines() if "GOMP_SPINCOUNT" in line]
    return told, json.loads(done.stdout)


@pytest.mark.parametrize("door", DOORS)
def test_threads_wait_briefly_behind_every_door(door):
    told, variable = imported(door)
    assert variable == WAITING["GOMP_SPINCOUNT"]
    assert set(told) <= {variable}  # OpenMP itself: it was set before torch was loaded
    assert told or sys.platform != "linux"


def test_what_the_user_says_of_waiting_stands():
    told, variable = imported("simswap.models.generator", GOMP_SPINCOUNT="77")
    assert (set(told) <= {"77"}, variable) == (True, "77")
    assert imported("simswap.models.generator", OMP_WAIT_POLICY="ACTIVE")[1] is None
