"""DDP: what is started where, what is refused; two gloo ranks train the same weights through the command line."""

import json
import multiprocessing
import time
from pathlib import Path

import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment, SLURMEnvironment
from omegaconf import OmegaConf

from simswap import checkpoint
from simswap.compat.lightning import NoLauncher
from simswap.errors import InputError
from simswap.launching import ranks
from simswap.launching.distributed import (
    Processes,
    RankDDP,
    cluster_environment,
    environments,
    local_devices,
)
from simswap.launching.gpu_pool import lent
from simswap.train import main
from simswap.training.callbacks.rank_consistency import RankConsistency
from tests.test_train import settings
from tests.waiting import DEADLINE, side_by_side, until


def trainer(**keys):
    return OmegaConf.create({"accelerator": "cpu", "devices": 1, "num_nodes": 1} | keys)


def test_who_starts_processes(monkeypatch):
    assert not Processes().must_start(trainer())
    assert Processes().must_start(trainer(devices=2))
    assert Processes(subprocess=True).must_start(trainer())
    assert Processes(gpu_pool=["a"]).must_start(trainer())
    with pytest.raises(InputError, match=r"trainer.num_nodes=2: nothing started the processes of the other nodes"):
        Processes().must_start(trainer(num_nodes=2))
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    assert not Processes().must_start(trainer(num_nodes=2))
    with pytest.raises(InputError, match=r"srun started 2 .* trainer.devices=4 on trainer.num_nodes=2 are 8"):
        Processes().must_start(trainer(num_nodes=2, devices=4))
    monkeypatch.setenv(ranks.HANDOFF, "folder")
    assert not Processes(subprocess=True).must_start(trainer(devices=2))  # a rank starts no ranks


def test_a_rank_that_is_asked_to_start_others_refuses():
    launcher = NoLauncher(cluster_environment(), 2, 1)
    with pytest.raises(RuntimeError, match="must not start others"):
        launcher.launch(lambda: None)


@pytest.mark.parametrize(("devices", "count"), [(3, 3), ("3", 3), ([0, 2], 2), ("0,2", 2), ("auto", 1), (-1, 1)])
def test_devices_are_counted_as_lightning_does(devices, count):
    assert local_devices(trainer(devices=devices)) == count


@pytest.mark.parametrize("devices", [0, -2, "all"])
def test_devices_that_make_no_number(devices):
    with pytest.raises(InputError, match=r"trainer\.devices"):
        local_devices(trainer(devices=devices))


def test_environments_of_ranks():
    first, second = environments(2, ["3", "5"])
    assert (first["LOCAL_RANK"], second["LOCAL_RANK"]) == ("0", "1")
    assert first["WORLD_SIZE"] == second["WORLD_SIZE"] == "2"
    assert first["MASTER_PORT"] == second["MASTER_PORT"]
    assert first["CUDA_VISIBLE_DEVICES"] == second["CUDA_VISIBLE_DEVICES"] == "3,5"
    assert environments(1, ["3"]) == [{"CUDA_VISIBLE_DEVICES": "3"}]


SRUN = {"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_ID": "0", "SLURM_NODEID": "1",
        "SLURM_LOCALID": "1", "SLURM_JOB_ID": "12", "SLURM_STEP_NODELIST": "n[07-08]"}  # fmt: skip


def test_slurm_has_one_owner_of_requeue(monkeypatch):
    for name, value in SRUN.items():
        monkeypatch.setenv(name, value)
    environment = cluster_environment()
    assert not isinstance(environment, SLURMEnvironment)  # of which Lightning requeues jobs by itself
    assert environment.creates_processes_externally
    assert (environment.global_rank(), environment.world_size(), environment.local_rank()) == (3, 4, 1)
    assert (environment.node_rank(), environment.main_address) == (1, "n07")


def test_a_batch_script_trains_by_itself(monkeypatch):
    for name, value in SRUN.items():
        if "STEP" not in name:
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.setenv("SLURM_NTASKS", "4")
    assert not Processes().must_start(trainer())
    assert Processes().must_start(trainer(devices=4))  # it starts its own
    assert isinstance(cluster_environment(), LightningEnvironment)


def test_each_task_with_one_gpu_takes_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name, value in SRUN.items():
        monkeypatch.setenv(name, value)
    for devices in (2, "auto"):
        given = trainer(accelerator="gpu", devices=devices, num_nodes=2)
        assert not Processes().must_start(given)
        settings = Processes().trainer_settings(given)
        assert (settings["devices"], settings["num_nodes"]) == (1, 4)
        (environment,) = settings["plugins"]
        assert (environment.local_rank(), environment.node_rank(), environment.global_rank()) == (0, 3, 3)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    settings = Processes().trainer_settings(trainer(accelerator="gpu", devices=2, num_nodes=2))
    assert "devices" not in settings
    assert settings["plugins"][0].local_rank() == 1


def test_batch_norm_over_ranks_is_refused_where_it_cannot_be():
    processes = Processes(sync_batchnorm=True)
    with pytest.raises(InputError, match="no second derivative"):
        processes.check(trainer(accelerator="gpu"), ["gradient_penalty"])
    with pytest.raises(InputError, match="needs GPUs"):
        processes.check(trainer(), [])
    processes.check(trainer(accelerator="gpu"), [])
    Processes().check(trainer(), ["gradient_penalty"])


def test_the_trainer_gets_our_strategy():
    settings = Processes(timeout_minutes=2).trainer_settings(trainer(devices=2))
    assert isinstance(settings["strategy"], RankDDP)
    assert settings["strategy"]._timeout.total_seconds() == 120
    assert "strategy" not in Processes().trainer_settings(trainer())
    assert "strategy" in Processes(ddp=True).trainer_settings(trainer())


def borrow(pool, count, folder, seconds, times):
    with lent(pool, count, folder) as gpus:
        begin = time.monotonic()
        time.sleep(seconds)
        times.put((gpus, begin, time.monotonic()))


def test_no_gpu_is_lent_twice_at_a_time(tmp_path):
    times = multiprocessing.get_context("fork").Queue()
    with side_by_side(borrow, *[(["a", "b", 2], count, tmp_path, 0.3, times) for count in (1, 2, 1, 2)]) as jobs:
        held = [times.get(timeout=DEADLINE) for _ in jobs]
    assert sorted(len(gpus) for gpus, *_ in held) == [1, 1, 2, 2]
    for i, (gpus, begin, end) in enumerate(held):
        assert set(gpus) <= {"a", "b", "2"}
        for other, other_begin, other_end in held[:i]:
            assert not set(gpus) & set(other) or end <= other_begin or other_end <= begin


def test_a_killed_borrower_gives_back(tmp_path):
    context = multiprocessing.get_context("fork")
    job = context.Process(target=borrow, args=(["a"], 1, tmp_path, 3600, context.Queue()))
    job.start()
    try:
        until((tmp_path / "a.lock").exists, "the borrowed GPU's lock file")
    finally:
        job.kill()
        job.join()
    with lent(["a"], 1, tmp_path) as gpus:
        assert gpus == ["a"]


def test_pools_that_do_not_do(tmp_path):
    with pytest.raises(InputError, match="needs 2 GPUs"), lent([0], 2, tmp_path):
        pass
    with pytest.raises(InputError, match="twice"), lent([0, "0"], 1, tmp_path):
        pass


def compare_on_rank(rank, folder):
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", world_size=2, rank=rank)
    module = torch.nn.Linear(2, 2)
    module.device = torch.device("cpu")
    torch.nn.init.constant_(module.weight, 0.25)
    torch.nn.init.constant_(module.bias, 1.0 + rank * 1e-7)
    fake = type("Trainer", (), {"world_size": 2, "global_rank": rank, "global_step": 12, "is_global_zero": rank == 0})()
    try:
        RankConsistency(folder).on_train_end(fake, module)
        said = "alike"
    except RuntimeError as error:
        said = str(error)
    (folder / str(rank)).write_text(said)


def test_ranks_that_drift_apart_are_found_out(tmp_path):
    with side_by_side(compare_on_rank, (0, tmp_path), (1, tmp_path)):
        pass
    for rank in range(2):
        assert (tmp_path / str(rank)).read_text().startswith("at iteration 12 the ranks have different weights: rank 0")
    assert not (tmp_path / "ranks.json").exists()


def test_two_ranks_are_one_run_with_the_same_weights(crops, tmp_path, door):
    run = tmp_path / "run"
    code, _, errors = door(main, *settings(crops, run), "trainer.devices=2", "trainer.max_steps=2")
    assert code == 0, errors
    found = json.loads((run / "ranks.json").read_text())
    assert [rank["rank"] for rank in found] == [0, 1]
    assert len({rank["pid"] for rank in found}) == 2
    assert len({(rank["weights"], rank["config"]) for rank in found}) == 1
    assert [p.name for p in Path(tmp_path).iterdir()] == ["run"]
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["global_step"] == 2
    assert checkpoint.load(run / "checkpoints" / "last.ckpt").description["config"]["trainer"]["devices"] == 2
