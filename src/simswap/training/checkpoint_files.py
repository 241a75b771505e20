"""The checkpoint files of a run: their names, how they are written, and the thread that writes them."""

import errno
import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from lightning.fabric.plugins import TorchCheckpointIO

from simswap.compat.torch import save_unlocked
from simswap.errors import InputError
from simswap.files import atomic_write
from simswap.launching.stops import saving
from simswap.training.snapshot import Snapshots

NEXT, NEWEST, BEFORE, BEST = "next.ckpt", "last.ckpt", "previous.ckpt", "best.ckpt"
NEWEST_FIRST = (NEXT, NEWEST, BEFORE)
"""Where to look for a checkpoint to resume from; ``next.ckpt`` is there for the moment in which it takes its place."""


class WholeFiles(TorchCheckpointIO):
    """Lightning's access to checkpoint files, atomic: written under another name, flushed to disk, then renamed.

    Lightning's own writes to the system's temporary folder, which on another disk means a copy instead of a rename, and
    never flushes.

    Raises:
        InputError: a file cannot be written, as on a full disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write the file atomically."""
        write_checkpoint(checkpoint, Path(path))


def write_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint's content atomically and durably. Raises InputError if the file cannot be written."""
    with atomic_write(path, durable=True) as part:
        try:
            save_unlocked(checkpoint, part)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise OSError("the disk is full, or a limit is reached") from error


class CheckpointWriter:
    """Writes the checkpoints of a run in a thread, one at a time and in order, while the training goes on.

    ``with CheckpointWriter(run)``: at the end of the block the last one is written. The thread lives as long as it
    writes, and the process never forks meanwhile (the workers of a loader), because a child would inherit its locks.

    Args:
        run: The run's folder.
    """

    def __init__(self, run: Path) -> None:
        self.folder, self._how = run / "checkpoints", f"resume from it with simswap-train resume={run}"
        self._snapshots = Snapshots()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        _writers.add(self)

    def __enter__(self) -> "CheckpointWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.join()
        if error is None:
            self.check()

    def write(self, name: str, content: dict[str, Any], then: Callable[[], None] | None = None) -> None:
        """Write a file of the content as it is now; waits for the one before it.

        Args:
            name: The file's name.
            content: The checkpoint, whose tensors may change after this call.
            then: Called in the thread when the file is on the disk.

        Raises:
            InputError: An earlier file could not be written; the line says which checkpoint is complete.
        """
        self.wait()
        copied = self._snapshots.take(content)
        arguments = (self.folder / name, copied, then)
        thread = threading.Thread(target=self._write, args=arguments, name="checkpoint writer")
        thread.start()
        self._thread = thread  # only once it runs: a thread that could not start cannot be joined

    def check(self) -> None:
        """Raise the error of an earlier file, once. InputError with the checkpoint to resume from, if it is one."""
        error, self._error = self._error, None
        if isinstance(error, InputError):
            kept = self.folder / NEWEST
            how = f"{kept} is complete: {self._how}" if kept.is_file() else "there is no checkpoint yet"
            raise InputError(f"{error}; {how}") from error
        if error is not None:
            raise error

    def is_writing(self) -> bool:
        """Whether a file is being written."""
        return self._thread is not None and self._thread.is_alive()

    def wait(self) -> None:
        """Wait until the file is on the disk. Raises as `check` does."""
        self.join()
        self.check()

    def join(self) -> None:
        """Wait until no file is being written; an error is kept for `check`."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _write(self, path: Path, content: dict[str, Any], then: Callable[[], None] | None) -> None:
        try:
            with saving():
                self._snapshots.wait()
                write_checkpoint(content, path)
                if then is not None:
                    then()
        except BaseException as error:  # the training's thread raises it
            self._error = error


_writers: "weakref.WeakSet[CheckpointWriter]" = weakref.WeakSet()


def _join_all() -> None:
    for writer in list(_writers):
        writer.join()


os.register_at_fork(before=_join_all)
