"""Who is rank 0 of how many, worked out by hand from what starters put into the environment; where ranks meet."""

import multiprocessing
import os
import socket
from datetime import timedelta

import pytest
import torch

from simswap.errors import InputError
from simswap.launching import meeting, ranks
from simswap.launching.devices import choose_device
from simswap.launching.ranks import Ranks

BATCH = {  # of an sbatch script with --nodes=2 --ntasks=4: the variables of the whole job, and one process
    "SLURM_JOB_ID": "812", "SLURM_JOB_NAME": "job.sh", "SLURM_NTASKS": "4", "SLURM_NPROCS": "4", "SLURM_NNODES": "2",
    "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_JOB_NODELIST": "n[08-09]",
    "SLURM_NODELIST": "n[08-09]", "SLURM_TASKS_PER_NODE": "2(x2)",
}  # fmt: skip
STEP = BATCH | {
    "SLURM_STEP_ID": "3",
    "SLURM_STEPID": "3",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NODELIST": "n[08-09]",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
}
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "5",
    "OMPI_COMM_WORLD_SIZE": "6",
    "OMPI_COMM_WORLD_LOCAL_RANK": "2",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "3",
    "PMIX_NAMESPACE": "prterun-a-77@1",
}
HYDRA_MPI = {"PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2"}
TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"WORLD_SIZE": "1", "RANK": "0"}, None),
        (TORCHRUN, ("torchrun", 3, 4, 1)),
        (STEP | TORCHRUN, ("torchrun", 3, 4, 1)),  # srun torchrun …
        (STEP, ("srun", 3, 4, 1)),
        (STEP | {"SLURM_NTASKS": "8"}, ("srun", 3, 4, 1)),  # a step of four in a job of eight
        (STEP | {"SLURM_JOB_NAME": "interactive"}, ("srun", 3, 4, 1)),  # srun in salloc's shell
        (BATCH, None),
        (BATCH | {"SLURM_STEP_ID": "4294967291"}, None),  # how Slurm numbers the batch script
        (BATCH | {"SLURM_STEP_ID": "4294967290", "SLURM_STEP_NUM_TASKS": "1"}, None),  # salloc's shell
        (STEP | {"SLURM_PTY_PORT": "40001", "SLURM_PROCID": "0"}, None),  # srun --pty bash
        ({k: v for k, v in BATCH.items() if k != "SLURM_PROCID"}, None),  # an older salloc's shell
        (OPEN_MPI, ("mpirun", 5, 6, 2)),
        (BATCH | OPEN_MPI, ("mpirun", 5, 6, 2)),
        (STEP | OPEN_MPI | {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2"}, ("mpirun", 5, 6, 2)),  # started by orted
        (HYDRA_MPI, ("mpirun", 1, 2, 1)),
        (STEP | {"PMI_RANK": "3", "PMI_SIZE": "4"}, ("srun", 3, 4, 1)),  # srun --mpi=pmi2
        ({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}, ("environment", 1, 2, 1)),
        ({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "job-master-0"}, ("environment", 1, 2, 0)),  # one a pod
        ({"LOCAL_RANK": "1", "NODE_RANK": "0", "WORLD_SIZE": "2"}, ("environment", 1, 2, 1)),  # Lightning's own
        ({ranks.HANDOFF: "f", "RANK": "0"} | BATCH, None),
        ({ranks.HANDOFF: "f", "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"} | BATCH, ("simswap", 1, 2, 1)),
    ],
)
def test_who_i_am(environ, expected):
    found = ranks.from_environment(environ)
    assert (found and (found.starter, found.rank, found.world_size, found.local_rank)) == expected


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (TORCHRUN | {"RANK": "4"}, r"RANK=4 WORLD_SIZE=4 .* below the size"),
        (TORCHRUN | {"WORLD_SIZE": "four"}, r"WORLD_SIZE=four .* whole numbers"),
        ({"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "4"}, r"^RANK is not in the environment"),
        ({"WORLD_SIZE": "4"}, r"^RANK is not in the environment"),
        ({"RANK": "2"}, r"RANK=2 in the environment without WORLD_SIZE"),
        (STEP | {"SLURM_PROCID": "-1"}, r"SLURM_PROCID=-1 SLURM_STEP_NUM_TASKS=4"),
        (STEP | {"SLURM_LOCALID": "9"}, r"SLURM_PROCID=3 SLURM_LOCALID=9 .* at most the rank"),
        (OPEN_MPI | {"OMPI_COMM_WORLD_RANK": ""}, r"^OMPI_COMM_WORLD_RANK is not in the environment"),
        ({"NODE_RANK": "1", "LOCAL_RANK": "0", "WORLD_SIZE": "4"}, r"^RANK is not in the environment"),
    ],
)
def test_variables_that_contradict_each_other(environ, message):
    with pytest.raises(InputError, match=message):
        ranks.from_environment(environ)


@pytest.mark.parametrize(
    ("nodelist", "first"),
    [("node[01-03,07],gpu-5", "node01"), ("gpu-5,node[01-03]", "gpu-5"), ("a", "a"), ("host0 host1", "host0"),
     ("rack[2-3]-n[004,009]", "rack2-n004"), ("n[7]", "n7"), ("c[10-12]-ib.x.org", "c10-ib.x.org")],
)  # fmt: skip
def test_first_of_a_nodelist(nodelist, first):
    assert ranks.first_node(nodelist) == first


@pytest.mark.parametrize("nodelist", ["node[01-03", "", "node[a-b]", "node]"])
def test_no_nodelist(nodelist):
    with pytest.raises(InputError, match="is no list of nodes"):
        ranks.first_node(nodelist)


def test_where_rank_0_is():
    place = ranks.from_environment(STEP)
    assert ranks.main_address(place, STEP | {"SLURM_STEP_NODELIST": "n09"}) == "n09"  # a step on the job's second node
    assert ranks.main_address(place, STEP | {"MASTER_ADDR": "login-1"}) == "login-1"
    ports = ranks.main_ports(place, STEP)
    assert ports == ranks.main_ports(Ranks("srun", 0, 4), STEP)
    assert len(set(ports)) == 5
    assert all(12000 <= port < 32000 for port in ports)
    assert ports != ranks.main_ports(place, STEP | {"SLURM_STEP_ID": "4"})  # two steps of one job
    assert ports != ranks.main_ports(place, STEP | {"SLURM_JOB_ID": "813"})
    assert ranks.main_ports(place, STEP | {"MASTER_PORT": "29500"}) == [29500]
    with pytest.raises(InputError, match="MASTER_PORT=70000"):
        ranks.main_ports(place, STEP | {"MASTER_PORT": "70000"})
    mpi = ranks.from_environment(HYDRA_MPI)
    assert ranks.main_address(mpi, HYDRA_MPI) == "127.0.0.1"  # both are on this machine
    with pytest.raises(InputError, match="mpirun started 2 processes, but MASTER_PORT is not"):
        ranks.main_ports(mpi, HYDRA_MPI)
    with pytest.raises(InputError, match="mpirun started 6 processes, but MASTER_ADDR is not"):
        ranks.main_address(ranks.from_environment(OPEN_MPI), OPEN_MPI)
    hand = {"RANK": "1", "WORLD_SIZE": "2"}
    with pytest.raises(InputError, match="environment started 2 processes, but MASTER_ADDR is not"):
        ranks.main_address(ranks.from_environment(hand), hand)


def test_each_process_takes_its_own_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert str(choose_device("auto")) == "cuda"
    for name, value in (TORCHRUN | {"LOCAL_RANK": "2"}).items():
        monkeypatch.setenv(name, value)
    assert str(choose_device("auto")) == str(choose_device("cuda")) == "cuda:2"
    assert str(choose_device("cuda:1")) == "cuda:1"
    assert str(choose_device("cpu")) == "cpu"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # srun --gpus-per-task=1
    assert str(choose_device("auto")) == "cuda:0"
    with pytest.raises(InputError, match=r"device=cuda:1: this process sees 1 GPU"):
        choose_device("cuda:1")
    with pytest.raises(InputError, match="device=gpu: choose auto"):
        choose_device("gpu")


def be_a_rank(rank, environ, names):
    os.environ.update(environ)
    os.environ["SLURM_PROCID"] = str(rank)
    os.environ.pop("MASTER_PORT", None)
    if "port" in environ:
        os.environ["MASTER_PORT"] = environ["port"]
    try:
        meeting.join("gloo", timedelta(seconds=300))
        total = torch.tensor([float(rank + 1)])
        torch.distributed.all_reduce(total)
        torch.distributed.destroy_process_group()
        names.put((rank, total.item()))
    except InputError as error:
        names.put((rank, str(error)))


def two_tasks(environ):
    """What each of two tasks of srun comes to: the sum over both of rank + 1, or its complaint."""
    context = multiprocessing.get_context("fork")
    said = context.Queue()
    tasks = [context.Process(target=be_a_rank, args=(rank, environ, said)) for rank in range(2)]
    for task in tasks:
        task.start()
    found = dict(said.get(timeout=400) for _ in range(1 if "port" in environ else 2))
    for task in tasks:
        if "port" in environ:
            task.kill()
        task.join()
    return found


TWO = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_LOCALID": "0",
       "SLURM_NODELIST": "localhost", "SLURM_NTASKS": "2"}  # fmt: skip


def test_ranks_meet_though_the_first_port_is_taken():
    place = Ranks("srun", 0, 2)
    with socket.create_server(("", ranks.main_ports(place, TWO)[0])):  # it takes calls, and says nothing
        assert two_tasks(TWO) == {0: 3.0, 1: 3.0}


def test_a_given_port_that_is_taken_is_refused():
    with socket.create_server(("", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert two_tasks(TWO | {"port": port})[0].startswith(f"MASTER_PORT={port} is taken by another program on ")


def test_a_port_for_our_own_ranks(monkeypatch):
    monkeypatch.delenv("MASTER_PORT", raising=False)
    first, second = meeting.own_store(), meeting.own_store()
    assert first.port != second.port
    monkeypatch.setenv("MASTER_PORT", str(first.port))
    with pytest.raises(InputError, match="is taken by another program"):
        meeting.own_store()


def test_one_process_does_the_rest(door, monkeypatch):
    from simswap.prepare import main as prepare
    from simswap.swap import main as swap

    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    for main, command in ((prepare, "simswap-prepare"), (swap, "simswap-swap")):
        code, _, errors = door(main, "out=x")
        assert code == 2
        assert errors == (
            f"error: torchrun started 4 processes, and each would do all of {command}: start it as one process\n"
        )
