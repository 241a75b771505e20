"""Several processes that share an evaluation: who does what, and waiting for each other."""

import os
from dataclasses import dataclass
from datetime import timedelta

import torch.distributed

from simswap import ranks
from simswap.errors import InputError

PATIENCE = timedelta(hours=24)
"""How long a process waits for the others at the end of a stage; one that died is noticed at once."""


@dataclass(frozen=True)
class Ranks:
    """``torchrun --nproc-per-node 2``, srun, or RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT in the environment."""

    rank: int = 0
    size: int = 1

    @classmethod
    def from_environment(cls) -> "Ranks":
        """This process's place. Raises InputError for one that cannot be."""
        started = ranks.from_environment()
        if started is not None:
            return cls(started.rank, started.world_size)
        text = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
        try:
            rank, size = (int(value) for value in text)
        except ValueError as error:
            raise InputError(f"RANK={text[0]} WORLD_SIZE={text[1]} in the environment must be whole numbers") from error
        if not 0 <= rank < size:
            raise InputError(f"RANK={rank} WORLD_SIZE={size} in the environment: the rank must lie below the size")
        return cls(rank, size)

    def wait(self) -> None:
        """Go on when every process has come here."""
        if self.size == 1:
            return
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo", rank=self.rank, world_size=self.size, timeout=PATIENCE)
        torch.distributed.barrier()

    def leave(self) -> None:
        """Close the connection, so that none is left open at the end."""
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
