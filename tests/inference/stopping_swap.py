"""``simswap-swap`` in processes of their own, in the midst of whose videos a signal comes; forked from a server."""

import hashlib
import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path

import numpy as np

from simswap import swap
from simswap.faces.detection import Face
from simswap.inference.finding import PhotoFaceFinder
from simswap.inference.swapper import PhotoSwapper
from simswap.inference.video import finding, segments
from simswap.launching import stops
from tests.waiting import DEADLINE

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["simswap.swap", "tests.inference.stopping_swap"])
LANDMARKS = np.array([[25.5, 28.3], [38.5, 28.3], [32, 40], [26, 45.7], [38, 45.7]])
"""Of every picture of 64 px."""


def finish(arguments: list[str], output: Path, stop: str = "") -> int:
    """Run the command and return its exit code; what it prints goes into ``output``.

    stop: ``finding SIGTERM``: it gets the signal on the 15th picture that the detector sees; ``swapping SIGINT``: in
    the 5th batch. That picture or batch takes longer than work that may end at once has time for.
    """
    process = _context.Process(target=_run, args=(arguments, str(output), stop))
    process.start()
    process.join(DEADLINE)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError(f"it did not end: {output.read_text()[-2000:]}")
    return process.exitcode


def _run(arguments: list[str], output: str, stop: str) -> None:
    with open(output, "w") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    finding.CHUNK, segments.SEGMENT_SECONDS, stops.LEAVING_SECONDS = 10, 0.5, 0.1
    detect, swapped = _Fixed.detect, PhotoSwapper.swap_identities
    place, _, name = stop.partition(" ")
    if place == "finding":
        _Fixed.detect = _stopped(detect, 15, name)
    elif place == "swapping":
        PhotoSwapper.swap_identities = _stopped(swapped, 5, name)
    swap._finder = lambda cfg: PhotoFaceFinder(_Fixed())
    sys.argv = ["simswap-swap", *arguments]
    swap.main()


class _Fixed:
    """A detector to which every picture shows a face at `LANDMARKS`."""

    name, sha256, settings = "fixed", "0" * 64, {}

    def detect(self, image):
        return [Face(np.array([12.0, 8, 52, 60]), LANDMARKS, 0.9)]


def _stopped(work, number, name):
    """``work`` on whose n-th call the signal comes, in a step of the interpreter that takes long."""
    calls = []

    def counted(*given):
        calls.append(None)
        if len(calls) == number:
            # from a thread: `os.kill` in this one would run the handler at once
            threading.Timer(0.05, os.kill, (os.getpid(), getattr(signal, name))).start()
            while True:
                hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000)
        return work(*given)

    return counted
