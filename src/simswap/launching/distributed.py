"""One run on several devices: DDP in processes started from the composed configuration (`simswap.launching.processes`).

Lightning starts ranks by running the command line again, which under Hydra repeats the complete sweep in each rank.
Here, the job's process starts all ranks, does not train, and watches them. If torchrun, srun or mpirun started this
process, the environment tells its rank and nothing is started.
"""

import atexit
import os
import re
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import torch
from lightning.fabric.plugins.environments import ClusterEnvironment, LightningEnvironment
from omegaconf import DictConfig

from simswap.compat.lightning import StartedDDP
from simswap.errors import InputError
from simswap.launching import ranks
from simswap.launching.cores import SHARE, share_of_cores
from simswap.launching.gpu_pool import lent
from simswap.launching.meeting import join, own_store
from simswap.launching.processes import run_in_processes
from simswap.launching.system import usable_cores


class Processes:
    """The processes of a run; see conf/strategy.

    Args:
        ddp: Use DDP also with one device.
        sync_batchnorm: Batch statistics over all ranks.
        timeout_minutes: How long a rank waits for another.
        subprocess: Run in a separate process also with one device.
        gpu_pool: Ids of GPUs, of which the run borrows as many as it has devices; None for no pool.

    Raises:
        InputError: A value is out of range.
    """

    def __init__(
        self,
        ddp: bool = False,
        sync_batchnorm: bool = False,
        timeout_minutes: float = 30.0,
        subprocess: bool = False,
        gpu_pool: list | None = None,
    ) -> None:
        if timeout_minutes <= 0:
            raise InputError(f"strategy.timeout_minutes={timeout_minutes}: give a time above 0")
        if gpu_pool is not None and not gpu_pool:
            raise InputError("strategy.gpu_pool is empty: no GPU was found; list some as [0,1], or use launcher=local")
        self.ddp, self.sync_batchnorm = ddp, sync_batchnorm
        self.timeout, self.subprocess, self.gpu_pool = timedelta(minutes=timeout_minutes), subprocess, gpu_pool

    def must_start(self, trainer: DictConfig) -> bool:
        """Whether this process has to start the run's processes, rather than be one of them."""
        if ranks.HANDOFF in os.environ:
            return False  # a rank must not start ranks
        nodes, started = trainer.get("num_nodes", 1), ranks.from_environment()
        local = _devices_of_started(trainer, started) if started else local_devices(trainer)
        if started is not None:
            if started.world_size != local * nodes:
                raise InputError(
                    f"{started.starter} started {started.world_size} processes, but trainer.devices={local} on "
                    f"trainer.num_nodes={nodes} are {local * nodes}: make the two alike"
                )
            return False
        if nodes > 1:
            raise InputError(
                f"trainer.num_nodes={nodes}: nothing started the processes of the other nodes; start with srun, "
                "torchrun or launcher=slurm (docs/training.md)"
            )
        return local > 1 or self.subprocess or self.gpu_pool is not None

    def run(self, module: str, cfg: DictConfig) -> Any:
        """Start the run's processes on this machine and return rank 0's value; see `run_in_processes`."""
        count = local_devices(cfg.trainer)
        with ExitStack() as held:
            gpus = held.enter_context(lent(self.gpu_pool, count)) if self.gpu_pool is not None else []
            # held until the end, so that no other program takes the port before the ranks connect
            store = own_store() if count > 1 else None
            given = environments(count, gpus, store.port if store else 0, share_of_cores(count))
            return run_in_processes(module, cfg, given)

    def check(self, trainer: DictConfig, second_derivatives: Sequence[str]) -> None:
        """Raise InputError if ``sync_batchnorm`` conflicts with another setting.

        Args:
            trainer: The trainer's settings.
            second_derivatives: Names of the trained loss terms whose gradient is a second derivative.
        """
        if not self.sync_batchnorm:
            return
        if second_derivatives:
            raise InputError(
                "strategy.sync_batchnorm=true: its backward has no second derivative, so it does not go with "
                f"{', '.join(second_derivatives)}; set objective.weights.{second_derivatives[0]}=0, or "
                "sync_batchnorm=false"
            )
        if not on_gpu(trainer):
            raise InputError("strategy.sync_batchnorm=true needs GPUs: set trainer.accelerator=gpu, or it to false")

    def trainer_settings(self, trainer: DictConfig, plugins: Sequence[Any] = ()) -> dict[str, Any]:
        """Settings of Lightning's Trainer in one process.

        Args:
            trainer: The configuration's node ``trainer``.
            plugins: Further plugins.

        Returns:
            ``plugins``, ``strategy`` and ``sync_batchnorm``; devices and nodes if each process was given one GPU.
        """
        started = ranks.from_environment()
        alone = started is not None and sees_one_gpu(trainer, started)
        settings: dict[str, Any] = {"plugins": [*plugins, cluster_environment(alone)]}
        if not on_gpu(trainer):  # Lightning's CPU takes a number alone
            settings["devices"] = local_devices(trainer)
        if started is not None or self.ddp or local_devices(trainer) * trainer.get("num_nodes", 1) > 1:
            settings |= {"strategy": RankDDP(timeout=self.timeout), "sync_batchnorm": self.sync_batchnorm}
        if started is not None and started.starter != "simswap":
            # To Lightning a process that sees one GPU alone is a node of its own; and it knows no devices=auto here.
            nodes = started.world_size if alone else trainer.get("num_nodes", 1)
            if alone or _is_auto(trainer):
                settings |= {"devices": started.world_size // nodes, "num_nodes": nodes}
        return settings


class RankDDP(StartedDDP):
    """DDP (gloo on the CPU, NCCL on GPUs) in processes that already run."""

    def make_group(self, backend: str, timeout: timedelta | None) -> None:
        """Create the process group of the ranks, which Lightning then uses."""
        options = {"device_id": self.root_device} if self.root_device.type == "cuda" else {}
        join(backend, timeout, **options)
        if backend == "nccl":
            atexit.register(_leave)


class StartedEnvironment(ClusterEnvironment):
    """Lightning's view of `Ranks`. With ``one_gpu``, each process sees one GPU and counts as a node."""

    def __init__(self, started: ranks.Ranks, one_gpu: bool = False) -> None:
        super().__init__()
        self.started, self.one_gpu = started, one_gpu

    @property
    def creates_processes_externally(self) -> bool:
        """True: Lightning starts no processes."""
        return True

    @property
    def main_address(self) -> str:
        """The address of rank 0's machine."""
        return ranks.main_address(self.started)

    @property
    def main_port(self) -> int:
        """The port of rank 0."""
        return ranks.main_ports(self.started)[0]

    @staticmethod
    def detect() -> bool:
        """Whether this process is one of several."""
        return ranks.from_environment() is not None

    def world_size(self) -> int:
        """The number of processes."""
        return self.started.world_size

    def set_world_size(self, size: int) -> None:
        """Do nothing: the starter decides it."""

    def global_rank(self) -> int:
        """The rank among all processes."""
        return self.started.rank

    def set_global_rank(self, rank: int) -> None:
        """Do nothing: the starter decides it."""

    def local_rank(self) -> int:
        """The rank on this machine."""
        return 0 if self.one_gpu else self.started.local_rank

    def node_rank(self) -> int:
        """The number of this machine."""
        return (
            self.started.rank
            if self.one_gpu
            else int(os.environ.get("GROUP_RANK") or os.environ.get("NODE_RANK") or os.environ.get("SLURM_NODEID") or 0)
        )


def cluster_environment(one_gpu: bool = False) -> ClusterEnvironment:
    """Lightning's cluster environment. Lightning never requeues: the launcher (submitit) or the user's script does."""
    started = ranks.from_environment()
    return LightningEnvironment() if started is None else StartedEnvironment(started, one_gpu)


def sees_one_gpu(trainer: DictConfig, started: ranks.Ranks) -> bool:
    """Whether each of several processes on a machine was given one GPU (srun --gpus-per-task=1)."""
    several = started.starter != "simswap" and started.world_size > trainer.get("num_nodes", 1)
    return several and on_gpu(trainer) and torch.cuda.device_count() == 1


def _devices_of_started(trainer: DictConfig, started: ranks.Ranks) -> int:
    """Like `local_devices`, but ``auto`` is the number of started processes, since a process may see one GPU only."""
    return started.world_size // trainer.get("num_nodes", 1) if _is_auto(trainer) else local_devices(trainer)


def _is_auto(trainer: DictConfig) -> bool:
    return trainer.get("devices", 1) in ("auto", -1, "-1")


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def environments(count: int, gpus: Sequence[str], port: int = 0, share: int | None = None) -> list[dict[str, str]]:
    """The environment variables of each process on one machine, rank 0 first.

    Args:
        count: The number of processes.
        gpus: Ids of the GPUs for the job; empty for all.
        port: The port of the ranks' store.
        share: Cores of each process; None if the job has the machine to itself.
    """
    shared = {"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {}
    if share is not None:
        shared[SHARE] = str(share)
    if count == 1:
        return [shared]
    threads = share or max(1, usable_cores() // count)
    shared |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(count),
        "NODE_RANK": "0",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads)),
    }
    return [shared | {"LOCAL_RANK": str(rank)} for rank in range(count)]


def on_gpu(trainer: DictConfig) -> bool:
    """Whether this trainer would use CUDA."""
    accelerator = str(trainer.get("accelerator", "auto"))
    return accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())


def local_devices(trainer: DictConfig) -> int:
    """The number of devices per node in ``trainer.devices``. Raises InputError if it is not a number."""
    devices = trainer.get("devices", 1)
    wrong = InputError(f"trainer.devices={devices}: give a number, a list of GPUs such as [0,1], or auto")
    if isinstance(devices, bool | float):
        raise wrong
    available = torch.cuda.device_count() if on_gpu(trainer) else 1
    if devices in ("auto", -1, "-1"):
        return max(1, available)
    if not isinstance(devices, int):
        named = [part for part in devices.split(",") if part.strip()] if isinstance(devices, str) else list(devices)
        if not all(re.fullmatch(r"\s*\d+\s*", str(part)) for part in named) or len({*map(str, named)}) < len(named):
            raise wrong
        if not isinstance(devices, str) or "," in devices:
            devices = len(named)
    try:
        number = int(devices)
    except (ValueError, TypeError) as error:
        raise wrong from error
    if number < 1:
        raise InputError(f"trainer.devices={devices}: give at least 1")
    return number
