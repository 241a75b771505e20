"""Checks that a run has ended and that its checkpoint is still the one that was measured."""

from pathlib import Path
from typing import TYPE_CHECKING

from simswap.errors import InputError
from simswap.files import sha256_of
from simswap.tracking.status import CRASHED, FINISHED, INTERRUPTED, RUNNING, Status, current_state, read_status

if TYPE_CHECKING:
    from simswap.comparison.run import SwapperRow


def check_state(folder: Path) -> Status | None:
    """The run's status. Raises InputError unless it has finished or was interrupted."""
    state, status = current_state(folder), read_status(folder)
    if status is None or state in (FINISHED, INTERRUPTED):
        return status
    at = f"at iteration {status.iteration}"
    if state == RUNNING:
        raise InputError(f"{folder} is still running ({at}): compare it when it has finished")
    why = "its process is gone" if state == CRASHED else status.message or "see its log"
    raise InputError(f"{folder} {state} {at} ({why}): resume it with simswap-train resume={folder}, or leave it out")


def check_current(folder: Path, evaluation: Path, measured: "SwapperRow", status: Status | None) -> None:
    """Raise InputError if a run's checkpoint is no longer the one that was measured.

    Its hash is compared if the file is newer than the evaluation; ``last.ckpt`` must also be at the run's iteration.
    """
    name = Path(measured.checkpoint).name
    if not name:
        return
    file = folder / "checkpoints" / name
    changed = (
        file.is_file()
        and measured.sha256
        and file.stat().st_mtime_ns > evaluation.stat().st_mtime_ns
        and sha256_of(file) != measured.sha256
    )
    now = status.iteration if status and name == "last.ckpt" else None
    behind = None not in (now, measured.iteration) and now != measured.iteration
    if changed or behind:
        then = "" if measured.iteration is None else f" at iteration {measured.iteration}"
        told = f" (it is at {now} now)" if behind else ""
        raise InputError(
            f"{evaluation} measured {name}{then}, and the run has changed it since{told}: run "
            f"simswap-evaluate checkpoint={file} again"
        )
