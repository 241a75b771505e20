"""What asks a process to stop is obeyed, also where the process only waits."""

import os
import signal
import subprocess
import sys
import time

import pytest

from simswap.launching import stops

# A wait inside of a library, which no handler of Python's gets out of: a mutex that is locked twice.
WAIT = """
import ctypes, signal, sys, threading, time
from pathlib import Path
from simswap.launching import stops
def deadlock():
    mutex = ctypes.create_string_buffer(64)
    threads = ctypes.CDLL(None)
    threads.pthread_mutex_init(mutex, None)
    threads.pthread_mutex_lock(mutex)
    # Not at once: a signal on the way into the library is one that Python's handler sees.
    threading.Timer(0.5, Path(sys.argv[1], "ready").touch).start()
    threads.pthread_mutex_lock(mutex)
"""


@pytest.fixture
def ended(tmp_path):
    """``ended(script, *signals, before=…)``: exit code and errors of a process that gets the signals when ready."""
    processes = []

    def run(script: str, *signals: int, before: str = "") -> tuple[int, str]:
        command = [sys.executable, "-c", before + WAIT + script, str(tmp_path)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        deadline = time.monotonic() + 120
        for number in signals:
            while not (tmp_path / "ready").exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            process.send_signal(number)
            (tmp_path / "ready").unlink()
        _, errors = process.communicate(timeout=120)
        return process.returncode, errors

    yield run
    for process in processes:
        process.kill()
        process.wait()
        process.stderr.close()


def signaled(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(one, marks=() if one in (signal.SIGINT, signal.SIGTERM) else pytest.mark.slow)
        for one in stops.ASK_TO_STOP
    ],
)
def test_a_wait_inside_of_a_library_ends(number, ended):
    code, errors = ended(
        """
with stops.obeyed(), stops.last_words(lambda how: "come again"):
    deadlock()
""",
        number,
    )
    assert code == 2
    assert errors == "error: interrupted; it did not end by itself; what was finished is kept, come again\n"


def test_training_that_only_waits_ends(ended):
    code, errors = ended(
        """
signal.signal(signal.SIGTERM, lambda *_: None)
with stops.watched():
    stops.enter(stops.TRAINING)
    deadlock()
""",
        signal.SIGTERM,
    )
    assert code == 2
    assert errors.startswith("error: interrupted; it only waited (for a worker, another rank, a disk or a server); ")


def test_training_that_works_comes_to_the_end_of_its_iteration(ended):
    """For longer than any time that is given to a wait."""
    code, errors = ended(
        """
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(time.process_time()))
with stops.watched():
    stops.enter(stops.TRAINING)
    Path(sys.argv[1], "ready").touch()
    while not asked or time.process_time() - asked[0] < 1.5 * stops.IDLE_SECONDS:
        pass
""",
        signal.SIGTERM,
    )
    assert (code, errors) == (0, "")


def test_a_second_signal_ends_it_whatever_it_does(ended):
    code, errors = ended(
        """
def first(*_):
    time.sleep(2 * stops.AGAIN_SECONDS)
    Path(sys.argv[1], "ready").touch()
signal.signal(signal.SIGTERM, first)
signal.signal(signal.SIGUSR1, lambda *_: None)
with stops.watched():
    stops.enter(stops.SUPERVISING)
    Path(sys.argv[1], "ready").touch()
    while True:
        time.sleep(1)
""",
        signal.SIGTERM,
        signal.SIGUSR1,
    )
    assert code == 2
    assert "it was asked twice" in errors


def test_nohup_stays(ended):
    code, _ = ended(
        """
with stops.obeyed():
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    Path(sys.argv[1], "ready").touch()
    time.sleep(3)
""",
        signal.SIGHUP,
        before="import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n",
    )
    assert code == 0


def test_all_is_as_before_afterwards(tmp_path):
    before = [signal.getsignal(number) for number in stops.ASK_TO_STOP]
    with pytest.raises(KeyboardInterrupt), stops.obeyed():
        signaled(signal.SIGHUP)
    assert [signal.getsignal(number) for number in stops.ASK_TO_STOP] == before
    assert signal.set_wakeup_fd(-1) == -1
    assert not stops.asked()


def test_a_wait_that_may_end_does():
    with stops.watched():
        earlier = signal.signal(signal.SIGTERM, lambda *_: stops.end_wait())
        try:
            with pytest.raises(stops.WaitOver), stops.interruptible():
                signaled(signal.SIGTERM)
            deadline = time.monotonic() + 60
            while not stops.asked() and time.monotonic() < deadline:
                time.sleep(0.01)
            with pytest.raises(stops.WaitOver), stops.interruptible():
                raise AssertionError("a wait was entered after the stop")
        finally:
            signal.signal(signal.SIGTERM, earlier)


def test_a_forked_child_has_its_own_signals():
    with stops.watched():
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGUSR1, lambda *_: os._exit(7))
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(60)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        time.sleep(0.3)
        assert not stops.asked()


def test_a_pool_that_never_answers_does_not_hold_the_end_up(ended):
    code, errors = ended(
        """
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor()
try:
    with stops.obeyed():
        pool.submit(time.sleep, 10_000)
        Path(sys.argv[1], "ready").touch()
        time.sleep(10_000)
except KeyboardInterrupt:
    stops.cut_the_end_short()
    sys.exit(2)
""",
        signal.SIGTERM,
    )
    assert (code, errors) == (2, "")


def test_last_words_given_before_a_watch_outlive_it():
    """As in a sweep's job, whose process watches its ranks alone: it says how the run goes on all the same."""
    before = list(stops._state.last_words)
    with stops.last_words(str):
        with stops.watched():
            assert stops._state.last_words == [*before, str]
        assert stops._state.last_words == [*before, str]
    assert stops._state.last_words == before


def test_one_signal_is_no_second_one_whoever_hears_of_it_first(monkeypatch):
    state = stops._State()
    state.begin(os.getpid())
    monkeypatch.setattr(stops, "_state", state)
    stops.heard()  # the handler, and much later the thread
    stops._note(1e9)
    stops.heard()  # and the handler, much later still
    assert len(state.asked) == 1
    stops._note(1e9 + 0.9 * stops.AGAIN_SECONDS)
    assert len(state.asked) == 1
    stops._note(1e9 + 1.1 * stops.AGAIN_SECONDS)
    assert len(state.asked) == 2
