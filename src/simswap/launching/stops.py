"""A stop that is asked for is obeyed: in training after the iteration at hand, elsewhere at once, also in a wait.

Python runs a signal's handler between two steps of the interpreter, so a process that waits inside of a library (for
another rank, a disk, a server) does not see it. A thread here hears of each signal at once, and ends what only waits.
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
"""Ctrl-C; kill, and Slurm before it kills; a closed terminal; Slurm ahead of the time limit (--signal); submitit's."""

LEAVING_SECONDS = 7.0
"""So long a process that does not train may take to leave."""
IDLE_SECONDS = 5.0
"""A process in training that was asked to stop, and used no CPU for so long, only waits."""
SAVING_SECONDS = 120.0
"""The same while a checkpoint is being written: a disk may be slow."""
AGAIN_SECONDS = 0.5
"""A second signal after so long means: at once. (One Ctrl-C may come twice, from the terminal and from a launcher.)"""
EXIT_STOPPED = 2

LEAVING, TRAINING, SUPERVISING = "leaving", "training", "supervising"


class WaitOver(BaseException):
    """Ends a wait that was entered by `interruptible`."""


class _State:
    """What the watching thread knows; the main thread writes it."""

    def __init__(self) -> None:
        self.last_words: list[Callable[[str | None], str | None]] = []
        self.begin()

    def begin(self, watched_by: int = 0) -> None:
        """Forget what was asked before; last words stay, which may have been given before the watch begins."""
        self.mode, self.since = LEAVING, 0.0
        self.saving = 0
        self.interruptible = False
        self.asked: list[float] = []  # when: the first signal, and a second one
        self.first_heard: float | None = None  # by the thread
        self.watched_by = watched_by  # the process whose thread watches


_state = _State()
_stopped = False  # whether a signal ended what was watched last


def asked() -> bool:
    """Whether a signal has asked this process to stop."""
    return bool(_state.asked)


def taken(numbers: tuple[signal.Signals, ...] = ASK_TO_STOP) -> list[signal.Signals]:
    """Those of the signals that this process takes: nohup's ignored SIGHUP stays ignored."""
    return [n for n in numbers if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]


def enter(mode: str) -> None:
    """Say what this process is about: `LEAVING` (may end at once), `TRAINING` or `SUPERVISING` others that train."""
    _state.mode, _state.since = mode, time.monotonic()


@contextmanager
def saving() -> Iterator[None]:
    """Around the writing of a checkpoint, which may take longer than a mere wait."""
    _state.saving += 1
    try:
        yield
    finally:
        _state.saving -= 1


@contextmanager
def last_words(say: Callable[[str | None], str | None]) -> Iterator[None]:
    """``say`` is called where the process is ended from outside of its main thread: it takes how to go on, where
    that is known, and may give it."""
    _state.last_words.append(say)
    try:
        yield
    finally:
        _state.last_words.remove(say)


@contextmanager
def interruptible() -> Iterator[None]:
    """A wait that a stop ends with `WaitOver`, in training too."""
    if _state.asked:
        raise WaitOver
    _state.interruptible = True
    try:
        yield
    finally:
        _state.interruptible = False


def heard() -> None:
    """Called first by each handler: the thread may hear of its signal only later."""
    if _state.watched_by == os.getpid() and not _state.asked:
        _state.asked = [time.monotonic()]


def end_wait() -> None:
    """Called by a signal's handler: ends a wait that may be ended."""
    if _state.interruptible:
        _state.interruptible = False
        raise WaitOver


def stop_now(number: int, frame: FrameType | None) -> None:
    """A handler: ends what the process is about, as Ctrl-C does."""
    heard()
    raise KeyboardInterrupt


@contextmanager
def obeyed() -> Iterator[None]:
    """Inside the block each of `ASK_TO_STOP` ends the work as Ctrl-C does; afterwards all is as before."""
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
    """Inside the block a thread sees that a stop is obeyed. Once a process, in its main thread; else nothing."""
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
            _kill_children()  # or the end of the interpreter would wait for those that do not answer
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
        # A step counts for no more than half a second: the process itself may have been stopped meanwhile.
        step = min(now - then, 0.5)
        idle = idle + step if used - cpu < 0.02 * step else 0.0
        cpu, then = used, now
        why = _overdue(now, idle)
        if why is not None:
            _end(why)


def _note(now: float) -> None:
    """The thread has heard a signal; the handler of the first one may have run before, or run much later."""
    if _state.first_heard is None:
        _state.first_heard = now
        _state.asked = _state.asked or [now]
    elif len(_state.asked) == 1 and now - _state.first_heard > AGAIN_SECONDS:
        _state.asked.append(now)


def _overdue(now: float, idle: float) -> str | None:
    """Why the process is to be ended from here; None: it may go on."""
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
    how = how or "run the same command again to go on"
    with suppress(OSError):
        os.write(
            sys.__stderr__.fileno() if sys.__stderr__ else 2,
            f"error: interrupted; {why}; what was finished is kept, {how}\n".encode(),
        )
    _kill_children()
    os._exit(EXIT_STOPPED)


def cut_the_end_short() -> None:
    """The end of the interpreter waits for threads of pools, some of which may never answer: not for long."""
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
    """In a forked worker: its signals are no word to the parent's thread."""
    if _state.watched_by:
        with suppress(ValueError):
            signal.set_wakeup_fd(-1)


os.register_at_fork(after_in_child=_leave_to_the_parent)
