"""What is done where the system lacks something: as on macOS, whose gaps are made here by taking things away."""

import ast
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from simswap.data.workers import leave_signals_to_the_run
from simswap.launching import system
from tests.waiting import DEADLINE, until

SOURCE = Path(system.__file__).parents[1]

# What macOS lacks of os and signal (and ctypes asks the kernel for); simswap.launching.system alone looks for it.
NOT_EVERYWHERE = {"sched_getaffinity", "sched_setaffinity", "sigwaitinfo", "sigtimedwait", "prctl", "pidfd_open",
                  "posix_fadvise", "memfd_create"}  # fmt: skip


def test_what_macos_lacks_is_asked_for_in_one_place():
    files = sorted(SOURCE.rglob("*.py"))
    found = {
        (str(file.relative_to(SOURCE)), node.attr)
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in NOT_EVERYWHERE
    }
    assert found == {("launching/system.py", name) for name in ("sched_getaffinity", "sigwaitinfo", "prctl")}


def test_cores_are_counted_without_affinity(monkeypatch):
    assert system.usable_cores() == len(os.sched_getaffinity(0)) if sys.platform == "linux" else True
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    assert system.usable_cores() == 12
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert system.usable_cores() == 1


def worker(folder: Path, without_senders: bool, seconds: float) -> None:
    """A loader's worker that would run for ever."""
    if without_senders:
        vars(signal).pop("sigwaitinfo", None)
    system.SECONDS_TO_SAVE = seconds
    leave_signals_to_the_run()
    (folder / "ready").write_text("")
    threading.Event().wait()


def start(folder: Path, *settings) -> int:
    """A process of its own: a fork of the suite's may bring threads that do not block the signal."""
    code = f"from tests.launching.test_system import Path, worker; worker(Path({str(folder)!r}), *{settings!r})"
    child = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    until((folder / "ready").exists, "the worker")
    return child.pid


def ended(child: int) -> bool:
    return os.waitpid(child, os.WNOHANG)[0] == child


@pytest.fixture
def killed():
    """Processes that are gone after the test."""
    children: list[int] = []
    yield children
    for child in children:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


@pytest.mark.parametrize("without_senders", [False, True], ids=["linux", "macos"])
def test_a_worker_ends_when_its_parent_says_so(tmp_path, killed, without_senders):
    killed.append(start(tmp_path, without_senders, 0.1))
    os.kill(killed[0], signal.SIGTERM)
    until(lambda: ended(killed[0]), "the worker's end")


@pytest.mark.parametrize("without_senders", [False, True], ids=["linux", "macos"])
def test_a_worker_works_on_when_another_asks_it_to_end(tmp_path, killed, without_senders):
    """As Slurm asks all of a job's processes at once: the run has to save first."""
    killed.append(start(tmp_path, without_senders, DEADLINE))
    sender = os.fork()
    if sender == 0:
        os.kill(killed[0], signal.SIGTERM)
        os._exit(0)
    os.waitpid(sender, 0)
    # It took the signal: nothing is pending, and it is there.
    if sys.platform == "linux":
        until(lambda: _pending(killed[0]) == 0, "the worker's taking of the signal")
    assert not ended(killed[0])


def _pending(pid: int) -> int:
    lines = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    return int(lines["SigPnd"], 16) | int(lines["ShdPnd"], 16)


def test_nothing_is_asked_of_another_kernel(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(system.ctypes, "CDLL", lambda name: pytest.fail("asked the kernel"))
    system.end_with(os.getppid())


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_freed_memory_is_reused_for_the_next_image():
    """Arrays of alternating sizes, as photos have: without the call their pages are faulted in again each time."""
    code = (
        "import resource, numpy as np\n"
        "from simswap.launching.system import keep_freed_memory\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    for side in (700, 900, 800, 1000) * 5: np.full((side, side, 3), 1, np.uint8)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "keep_freed_memory(); faults(); print(faults())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=DEADLINE)
    assert int(done.stdout) < 100  # one array alone has 500 pages


def test_an_allocator_without_the_setting_is_left_alone(monkeypatch):
    monkeypatch.setattr(system.ctypes, "CDLL", lambda name: object())
    system.keep_freed_memory()
