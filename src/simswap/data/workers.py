"""What a loader's worker does with signals and batches, and what its faults mean."""

import errno
import os
import signal
import threading
from typing import TYPE_CHECKING

from simswap.errors import InputError
from simswap.launching.system import wait_for_signal_of_parent
from simswap.launching.system_errors import shared_is_full

if TYPE_CHECKING:
    import torch


def leave_signals_to_the_run() -> None:
    """In a worker: what asks a run to stop (Ctrl-C, Slurm) reaches it too; it ends when the run has saved and ends it.

    SIGTERM ends it only where it comes from its parent; a worker that died of it would make the run fail.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        wait_for_signal_of_parent(signal.SIGTERM)
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def into_shared_memory(*tensors: "torch.Tensor") -> None:
    """In a worker: move a batch to where the run's process reads it. Raises RuntimeError where there is no space.

    Left to torch this happens in a thread, which loses the batch along with the error, and the run would wait for ever.
    """
    from torch.utils.data import get_worker_info  # here: the pool of prepare goes without torch

    if get_worker_info() is not None:
        for tensor in tensors:
            tensor.share_memory_()


def fault_of(error: BaseException) -> InputError | None:
    """A fault of the loader's workers in one line; None where it is something else."""
    text = str(error)
    no_space = isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None
    if no_space or "shared memory" in text or "(shm)" in text:
        return InputError(shared_is_full())
    if "DataLoader worker" in text and ("exited unexpectedly" in text or "killed by signal" in text):
        how = text.split("killed by signal: ")[1].split(".")[0] if "killed by signal: " in text else "ended"
        return InputError(
            f"a worker of the loader died ({how}), most likely for want of memory: use fewer "
            "data.workers, a smaller data.cache_mb or data.prefetch, or data.workers=0"
        )
    return None
