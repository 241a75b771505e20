"""GPUs of this machine lent to one job at a time, over all sweeps and processes of a user.

Each GPU is a lock file; the system gives the lock back when its holder ends, killed or not.
"""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from simswap.errors import InputError

POLL_SECONDS = 0.5


@contextmanager
def lent(pool: Sequence[Any], count: int, folder: Path | None = None) -> Iterator[list[str]]:
    """Wait for ``count`` free GPUs of ``pool`` and keep them until the block ends; gives their ids.

    folder: of the lock files; by default the user's own in the system's folder of temporary files.
    Raises InputError where the pool is too small, or names a GPU twice.
    """
    ids = [str(device) for device in pool]
    if len(set(ids)) != len(ids):
        raise InputError(f"strategy.gpu_pool={ids} names a GPU twice")
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
        mine: list[tuple[str, IO[str]]] = []
        for device in ids:
            if len(mine) == count:
                break
            file: IO[str] = (folder / f"{device}.lock").open("a")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            mine.append((device, file))
        if len(mine) == count:
            for _, file in mine:
                held.callback(file.close)
            return [device for device, _ in mine]
        for _, file in mine:  # all or none: two jobs that each hold a part would wait for each other
            file.close()
        time.sleep(POLL_SECONDS)
