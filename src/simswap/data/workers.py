"""Signals and batches in a loader's worker processes, and the meaning of their failures."""

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
    """Ignore, in a worker, the signals that ask a run to stop (Ctrl-C, Slurm): the run ends its workers after saving.

    SIGTERM ends a worker only if its parent sent it; a worker killed by another's would make the run fail.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        wait_for_signal_of_parent(signal.SIGTERM)
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def into_shared_memory(*tensors: "torch.Tensor") -> None:
    """Move a batch, in a worker, to memory that the main process reads.

    Torch would do this in a thread, which loses the batch along with the error, so that the run would wait for ever.

    Raises:
        RuntimeError: shared memory is full.
    """
    from torch.utils.data import get_worker_info  # imported here, since prepare's workers do without torch

    if get_worker_info() is not None:
        for tensor in tensors:
            tensor.share_memory_()


def fault_of(error: BaseException) -> InputError | None:
    """The failure of a loader's worker in one line; None for any other error."""
    text = str(error)
    no_space = isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None
    if no_space or "shared memory" in text or "(shm)" in text:
        return InputError(shared_is_full())
    if "DataLoader worker" in text and ("exited unexpectedly" in text or "killed by signal" in text):
        how = text.split("killed by signal: ")[1].split(".")[0] if "killed by signal: " in text else "ended"
        return InputError(
            f"a worker of the loader died ({how}), probably out of memory: use fewer "
            "data.workers, a smaller data.cache_mb or data.prefetch, or data.workers=0"
        )
    return None
