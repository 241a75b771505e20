"""Processes that share one evaluation: their ranks, and waiting for each other."""

from dataclasses import dataclass
from datetime import timedelta

import torch.distributed

from simswap.errors import InputError
from simswap.launching import ranks
from simswap.launching.meeting import join

PATIENCE = timedelta(hours=24)
"""How long a process waits for the others at the end of a stage. A process that died is noticed immediately."""


@dataclass(frozen=True)
class EvaluationRanks:
    """This process's place in an evaluation.

    Started by torchrun, srun or mpirun, or by RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT set by hand.

    Attributes:
        rank: The rank of this process, from 0.
        size: The number of processes.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def from_environment(cls) -> "EvaluationRanks":
        """Read this process's place from the environment. Raises InputError for contradictory variables."""
        started = ranks.from_environment()
        return cls() if started is None else cls(started.rank, started.world_size)

    def meet(self) -> None:
        """Connect to the other processes. Raises InputError if the port is taken or they do not come."""
        if self.size > 1:
            join("gloo", PATIENCE)

    def wait(self) -> None:
        """Wait until every process has called this. Raises InputError if one has ended."""
        if self.size == 1:
            return
        self.meet()
        try:
            torch.distributed.barrier()
        except RuntimeError as error:  # gloo's error for a closed connection
            reason = (str(error).splitlines() or [""])[0]
            raise InputError(
                f"process {self.rank} of {self.size}: another process of this evaluation has ended; its "
                f"own line says why ({reason})"
            ) from error

    def leave(self) -> None:
        """Close the connection to the other processes."""
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
