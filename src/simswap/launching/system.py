"""System calls that not every system has, with their substitutes (macOS). Imports no torch, so that it loads fast."""

import ctypes
import os
import signal
import sys
import time

SECONDS_TO_SAVE = 30.0
"""How long a process that cannot tell who signaled it keeps working, so that the run can save."""


def usable_cores() -> int:
    """Cores that this process may use: fewer than the machine's under taskset, in a container or in a Slurm job."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def end_with(parent: int) -> None:
    """Ask the system to kill this process when its parent ends. Does nothing on systems other than Linux."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended before the line above
        os._exit(1)


def keep_freed_memory() -> None:
    """Let this process reuse the memory of its last image for the next one, up to 64 MiB.

    By default glibc returns blocks of that size to the system at once, and every page of the next image costs a fault:
    up to a third of the time that decoding takes. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        m_trim_threshold, m_mmap_threshold = -1, -3
        mallopt(m_mmap_threshold, 32 * 2**20)  # the largest that glibc accepts
        mallopt(m_trim_threshold, 64 * 2**20)


def wait_for_signal_of_parent(number: int) -> None:
    """Wait until the parent sends this signal, which must be blocked; signals from other processes are ignored.

    On systems that do not tell who sent a signal (macOS), any sender counts, and this returns `SECONDS_TO_SAVE` later
    or when the parent ends.
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
