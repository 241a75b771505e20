"""What not every system has, and what is done where it is not there (macOS). No torch here: who starts needs none."""

import ctypes
import os
import signal
import sys
import time

SECONDS_TO_SAVE = 30.0
"""So long a process that cannot know who asked it to end works on, for a run that wants to save first."""


def usable_cores() -> int:
    """Cores that this process may run on: fewer than the machine has under taskset, in a container or a Slurm job."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def end_with(parent: int) -> None:
    """Let the system kill this process when its parent ends; where it cannot (not Linux), nothing happens."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before the line above
        os._exit(1)


def wait_for_signal_of_parent(number: int) -> None:
    """Return when the parent sends this signal, which must be blocked; what others send is passed over.

    Where the system does not say who sent it (macOS), any counts, but `SECONDS_TO_SAVE` later or when the parent ends.
    """
    parent = os.getppid()
    if hasattr(signal, "sigwaitinfo"):
        while signal.sigwaitinfo({number}).si_pid != os.getppid():
            pass
        return
    signal.sigwait({number})
    end = time.monotonic() + SECONDS_TO_SAVE
    while time.monotonic() < end and os.getppid() == parent:
        time.sleep(0.1)
