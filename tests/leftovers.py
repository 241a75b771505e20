"""What a suite leaves behind, which makes it fail: processes, and files outside of its tests' own folders.

The suite gets a home and a folder of temporary files to itself, so that nobody else's files are taken for its own.
Its processes are the descendants of pytest's process: on Linux that one takes in orphans, whose parent is gone.
"""

import ctypes
import gc
import os
import re
import shutil
import signal
import site
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import processes

REPOSITORY = Path(__file__).resolve().parents[1]
GRACE_SECONDS = 60.0
"""So long a process that is about to end (W&B's own, a loader's worker) may take to do so."""
SHARED_MEMORY = Path("/dev/shm")
TOOLS_OWN = (
    "home/.cache/matplotlib", "home/.config/matplotlib",  # the list of fonts, made once
    "home/.cache/pip", "home/.cache/fontconfig", "home/.cache/torchinductor", "home/.triton", "home/.nv",
    "home/.cache/wandb/logs", "home/.cache/Microsoft", "tmp/.ses",  # the latter two: onnxruntime
    "home/.cache/pocl", "tmp/mat-debug-",  # OpenCL, which OpenCV looks for
    "tmp/wandb_symon-",  # the socket of W&B's system monitor, which W&B ends by force where the machine is busy
    "home/.config/chromium", "home/.cache/dconf",  # a browser's crash reports, and what its toolkit asks
    "home/.ipython", "home/.jupyter", "home/.local/share/jupyter",
)  # fmt: skip
"""What tools keep for their next start; it is removed with the home."""
UNTIL_THE_END = ("wandb-media", "wandb-artifacts")
"""Endings of temporary folders that W&B makes when it is imported, and removes when Python ends."""
CACHES = (".git", ".venv", ".venv-lowest", ".venv-newest", "__pycache__", ".pytest_cache",
          ".mypy_cache", ".ruff_cache", ".hypothesis", "build", "dist")  # fmt: skip
SOURCES = (".py", ".md", ".yaml", ".ipynb", ".cfg", ".toml", ".txt", ".yml")
WRITTEN_BY_HAND = ("src", "tests", "docs", "conf", "benchmarks", "notebooks")


def take_in_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, on Linux."""
    if sys.platform == "linux":
        pr_set_child_subreaper = 36
        ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def descendants(of: int) -> set[int]:
    """Processes that run and that this one, or one of them, started; empty where /proc is not there."""
    if not Path("/proc/self/stat").exists():
        return set()
    table = processes()
    children: dict[int, list[int]] = {}
    for pid, fields in table.items():
        children.setdefault(int(fields[1]), []).append(pid)
    found: set[int] = set()
    todo = [of]
    while todo:
        for child in children.get(todo.pop(), []):
            if child not in found:
                found.add(child)
                todo.append(child)
    return {pid for pid in found if table[pid][0] not in "ZX"}


def told(pid: int) -> str:
    """A process's command, and the test in which it was started."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        environment = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return f"process {pid}"
    test = next((line.partition("=")[2] for line in environment if line.startswith("PYTEST_CURRENT_TEST=")), "")
    return f"process {pid}: {command[:200]}" + (f" (of {test})" if test else "")


def files_below(folder: Path, leave_out: Iterable[str] = ()) -> Iterator[Path]:
    """Files, links and empty folders below a folder; names in ``leave_out`` are not looked into."""
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in leave_out and not name.endswith(".egg-info")]
        yield from (Path(place, name) for name in files)
        yield from (Path(place, name) for name in folders if not os.listdir(Path(place, name)))


def of_a_test(inside: Path) -> bool:
    """Whether a new file of the checkout may be a test's: what somebody writes by hand meanwhile is none."""
    return not (inside.parts[0] in WRITTEN_BY_HAND or len(inside.parts) == 1) or inside.suffix not in SOURCES


class Leftovers:
    """A plugin for the process that starts pytest; workers of pytest-xdist inherit its folders and need none."""

    def __init__(self, checkout: Path = REPOSITORY, grace: float = GRACE_SECONDS) -> None:
        self.checkout, self.grace = checkout, grace
        self.found: list[str] = []
        self._seen: set[int] = set()
        self._over = threading.Event()

    def begin(self) -> None:
        """Take a home and temporary files of our own, and note what is there."""
        real = Path(tempfile.gettempdir())
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(real))  # tests' own folders stay where pytest puts them
        os.environ.setdefault("PYTHONUSERBASE", site.getuserbase())  # packages of the user are found beside it
        self.folder = Path(tempfile.mkdtemp(prefix="suite-", dir=real))
        for name in ("home", "tmp"):
            (self.folder / name).mkdir()
        os.environ |= {
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "TORCHINDUCTOR_CACHE_DIR": str(self.folder / "home/.cache/torchinductor"),
        }
        for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
            os.environ.pop(name, None)
        tempfile.tempdir = None
        take_in_orphans()
        self._before = set(files_below(self.checkout, CACHES))
        self._memory = set(_names(SHARED_MEMORY))
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._over.wait(1.0):
            self._seen |= descendants(os.getpid())

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodeready(self) -> None:
        """A worker of pytest-xdist is there; a short suite may end before the first look."""
        self._seen |= descendants(os.getpid())

    def end(self, stop_services: Callable[[], None]) -> list[str]:
        """What is left, in words; processes are killed then and temporary files removed."""
        stop_services()
        deadline = time.monotonic() + self.grace
        while (left := descendants(os.getpid())) and time.monotonic() < deadline:
            time.sleep(0.1)
        self._over.set()
        self.found = [told(pid) for pid in sorted(left)]
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        own = tuple(str(self.folder / name) for name in TOOLS_OWN)
        files = [file for file in files_below(self.folder) if not str(file).startswith(own)]
        files = [file for file in files if file.parent != self.folder]  # the two folders, empty as they should be
        files = [file for file in files if not file.name.endswith(UNTIL_THE_END)]
        new = set(files_below(self.checkout, CACHES)) - self._before
        files += [file for file in new if of_a_test(file.relative_to(self.checkout))]
        files += [SHARED_MEMORY / name for name in _names(SHARED_MEMORY) - self._memory if self._is_ours(name)]
        self.found += [f"file {file}" for file in sorted(files)]
        shutil.rmtree(self.folder, ignore_errors=True)
        return self.found

    def _is_ours(self, name: str) -> bool:
        """Shared memory is named after the process that made it; other people's lies beside it."""
        return bool({int(number) for number in re.findall(r"\d+", name)} & (self._seen | {os.getpid()}))

    @pytest.hookimpl(wrapper=True, trylast=True)  # within the terminal's, so that its summary comes behind
    def pytest_sessionfinish(self, session: pytest.Session) -> Iterator[None]:
        yield
        if self.end(stop_own_services):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.found:
            terminalreporter.section("left behind by the suite, which fails it", red=True, bold=True)
            for line in self.found:
                terminalreporter.write_line(line)


def stop_own_services() -> None:
    """Stop what libraries keep for this process's next call, as they do themselves when it ends."""
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()
    for thing in gc.get_objects():
        if type(thing) is tempfile.TemporaryDirectory:  # W&B has two; a folder whose object is alive goes with it
            thing.cleanup()
    if "multiprocessing.forkserver" in sys.modules:
        from multiprocessing import forkserver, util

        forkserver._forkserver._stop()  # type: ignore[attr-defined]
        util._run_finalizers()  # type: ignore[attr-defined]  # among them the one that removes its temporary folder
    if "joblib.externals.loky.reusable_executor" in sys.modules:
        from joblib.externals.loky import reusable_executor

        if reusable_executor._executor is not None:
            reusable_executor._executor.terminate(kill_workers=True)  # and the folder of its memory-mapped arrays
        from joblib.externals.loky.backend import resource_tracker as lokys

        lokys._resource_tracker._stop()
    from multiprocessing import forkserver, resource_tracker

    forkserver._forkserver._stop()  # type: ignore[attr-defined]
    resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]


def _names(folder: Path) -> set[str]:
    return set(os.listdir(folder)) if folder.is_dir() else set()
