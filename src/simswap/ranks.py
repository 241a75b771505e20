"""Which process of how many this one is, where torchrun, srun or this package's own start put it."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from simswap.errors import InputError

HANDOFF = "SIMSWAP_HANDOFF"
"""Set in processes that `simswap.processes` started: their folder of config and outcome. They start no others."""

INTERACTIVE_JOBS = ("bash", "interactive")  # Slurm jobs by these names are shells, in which nothing was started by srun


@dataclass(frozen=True)
class Ranks:
    """starter: ``torchrun``, ``srun`` or ``simswap``. rank, world_size: of this process among all of the run."""

    starter: str
    rank: int
    world_size: int


def from_environment(environ: os._Environ | dict[str, str] = os.environ) -> Ranks | None:
    """The ranks that the environment gives; None where this process was started alone.

    Raises InputError where a number is missing or is none.
    """
    if HANDOFF in environ:
        starter, rank, world = "simswap", "RANK", "WORLD_SIZE"
    elif "TORCHELASTIC_RUN_ID" in environ:
        starter, rank, world = "torchrun", "RANK", "WORLD_SIZE"
    elif "SLURM_PROCID" in environ and environ.get("SLURM_JOB_NAME") not in INTERACTIVE_JOBS:
        starter, rank, world = "srun", "SLURM_PROCID", "SLURM_NTASKS"
    else:
        return None
    try:
        found = Ranks(starter, int(environ.get(rank, "0")), int(environ.get(world, "1")))
    except ValueError as error:
        raise InputError(f"the environment's {rank} and {world} must be whole numbers ({error})") from error
    return found if found.world_size > 1 else None


def is_first() -> bool:
    """Whether this process is the run's first one, which alone writes records."""
    ranks = from_environment()
    return ranks is None or ranks.rank == 0


def agree_on_name(propose: Callable[[], str]) -> str:
    """The same name on all ranks of a run that torchrun or srun started; ``propose()`` where there is one process.

    srun: from the job's number, so that a requeued job finds its folder again. torchrun: what rank 0 proposes, handed
    over by the store that torchrun keeps. Raises InputError where that store does not answer.
    """
    ranks = from_environment()
    if ranks is None or ranks.starter == "simswap":
        return propose()
    if ranks.starter == "srun":
        step = os.environ.get("SLURM_STEP_ID", "0")
        name = f"slurm_{os.environ.get('SLURM_JOB_ID', '0')}" + (f"_{step}" if step != "0" else "")
        return re.sub(r"\W", "_", name)
    return _from_torchruns_store(ranks, propose)


def _from_torchruns_store(ranks: Ranks, propose: Callable[[], str]) -> str:
    from datetime import timedelta

    from torch.distributed import TCPStore

    try:
        store = TCPStore(
            os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False, timeout=timedelta(minutes=5)
        )
        key = f"simswap/{os.environ['TORCHELASTIC_RUN_ID']}/folder"
        if ranks.rank == 0 and not store.check([key]):  # after a restart by torchrun the name still stands
            store.set(key, propose())
        return store.get(key).decode()  # waits for rank 0
    except (KeyError, ValueError, RuntimeError) as error:
        raise InputError(
            f"rank {ranks.rank} cannot ask torchrun's store for the run folder ({error}); give it as hydra.run.dir=…"
        ) from error
