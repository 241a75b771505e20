"""Waiting for what another process does: by looking again and again, never by a time that a busy machine moves."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

Found = TypeVar("Found")

DEADLINE = 240.0
"""Seconds. Only a test that fails waits that long; pytest's own limit for a test comes after it."""


def until(look: Callable[[], Found], what: str, process: Any = None, seconds: float = DEADLINE) -> Found:
    """The first true value of ``look``.

    what: is waited for, for the complaint. process: a `Popen` that has to bring it about; where that ends first, there
    is one last look and no more waiting.

    Raises AssertionError where it does not come.
    """
    end = time.monotonic() + seconds
    while True:
        over = process is not None and process.poll() is not None
        found = look()
        if found:
            return found
        assert not over, f"the process ended with code {process.returncode} before: {what}"
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.02)


def written(file: Path, text: str) -> None:
    """Write a file that another process waits for: it is complete as soon as it has its name."""
    part = file.with_name(f".{file.name}.part")
    part.write_text(text)
    part.rename(file)


def is_alive(pid: int) -> bool:
    """Whether this process runs; one that has ended and is not collected by its parent yet does not."""
    if sys.platform == "linux":
        return state_of(pid) not in (None, "Z", "X")
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def group_is_alive(group: int) -> bool:
    """Whether any process of this group runs. Signal 0 to the group would count those that only wait for their
    collection, which is up to their parent."""
    if sys.platform == "linux":
        return any(fields[2] == str(group) and fields[0] not in "ZX" for fields in processes().values())
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def state_of(pid: int) -> str | None:
    """The kernel's letter for it; None where there is no such process."""
    fields = _fields(pid)
    return fields[0] if fields else None


def processes() -> dict[int, list[str]]:
    """Of every process: state, parent, group, session, … as in /proc/<pid>/stat behind the name."""
    found = {int(name): _fields(int(name)) for name in os.listdir("/proc") if name.isdigit()}
    return {pid: fields for pid, fields in found.items() if fields}


def _fields(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


@contextmanager
def started(*command: Any, **options: Any) -> Iterator[subprocess.Popen]:
    """A command in a process group of its own, of which nothing is left when the block ends, however it ends."""
    process = subprocess.Popen([str(word) for word in command], start_new_session=True, **options)
    try:
        yield process
    finally:
        end_group(process.pid)
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def finished(*command: Any, seconds: float = DEADLINE, **options: Any) -> subprocess.CompletedProcess:
    """`subprocess.run` of a command whose whole process group has ended afterwards, in time or not."""
    if options.pop("capture_output", False):
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with started(*command, **options) as process:
        output, errors = process.communicate(timeout=seconds)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


@contextmanager
def side_by_side(target: Callable[..., Any], *arguments: tuple) -> Iterator[list[BaseProcess]]:
    """Forks of this process that run ``target``, one for each tuple of arguments; at the end of the block they are
    waited for. Raises AssertionError where one fails or does not end; none is left then."""
    processes = [multiprocessing.get_context("fork").Process(target=target, args=each) for each in arguments]
    try:
        for process in processes:
            process.start()
        yield processes
        for process in processes:
            process.join(DEADLINE)
            assert process.exitcode is not None, f"{process.name} did not end"
        assert [process.exitcode for process in processes] == [0] * len(processes)
    finally:
        for process in processes:
            if process.pid is not None:
                process.kill()
                process.join()


def end_group(group: int) -> None:
    """Kill every process of a group that is left."""
    with suppress(ProcessLookupError, PermissionError):  # macOS: the latter where all wait for their collection
        os.killpg(group, signal.SIGKILL)
