"""Encoders must not change how the system schedules this process's threads."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def ordinary_scheduling() -> Iterator[None]:
    """The calling thread, and the threads that start in the block, are scheduled as the calling thread was before.

    SVT-AV1 makes the thread that opens it real-time (SCHED_FIFO, priority 99) where it may, which is as root. The
    encoder's threads inherit that, and so does every process that is started later: they would stop all other work
    on the machine.
    """
    if sys.platform != "linux":
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    before = set(os.listdir("/proc/self/task"))
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)
        for thread in set(os.listdir("/proc/self/task")) - before:
            with suppress(ProcessLookupError):  # it has ended
                os.sched_setscheduler(int(thread), policy, parameters)
