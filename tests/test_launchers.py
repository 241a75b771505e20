"""Launchers and starters with real training: two sweep points on two ranks each, srun, torchrun, the sbatch file."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from simswap.errors import InputError
from simswap.launching.distributed import Processes
from simswap.settings.check import check
from simswap.settings.words import CONF_DIR
from simswap.train import main
from tests.test_train import DEBUG, settings
from tests.waiting import started

SHORT = ["trainer.max_steps=2", "trainer.val_check_interval=2", "samples.every=2"]


def train(*arguments: str, cwd: Path, environment: dict[str, str] | None = None, module=("-m", "simswap.train")):
    """The command line in a process that is still running, for a ``with`` block at whose end it is gone."""
    return started(
        sys.executable,
        *module,
        *arguments,
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {}),
    )


LAUNCHERS = {
    "basic": ["objective.weights.identity=1,20"],
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "objective.weights.identity=1,20"],
    "submitit_local": ["hydra/launcher=submitit_local", "objective.weights.identity=1,20"],
    "optuna": ["sweep=optuna", "sweep.trials=2", "launcher=local"],
}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_two_points_on_two_ranks_each(launcher, crops, tmp_path):
    arguments = [*DEBUG, f"data.root={crops}", *SHORT, "trainer.devices=2", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    with train("-m", *arguments, *LAUNCHERS[launcher], cwd=tmp_path) as sweep:
        output, _ = sweep.communicate(timeout=900)
    assert sweep.returncode == 0, output
    runs = sorted(path.parent for path in tmp_path.rglob("last.ckpt") for path in [path.parent])
    assert runs == [tmp_path / "sweep" / "0", tmp_path / "sweep" / "1"]
    ranks = [json.loads((run / "ranks.json").read_text()) for run in runs]
    assert len({rank["pid"] for run in ranks for rank in run}) == 4
    for run in ranks:
        assert [rank["rank"] for rank in run] == [0, 1]
        assert len({(rank["weights"], rank["config"]) for rank in run}) == 1
    assert ranks[0][0]["config"] != ranks[1][0]["config"]
    assert ranks[0][0]["weights"] != ranks[1][0]["weights"]


def both(crops, tmp_path, environments, *arguments):
    command = [*DEBUG, f"data.root={crops}", *SHORT, *arguments]
    with ExitStack() as running:
        processes = [running.enter_context(train(*command, cwd=tmp_path, environment=each)) for each in environments]
        return [(process.communicate(timeout=600)[0], process.returncode) for process in processes]


def one_run_of_two(folder: Path) -> Path:
    (run,) = (folder / "outputs" / "debug").iterdir()
    assert [rank["rank"] for rank in json.loads((run / "ranks.json").read_text())] == [0, 1]
    config = OmegaConf.load(run / ".hydra" / "config.yaml")
    assert config.name == "debug"
    return run


def free_port() -> str:
    from lightning.fabric.plugins.environments.lightning import find_free_network_port

    return str(find_free_network_port())


@pytest.mark.slow
def test_srun_on_two_nodes_makes_one_run(crops, tmp_path):
    shared = {
        "SLURM_JOB_ID": "4711",
        "SLURM_STEP_ID": "0",
        "SLURM_NTASKS": "2",
        "SLURM_NNODES": "2",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_JOB_NAME": "train",
        "SLURM_LOCALID": "0",
        "SLURM_STEP_NODELIST": "localhost,node2",
    }
    tasks = [shared | {"SLURM_PROCID": str(rank), "SLURM_NODEID": str(rank)} for rank in range(2)]
    for output, code in both(crops, tmp_path, tasks, "trainer.num_nodes=2"):
        assert code == 0, output
    assert one_run_of_two(tmp_path).name == "slurm_4711"
    # queued again, the same command finds its run and goes on
    for output, code in both(
        crops, tmp_path, tasks, "trainer.num_nodes=2", "on_existing_run=resume", "trainer.max_steps=4"
    ):
        assert code == 0, output
    last = torch.load(one_run_of_two(tmp_path) / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 4


@pytest.mark.slow
def test_torchrun_makes_one_run(crops, tmp_path):
    with train(
        "--nproc-per-node=2",
        f"--master-port={free_port()}",
        "-m",
        "simswap.train",
        *DEBUG,
        *SHORT,
        f"data.root={crops}",
        "trainer.devices=2",
        cwd=tmp_path,
        module=("-m", "torch.distributed.run"),
    ) as run:
        output, _ = run.communicate(timeout=600)
    assert run.returncode == 0, output
    one_run_of_two(tmp_path)


def test_a_sweep_in_every_rank_is_refused(door, monkeypatch):
    for name, value in {"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}.items():
        monkeypatch.setenv(name, value)
    code, _, errors = door(main, "-m", "seed=1,2")
    assert code == 2
    assert "srun started 2 processes, and each would run the complete sweep" in errors


def composed(*overrides):
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        return compose("train", list(overrides), return_hydra_config=True)


def test_the_sbatch_file(tmp_path, monkeypatch):
    from hydra_plugins.simswap_sweeping.slurm_launcher import PatientSlurmLauncher

    for name, says in {"srun": "exit 0", "sbatch": "echo Submitted batch job 4711"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{says}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    cfg = composed(
        "launcher=slurm",
        "trainer.num_nodes=2",
        "trainer.devices=4",
        "hydra.launcher.partition=gpu",
        f"hydra.sweep.dir={tmp_path}",
        "hydra.job.name=train",
    )
    assert (cfg.on_existing_run, cfg.sweep.parallel) == ("resume", 8)
    parameters = OmegaConf.to_container(cfg.hydra.launcher, resolve=True)
    del parameters["_target_"]
    parameters["submitit_folder"] = str(tmp_path / "jobs")
    PatientSlurmLauncher(**parameters).executor().submit(print, "a job")
    (file,) = (tmp_path / "jobs").glob("4711*submission.sh")
    lines = file.read_text().splitlines()
    for line in (
        "--nodes=2",
        "--ntasks-per-node=4",
        "--gpus-per-node=4",
        "--cpus-per-task=8",
        "--time=1440",
        "--partition=gpu",
        "--job-name=train",
        "--signal=USR2@300",
    ):
        assert f"#SBATCH {line}" in lines
    (srun,) = [line for line in lines if line.startswith("srun ")]
    assert "--kill-on-bad-exit=1" in srun


class Job:
    def __init__(self, result):
        self.result = result

    def results(self):
        if isinstance(self.result, Exception):
            raise self.result
        return [self.result]


def test_a_job_that_slurm_killed_is_failed_and_the_others_are_waited_for():
    from hydra.core.utils import JobReturn, JobStatus

    from hydra_plugins.simswap_sweeping.slurm_launcher import returned

    fine = JobReturn()
    assert returned(Job(fine)) is fine
    lost = returned(Job(RuntimeError("Job 4711_3 has not produced any output (state: OUT_OF_MEMORY)")))
    assert lost.status == JobStatus.FAILED
    assert "OUT_OF_MEMORY" in str(lost._return_value)


def test_jobs_are_as_many_as_gpus_hold(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5,7,GPU-ab")
    for devices, jobs in ((1, 4), (2, 2), (4, 1)):
        cfg = composed("launcher=local_gpus", f"trainer.devices={devices}")
        assert list(cfg.strategy.gpu_pool) == ["2", "5", "7", "GPU-ab"]
        assert (cfg.sweep.parallel, cfg.hydra.launcher.n_jobs) == (jobs, jobs)
        assert cfg.strategy.subprocess
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(InputError, match="no GPU was found"):
        Processes(gpu_pool=list(composed("launcher=local_gpus").strategy.gpu_pool))


@pytest.mark.parametrize("sweep", ["grid", "random", "optuna", "optuna_single"])
@pytest.mark.parametrize("launcher", ["local", "slurm"])
def test_every_sweep_and_launcher_is_valid(sweep, launcher):
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        cfg = compose("train", [f"sweep={sweep}", f"launcher={launcher}", "experiment=debug"])
        check(cfg, compose("train", []))
    assert len(cfg.sweep.directions) == len(cfg.sweep.metrics)


@pytest.mark.slow
def test_three_jobs_are_three_named_runs_of_one_group(crops, tmp_path):
    arguments = [*DEBUG, f"data.root={crops}", *SHORT, "logger.mode=offline", f"hydra.sweep.dir={tmp_path / 'try'}"]
    with train("-m", *arguments, "objective.weights.identity=1,2.5,20", cwd=tmp_path) as sweep:
        output, _ = sweep.communicate(timeout=600)
    assert sweep.returncode == 0, output
    ids = set()
    for job, weight in enumerate(("1", "2.5", "20")):
        (file,) = (tmp_path / "try" / str(job)).glob("wandb/offline-run-*/run-*.wandb")
        ids.add(file.stem)
        content = file.read_bytes()
        assert f"{job} identity={weight}".encode() in content
        assert b"debug try" in content
    assert len(ids) == 3


@pytest.mark.gpu
def test_batch_norm_over_ranks_trains_on_gpus(crops, tmp_path, door):
    devices = min(2, torch.cuda.device_count())
    arguments = [
        "trainer.accelerator=gpu",
        f"trainer.devices={devices}",
        "strategy=ddp",
        "trainer.max_steps=2",
        "objective.weights.gradient_penalty=0",
        "strategy.sync_batchnorm=true",
    ]
    code, _, errors = door(main, *settings(crops, tmp_path / "run"), *arguments)
    assert code == 0, errors
    state = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert any("running_mean" in name and value.abs().sum() > 0 for name, value in state.items())
