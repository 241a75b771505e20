"""``status.json`` of a run folder: the run's progress and how it ended."""

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
"""The state, according to `current_state`, of a run recorded as running whose process is gone."""


@dataclass(frozen=True)
class Status:
    """The content of status.json.

    Attributes:
        state: One of `STATES`.
        iteration: The number of completed iterations.
        message: Why the run ended, one line; empty if it has not, or ended normally.
        host: The machine of rank 0.
        pid: The process of rank 0.
        package_version: The version that wrote it.
        updated: When it was written, in ISO format with a time zone.
    """

    state: str
    iteration: int
    message: str
    host: str
    pid: int
    package_version: str
    updated: str


def write_status(run: Path, state: str, iteration: int, message: str = "") -> None:
    """Write ``<run>/status.json`` atomically for this process; ranks other than 0 write nothing.

    Raises:
        ValueError: For an unknown state.
        InputError: If the folder cannot be written to.
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
    """The run's status; None if status.json is missing or not readable."""
    try:
        content = json.loads((run / "status.json").read_text(encoding="utf-8"))
        status = Status(**{field.name: field.type(content[field.name]) for field in fields(Status)})  # type: ignore
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return status if status.state in STATES else None


def is_here(status: Status) -> bool:
    """Whether this machine wrote the status."""
    return status.host == socket.gethostname()


def is_alive(status: Status) -> bool:
    """Whether the run is still running: False if it has ended or its process on this host is gone.

    A process on another host cannot be checked and counts as alive.
    """
    if status.state != RUNNING:
        return False
    if not is_here(status):
        return True
    started = _start_of_process(status.pid)
    # A process that started after the status was written only reuses its number.
    return started is not None and started <= datetime.fromisoformat(status.updated).timestamp() + 1


def current_state(run: Path) -> str | None:
    """One of `STATES`, or ``crashed`` for a run recorded as running whose process is gone; None without a status."""
    status = read_status(run)
    if status is None:
        return None
    return CRASHED if status.state == RUNNING and not is_alive(status) else status.state


def _start_of_process(pid: int) -> float | None:
    """The start of a process in seconds since the epoch; 0 if the system does not tell, None if there is none."""
    if not is_running(pid):
        return None
    try:
        # After the name in brackets, which may contain blanks: the state, and 19 fields later the start in clock ticks.
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0
    if words[0] in "ZX":  # ended, but not yet collected by its parent
        return None
    return datetime.now().timestamp() - uptime + int(words[19]) / os.sysconf("SC_CLK_TCK")
