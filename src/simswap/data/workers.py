"""What a loader's worker does with signals."""

import os
import signal
import threading

from simswap.system import wait_for_signal_of_parent


def leave_signals_to_the_run() -> None:
    """In a worker: what asks a run to stop (Ctrl-C, Slurm) reaches it too; it ends when the run has saved and ends it.

    SIGTERM ends it only where it comes from its parent; a worker that died of it would make the run fail.
    """
    for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        wait_for_signal_of_parent(signal.SIGTERM)
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
