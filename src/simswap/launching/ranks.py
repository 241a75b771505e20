"""The rank of this process: the only module that reads the rank variables of the environment.

They come from torchrun, srun, mpirun, the user, or this package's own start of processes.
"""

import os
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from simswap.errors import InputError

HANDOFF = "SIMSWAP_HANDOFF"
"""Environment variable of the processes that `simswap.launching.processes` started: their folder of configuration and
outcome. They do not start others."""

INTERACTIVE_JOBS = ("bash", "interactive")  # Slurm jobs by these names are shells, in which nothing was started by srun
SLURM_LAST_STEP = 0xFFFFFFF0  # above it Slurm numbers no srun steps: batch scripts, interactive shells, pending steps
FIRST_PORT, PORTS = 12000, 20000  # below Linux's ephemeral ports, which any program may get

MPI = {
    # set by mpirun in each process: rank, number of processes, number on this machine
    "OMPI_COMM_WORLD_SIZE": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    "MV2_COMM_WORLD_SIZE": ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK"),
    "MPI_LOCALRANKID": ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),  # MPICH's and Intel's
}
MPI_JOBS = ("PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid", "PMI_JOBID", "SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID")


@dataclass(frozen=True)
class Ranks:
    """The place of this process in its run.

    Attributes:
        starter: ``torchrun``, ``srun``, ``mpirun``, ``environment`` (RANK and WORLD_SIZE set by the user or a cluster)
            or ``simswap``.
        rank: The rank among all processes of the run.
        world_size: The number of processes of the run.
        local_rank: The rank among the processes of this machine.
    """

    starter: str
    rank: int
    world_size: int
    local_rank: int = field(default=0, compare=False)


def from_environment(environ: Mapping[str, str] = os.environ) -> Ranks | None:
    """Read the ranks from the environment; None if this process was started alone.

    Raises:
        InputError: A variable is missing or not a number, or the numbers contradict each other.
    """
    found = _started(environ)
    if found is None:
        return None
    starter, (rank, world, local) = found
    if _number(environ, world, default=1 if starter == "simswap" else None) == 1:
        return None
    numbers = [_number(environ, name) for name in (rank, world)]
    place = Ranks(starter, numbers[0], numbers[1], _local_rank(environ, local, numbers[0]))
    if not 0 <= place.rank < place.world_size:
        raise InputError(
            f"{rank}={place.rank} {world}={place.world_size} in the environment: the rank must be at "
            "least 0 and below the size"
        )
    if not 0 <= place.local_rank <= place.rank:
        raise InputError(
            f"{rank}={place.rank} {local}={place.local_rank} in the environment: the number on this "
            "machine must be at least 0 and at most the rank"
        )
    return place


def _started(environ: Mapping[str, str]) -> tuple[str, tuple[str, str, str]] | None:
    """The starter, and the names of the variables with the rank, the number of processes and the local rank."""
    torch = "RANK", "WORLD_SIZE", "LOCAL_RANK"
    if HANDOFF in environ:
        return "simswap", torch
    if "TORCHELASTIC_RUN_ID" in environ:
        return "torchrun", torch
    # Before Slurm's variables: mpirun lets srun start its own helpers, whose variables then stand here too.
    for mark, names in MPI.items():
        if environ.get(mark):
            return "mpirun", names
    if _is_step_of_srun(environ):
        size = "SLURM_STEP_NUM_TASKS" if environ.get("SLURM_STEP_NUM_TASKS") else "SLURM_NTASKS"
        return ("srun", ("SLURM_PROCID", size, "SLURM_LOCALID")) if environ.get(size) else None
    if environ.get("WORLD_SIZE"):
        # Lightning's own variables have no RANK; on one machine its number there is the rank.
        alone = not environ.get("RANK") and environ.get("NODE_RANK", "0") in ("", "0")
        return "environment", ("LOCAL_RANK" if alone and environ.get("LOCAL_RANK") else "RANK", *torch[1:])
    if environ.get("RANK", "0") not in ("", "0"):
        raise InputError(f"RANK={environ['RANK']} in the environment without WORLD_SIZE: set both, or neither")
    return None


def _is_step_of_srun(environ: Mapping[str, str]) -> bool:
    """Whether srun started this process.

    A batch script has SLURM_PROCID=0 and all of the job's SLURM_NTASKS, but it is one process; so is the shell of
    salloc, or of srun --pty.
    """
    if "SLURM_PROCID" not in environ or "SLURM_PTY_PORT" in environ:
        return False
    step = environ.get("SLURM_STEP_ID") or environ.get("SLURM_STEPID", "")
    if (step.isdigit() and int(step) >= SLURM_LAST_STEP) or step in ("batch", "interactive", "extern"):
        return False
    if environ.get("SLURM_STEP_NUM_TASKS"):
        return True
    if environ.get("SLURM_JOB_NAME") in INTERACTIVE_JOBS:
        return False
    return bool(step) or environ["SLURM_PROCID"] != "0"


def _local_rank(environ: Mapping[str, str], name: str, rank: int) -> int:
    if environ.get(name):
        return _number(environ, name)
    # Processes of one machine meet at its own address; else a cluster that gives no number starts one a machine.
    return rank if environ.get("MASTER_ADDR") in ("127.0.0.1", "localhost", "::1") else 0


def _number(environ: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environ.get(name) or ("" if default is None else str(default))
    if not text:
        raise InputError(
            f"{name} is not in the environment, though other variables say that this process is one of "
            "several: set it, or unset RANK and WORLD_SIZE"
        )
    if not re.fullmatch(r"-?[0-9]+", text.strip()):
        raise InputError(f"{name}={text} in the environment: RANK, WORLD_SIZE and the like must be whole numbers")
    return int(text)


def is_first() -> bool:
    """Whether this is the run's first process, the only one that writes records."""
    ranks = from_environment()
    return ranks is None or ranks.rank == 0


def refuse_several(command: str) -> None:
    """Raise InputError if this process is one of several and each would run the complete command."""
    ranks = from_environment()
    if ranks is not None:
        raise InputError(
            f"{ranks.starter} started {ranks.world_size} processes, and each would do all of "
            f"{command}: start it as one process"
        )


def main_address(ranks: Ranks, environ: Mapping[str, str] = os.environ) -> str:
    """The address of rank 0's machine: MASTER_ADDR, or under Slurm the first node of the step.

    Raises:
        InputError: No variable tells it.
    """
    if environ.get("MASTER_ADDR"):
        return environ["MASTER_ADDR"]
    for name in ("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"):
        if environ.get(name) and ranks.starter in ("srun", "mpirun"):
            return first_node(environ[name], name)
    sizes = [
        environ.get(name)
        for name in ("OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "LOCAL_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE")
    ]
    nodes = environ.get("SLURM_STEP_NUM_NODES") or environ.get("SLURM_NNODES")
    if str(ranks.world_size) in sizes or nodes == "1":
        return "127.0.0.1"
    raise InputError(
        f"{ranks.starter} started {ranks.world_size} processes, but MASTER_ADDR is not in the "
        "environment: set it to the name of rank 0's machine (127.0.0.1 where all run on one)"
    )


def main_ports(ranks: Ranks, environ: Mapping[str, str] = os.environ) -> list[int]:
    """The ports of rank 0 in the order in which they are tried: MASTER_PORT, or ports derived from the job.

    Raises:
        InputError: MASTER_PORT is not a port, or no variable tells one.
    """
    text = environ.get("MASTER_PORT")
    if text:
        if not text.strip().isdigit() or not 1 <= int(text) <= 65535:
            raise InputError(f"MASTER_PORT={text} in the environment: give a number from 1 to 65535")
        return [int(text)]
    job = job_of(ranks, environ)
    if job is None:
        raise InputError(
            f"{ranks.starter} started {ranks.world_size} processes, but MASTER_PORT is not in the "
            "environment: set it to a free port of rank 0's machine"
        )
    start = zlib.crc32(job.encode())
    return [FIRST_PORT + (start + 997 * attempt) % PORTS for attempt in range(5)]


def job_of(ranks: Ranks, environ: Mapping[str, str] = os.environ) -> str | None:
    """An id that exactly the processes of this start share; None if there is none."""
    if ranks.starter == "srun":
        return ".".join(environ.get(name) or "0" for name in ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT"))
    if ranks.starter == "mpirun":
        return next((environ[name] for name in MPI_JOBS if environ.get(name)), None)
    return None


def first_node(nodelist: str, name: str = "SLURM_NODELIST") -> str:
    """``node[01-03,07],gpu-5`` → ``node01``. Raises InputError for a list that Slurm does not write."""
    first = re.match(r"(?:[^\[\],\s]|\[[0-9]+(?:-[0-9]+)?(?:,[0-9]+(?:-[0-9]+)?)*\])+(?=[,\s]|$)", nodelist.strip())
    if first is None:
        raise InputError(
            f"{name}={nodelist} in the environment is no list of nodes, as in node[01-03,07],gpu-5: set "
            "MASTER_ADDR to the name of rank 0's machine"
        )
    return re.sub(r"\[([0-9]+)[^\]]*\]", r"\1", first[0])


def agree_on_name(propose: Callable[[], str]) -> str:
    """Agree on one name on all ranks of a run; with one process, ``propose()``.

    Under srun, the name comes from the job's number, so that a requeued job finds its folder again. Otherwise it is
    what rank 0 proposes, passed on by the ranks' store.

    Raises:
        InputError: The store does not answer.
    """
    ranks = from_environment()
    if ranks is None or ranks.starter == "simswap":
        return propose()
    if ranks.starter == "srun":
        step = os.environ.get("SLURM_STEP_ID", "0")
        name = f"slurm_{os.environ.get('SLURM_JOB_ID', '0')}" + (f"_{step}" if step != "0" else "")
        return re.sub(r"\W", "_", name)
    from simswap.launching.meeting import word_of_rank_0

    return word_of_rank_0(ranks, propose)
