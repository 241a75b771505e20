"""GPUs of this machine, each used by one job at a time, over all sweeps and processes of a user.

Each GPU has a lock file; the system releases the lock when its holder ends, killed or not.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import Timeout

from simswap.errors import InputError
from simswap.launching.claims import locked

POLL_SECONDS = 0.5


@contextmanager
def lent(pool: Sequence[Any], count: int, folder: Path | None = None) -> Iterator[list[str]]:
    """Wait for free GPUs and hold them until the block ends; yields their ids.

    Args:
        pool: ids of the GPUs to choose from.
        count: GPUs that the job needs.
        folder: of the lock files; by default one per user in the system's folder for temporary files.

    Raises:
        InputError: the pool is too small, or names a GPU twice.
    """
    ids = [str(device) for device in pool]
    if len(set(ids)) != len(ids):
        raise InputError(f"strategy.gpu_pool={ids} lists a GPU twice")
    if count > len(ids):
        raise InputError(
            f"the job needs {count} GPUs, but strategy.gpu_pool={','.join(ids)} has {len(ids)}: set trainer.devices to "
            "at most that, or give a larger pool"
        )
    folder = folder or Path(tempfile.gettempdir()) / f"simswap-gpus-{os.getuid()}"
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        yield _wait_for(ids, count, folder, held)


def _wait_for(ids: Sequence[str], count: int, folder: Path, held: ExitStack) -> list[str]:
    while True:
        mine: list[str] = []
        with ExitStack() as tried:  # all or none: two jobs that each held a part would wait for each other
            for device in ids:
                if len(mine) == count:
                    break
                with suppress(Timeout):
                    tried.enter_context(locked(folder / f"{device}.lock", 0))
                    mine.append(device)
            if len(mine) == count:
                held.push(tried.pop_all())
                return mine
        time.sleep(POLL_SECONDS)
