"""Several processes that share an evaluation: who does what, and waiting for each other."""

from dataclasses import dataclass
from datetime import timedelta

import torch.distributed

from simswap.errors import InputError
from simswap.launching import ranks
from simswap.launching.meeting import join

PATIENCE = timedelta(hours=24)
"""How long a process waits for the others at the end of a stage; one that died is noticed at once."""


@dataclass(frozen=True)
class EvaluationRanks:
    """``torchrun --nproc-per-node 2``, srun, mpirun, or RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT set by hand."""

    rank: int = 0
    size: int = 1

    @classmethod
    def from_environment(cls) -> "EvaluationRanks":
        """This process's place. Raises InputError for one that cannot be."""
        started = ranks.from_environment()
        return cls() if started is None else cls(started.rank, started.world_size)

    def meet(self) -> None:
        """Find the others, before any work. Raises InputError where the port is taken, or they do not come."""
        if self.size > 1:
            join("gloo", PATIENCE)

    def wait(self) -> None:
        """Go on when every process has come here. Raises InputError where one has ended."""
        if self.size == 1:
            return
        self.meet()
        try:
            torch.distributed.barrier()
        except RuntimeError as error:  # gloo's word on a connection that was closed
            reason = (str(error).splitlines() or [""])[0]
            raise InputError(
                f"process {self.rank} of {self.size}: another process of this evaluation has ended; its "
                f"own line says why ({reason})"
            ) from error

    def leave(self) -> None:
        """Close the connection, so that none is left open at the end."""
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
