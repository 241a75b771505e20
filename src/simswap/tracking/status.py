"""``status.json`` of a run folder: how far the run is, and how it ended."""

import json
import os
import socket
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path

from simswap.files import atomic_write, is_running
from simswap.launching import ranks
from simswap.version import __version__

RUNNING, FINISHED, INTERRUPTED, FAILED, DIVERGED = STATES = (
    "running", "finished", "interrupted", "failed", "diverged")  # fmt: skip
CRASHED = "crashed"
"""What `current_state` says of a run that is recorded as running and whose process is gone."""


@dataclass(frozen=True)
class Status:
    """state: one of `STATES`. iteration: how many are done. message: why it ended, one line, else empty.

    host, pid: of rank 0. updated: ISO time of the writing, with its time zone.
    """

    state: str
    iteration: int
    message: str
    host: str
    pid: int
    package_version: str
    updated: str


def write_status(run: Path, state: str, iteration: int, message: str = "") -> None:
    """Write ``<run>/status.json`` whole, for this process; other ranks than 0 write nothing.

    Raises ValueError for an unknown state, InputError where the folder cannot be written to.
    """
    if state not in STATES:
        raise ValueError(f"{state!r} is no state of a run: {', '.join(STATES)}")
    if not ranks.is_first():
        return
    now = datetime.now(timezone.utc).astimezone().isoformat(timespec="seconds")
    one_line = " ".join(message.split())
    status = Status(state, iteration, one_line, socket.gethostname(), os.getpid(), __version__, now)
    with atomic_write(run / "status.json") as part:
        part.write_text(json.dumps(asdict(status), indent=1) + "\n", encoding="utf-8")


def read_status(run: Path) -> Status | None:
    """What the run last said of itself; None where there is no status.json, or something else under its name."""
    try:
        content = json.loads((run / "status.json").read_text(encoding="utf-8"))
        status = Status(**{field.name: field.type(content[field.name]) for field in fields(Status)})  # type: ignore
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return status if status.state in STATES else None


def is_here(status: Status) -> bool:
    """Whether this machine wrote it."""
    return status.host == socket.gethostname()


def is_alive(status: Status) -> bool:
    """Whether the run goes on: False where it has ended, or its process on this host is gone.

    Of a process on another host nothing can be told from here; it counts as alive.
    """
    if status.state != RUNNING:
        return False
    if not is_here(status):
        return True
    started = _start_of_process(status.pid)
    # A process that began after the last word of the run has only inherited its number.
    return started is not None and started <= datetime.fromisoformat(status.updated).timestamp() + 1


def current_state(run: Path) -> str | None:
    """One of `STATES`, or ``crashed`` for a run that says running and is not; None where there is no status."""
    status = read_status(run)
    if status is None:
        return None
    return CRASHED if status.state == RUNNING and not is_alive(status) else status.state


def _start_of_process(pid: int) -> float | None:
    """Seconds since the epoch, 0 where the system does not say; None where no such process runs."""
    if not is_running(pid):
        return None
    try:
        # Behind the name in brackets (which may hold blanks): the state, and 19 fields on the start in clock ticks.
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0
    if words[0] in "ZX":  # ended, and not yet collected by its parent
        return None
    return datetime.now().timestamp() - uptime + int(words[19]) / os.sysconf("SC_CLK_TCK")
