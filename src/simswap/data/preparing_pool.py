"""Folders processed in this process, or by a pool of workers that end with it."""

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any

import cv2

from simswap.data.aligning import FolderResult, FolderTask, process_folder
from simswap.data.cropping import CropSettings
from simswap.data.workers import leave_signals_to_the_run
from simswap.faces.detection import Detector
from simswap.launching.stops import taken
from simswap.launching.system import keep_freed_memory

Setup = tuple[Path, Path, CropSettings, Detector | None]


def in_process(tasks: Iterator[FolderTask], setup: Setup) -> Generator[FolderResult, None, None]:
    """Results of the tasks, computed in this process."""
    raw, out, crops, detector = setup
    for task in tasks:
        yield process_folder(raw, out, task, crops, detector)


def in_workers(tasks: Iterator[FolderTask], setup: Setup, workers: int) -> Generator[FolderResult, None, None]:
    """Results in order of completion, computed by worker processes.

    Processes are spawned, not forked: the threads of Arrow and OpenCV do not survive a fork.
    """
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(setup, stop))
    pending: set[Future[FolderResult]] = set()
    try:
        while True:
            # Only a few tasks ahead of the workers, so that waiting tasks take no memory. Each may start a worker.
            for task in itertools.islice(tasks, max(0, 4 * workers - len(pending))):
                with _interrupt_held_back():
                    pending.add(pool.submit(_work, task))
            if not pending:
                return
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    finally:
        stop.set()  # each worker ends its current image and stops
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _interrupt_held_back() -> Iterator[None]:
    """Delay signals that ask to stop until the block ends; processes started in it have them blocked.

    This process handles them, and a worker that is still starting would print a stack trace.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set signal handlers
        return
    held: list[int] = []
    before = {number: signal.signal(number, lambda number, frame: held.append(number)) for number in taken()}
    signal.pthread_sigmask(signal.SIG_BLOCK, before)  # unlike the handler, children inherit this
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, before)
        for number, handler in before.items():
            signal.signal(number, handler)
    if held:
        raise KeyboardInterrupt


_worker: tuple[Setup, Callable[[], bool]] | None = None


def _start_worker(setup: Setup, stop: Any) -> None:
    global _worker
    _worker = (setup, stop.is_set)
    leave_signals_to_the_run()
    cv2.setNumThreads(1)
    keep_freed_memory()
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """End this worker with its parent: a parent killed by signal 9 cannot stop it, and it would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(1)


def _work(task: FolderTask) -> FolderResult:
    assert _worker is not None
    (raw, out, crops, detector), stopped = _worker
    return process_folder(raw, out, task, crops, detector, stopped)
