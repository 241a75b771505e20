"""Stopping on a signal: training finishes the current iteration, everything else stops immediately, even while waiting.

Python runs a signal handler between two steps of the interpreter, so a process that waits inside a library (for another
rank, a disk, a server) does not run it. A thread in this module receives each signal immediately, and ends a process
that only waits.
"""

import multiprocessing
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

ASK_TO_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Ctrl-C; kill, and Slurm's first signal; a closed terminal; Slurm before the time limit (--signal); submitit's."""

LEAVING_SECONDS = 7.0
"""How long a process that does not train may take to end."""
IDLE_SECONDS = 5.0
"""After a stop request, training that used no CPU for this long is only waiting."""
SAVING_SECONDS = 120.0
"""The same while a checkpoint is written: a disk may be slow."""
AGAIN_SECONDS = 0.5
"""A second signal after this long means an immediate stop. (One Ctrl-C may arrive twice, also through a launcher.)"""
EXIT_STOPPED = 2

LEAVING, TRAINING, SUPERVISING = "leaving", "training", "supervising"


class WaitOver(BaseException):
    """Ends a wait inside `interruptible`."""


class _State:
    """The state that the main thread shares with the watching thread."""

    def __init__(self) -> None:
        self.last_words: list[Callable[[str | None], str | None]] = []
        self.begin()

    def begin(self, watched_by: int = 0) -> None:
        """Reset everything but the last words, which may be registered before the watch begins."""
        self.mode, self.since = LEAVING, 0.0
        self.saving = 0
        self.interruptible = False
        self.asked: list[float] = []  # when: the first signal, and a second one
        self.first_heard: float | None = None  # by the thread
        self.watched_by = watched_by  # the process whose thread watches


_state = _State()
_counting = threading.Lock()  # two threads may begin or end to save at the same time
_stopped = False  # whether a signal ended what was watched last


def asked() -> bool:
    """Whether a signal has asked this process to stop."""
    return bool(_state.asked)


def taken(numbers: tuple[signal.Signals, ...] = ASK_TO_STOP) -> list[signal.Signals]:
    """The signals that this process handles: a SIGHUP that nohup ignores stays ignored."""
    return [n for n in numbers if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]


def enter(mode: str) -> None:
    """Set what this process does: `LEAVING` (it may end immediately), `TRAINING`, or `SUPERVISING` others."""
    _state.mode, _state.since = mode, time.monotonic()


@contextmanager
def saving() -> Iterator[None]:
    """Surround the writing of a checkpoint, in any thread; it may take longer than other waits."""
    with _counting:
        _state.saving += 1
    try:
        yield
    finally:
        with _counting:
            _state.saving -= 1


@contextmanager
def last_words(say: Callable[[str | None], str | None]) -> Iterator[None]:
    """Register ``say``, which is called if the watching thread ends the process.

    Args:
        say: Takes the hint on how to resume, or None, and returns a hint or None.
    """
    _state.last_words.append(say)
    try:
        yield
    finally:
        _state.last_words.remove(say)


@contextmanager
def interruptible() -> Iterator[None]:
    """Surround a wait that a stop ends with `WaitOver`, also in training."""
    if _state.asked:
        raise WaitOver
    _state.interruptible = True
    try:
        yield
    finally:
        _state.interruptible = False


def heard() -> None:
    """Note a signal; every handler calls this first, because the thread may receive the signal later."""
    if _state.watched_by == os.getpid() and not _state.asked:
        _state.asked = [time.monotonic()]


def end_wait() -> None:
    """End the current wait if it is `interruptible`; signal handlers call this."""
    if _state.interruptible:
        _state.interruptible = False
        raise WaitOver


def stop_now(number: int, frame: FrameType | None) -> None:
    """A signal handler that ends the work as Ctrl-C does."""
    heard()
    raise KeyboardInterrupt


@contextmanager
def obeyed() -> Iterator[None]:
    """Inside the block, each signal of `ASK_TO_STOP` ends the work as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    earlier: dict[int, Any] = {number: signal.signal(number, stop_now) for number in taken()}
    try:
        with watched():
            yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


@contextmanager
def watched() -> Iterator[None]:
    """Inside the block, a thread enforces stops. Only in the main thread, once per process."""
    if _state.watched_by == os.getpid() or threading.current_thread() is not threading.main_thread():
        yield
        return
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    _state.begin(watched_by=os.getpid())
    thread = threading.Thread(target=_watch, args=(ours,), daemon=True, name="stops")
    thread.start()
    try:
        yield
    finally:
        global _stopped
        _stopped = asked()
        if _stopped:
            _kill_children()  # otherwise the interpreter waits at its end for children that do not answer
        _state.watched_by = 0
        signal.set_wakeup_fd(before)
        with suppress(OSError):
            theirs.send(b"\0")
        thread.join(2)
        theirs.close()
        ours.close()
        _state.begin()


def _watch(signals: socket.socket) -> None:
    idle, cpu, then = 0.0, time.process_time(), time.monotonic()
    while True:
        if select.select([signals], [], [], 0.2 if _state.asked else None)[0]:
            heard = signals.recv(64)
            if not heard or 0 in heard:
                return
            if set(heard) & set(ASK_TO_STOP):
                _note(time.monotonic())
        if not _state.asked:
            continue
        now, used = time.monotonic(), time.process_time()
        # A step counts for at most half a second: the process itself may have been halted meanwhile.
        step = min(now - then, 0.5)
        idle = idle + step if used - cpu < 0.02 * step else 0.0
        cpu, then = used, now
        why = _overdue(now, idle)
        if why is not None:
            _end(why)


def _note(now: float) -> None:
    """Note a signal in the thread; its handler may have run before, or may run much later."""
    if _state.first_heard is None:
        _state.first_heard = now
        _state.asked = _state.asked or [now]
    elif len(_state.asked) == 1 and now - _state.first_heard > AGAIN_SECONDS:
        _state.asked.append(now)


def _overdue(now: float, idle: float) -> str | None:
    """Why the thread must end the process; None if it must not."""
    if len(_state.asked) > 1 and now - _state.asked[1] > 2:
        return "it was asked twice"
    if _state.mode == TRAINING and idle > (SAVING_SECONDS if _state.saving else IDLE_SECONDS):
        return "it only waited (for a worker, another rank, a disk or a server)"
    if _state.mode == LEAVING and now - max(_state.asked[0], _state.since) > LEAVING_SECONDS:
        return "it did not end by itself"
    return None


def _end(why: str) -> None:
    how = None
    for say in reversed(list(_state.last_words)):
        with suppress(Exception):
            how = say(how) or how
    how = how or "run the same command again to resume"
    with suppress(OSError):
        os.write(
            sys.__stderr__.fileno() if sys.__stderr__ else 2,
            f"error: interrupted; {why}; what was finished is kept, {how}\n".encode(),
        )
    _kill_children()
    os._exit(EXIT_STOPPED)


def cut_the_end_short() -> None:
    """Limit how long the interpreter waits at its end for threads of pools, some of which may never answer."""
    if not _stopped:
        return
    ending = threading.Event()

    def cut() -> None:
        ending.wait()
        time.sleep(2)
        os._exit(EXIT_STOPPED)

    with suppress(AttributeError, RuntimeError):  # not public; pools of threads hang their own waiting there too
        threading._register_atexit(ending.set)  # type: ignore[attr-defined]  # what comes last is called first
        threading.Thread(target=cut, daemon=True).start()


def _kill_children() -> None:
    with suppress(Exception):
        for child in multiprocessing.active_children():
            child.kill()


def _leave_to_the_parent() -> None:
    """In a forked worker, keep its signals from the parent's thread."""
    if _state.watched_by:
        with suppress(ValueError):
            signal.set_wakeup_fd(-1)


os.register_at_fork(after_in_child=_leave_to_the_parent)
