"""Runs of ``simswap-train`` in processes of their own, to be killed: forked from a server that has imported it once."""

import functools
import itertools
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from simswap.launching import stops
from simswap.train import main
from simswap.training import checkpoint_files
from simswap.training.module import SimSwapModule
from simswap.training.validation import Validation
from tests.waiting import DEADLINE, end_group

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["simswap.train", "tests.training.runs"])

SMALL = [
    "experiment=debug", "logger.mode=disabled", "trainer.accelerator=cpu", "threads=1",
    "data.fractions={train: 0.5, val: 0.25, test: 0.25}", "objective.feature_matching={first_layer: 1, last_layer: 2}",
]  # fmt: skip
"""A run of debug size on the suite's 32-px crops."""

LONG = [
    *SMALL, "data.workers=2", "data.augmentation={flip: 0.5, color: 0.2}", "trainer.max_steps=10",
    "trainer.val_check_interval=4", "trainer.log_every_n_steps=3", "checkpoints.every=2", "samples.every=3",
    "optimizer.schedule=cosine", "optimizer.warmup=2", "optimizer.total_iterations=10",
]  # fmt: skip
"""A run of ten iterations with every kind of state that a checkpoint holds."""


def start(arguments: list[str], output: Path, trouble: str = "") -> BaseProcess:
    """``simswap-train`` with these arguments; its output goes behind what ``output`` holds.

    trouble: what happens to the process. ``writing N``: it is killed (signal 9) halfway through the N-th checkpoint
    file that it writes; ``naming N``: when that is written and the files are about to change their names; ``full N``:
    the disk is full at the N-th; ``SIGTERM N``: its whole process group gets this signal in its N-th iteration;
    ``validation N``: it gets SIGHUP in the N-th batch of a validation; ``starving N``: in its N-th iteration the
    workers are halted, and it gets SIGTERM when it waits for one; ``orphaned N``: a worker is killed (signal 9) then;
    ``shm 0``: there is no shared memory.
    """
    process = _context.Process(target=_run, args=(arguments, str(output), trouble))
    process.start()
    return process


def finish(arguments: list[str], output: Path, trouble: str = "", seconds: float = DEADLINE) -> int:
    """`start`, and wait for its exit code: below 0, a signal."""
    process = start(arguments, output, trouble)
    process.join(seconds)
    if process.exitcode is None:
        kill(process)
        raise AssertionError(f"it did not end in {seconds} s: {output.read_text()[-2000:]}")
    return process.exitcode


def kill(process: BaseProcess) -> None:
    """Signal 9 to it, and to its loader's workers when it is gone: nothing of a run outlives its test."""
    process.kill()
    process.join()
    assert process.pid is not None
    end_group(process.pid)


def _run(arguments: list[str], output: str, trouble: str) -> None:
    os.setsid()
    # What a killed process can not remove any more stays in its test's own folder.
    os.environ["TMPDIR"] = tempfile.tempdir = str(Path(output).parent)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # as in a process that nobody forked: for the loader's workers
    if trouble:
        _arrange(*trouble.split())
    sys.argv = ["simswap-train", *arguments]
    main()


def _arrange(how: str, count: str) -> None:
    if how.startswith("SIG"):
        _patch(SimSwapModule, "training_step", int(count), lambda: os.killpg(0, getattr(signal, how)))
    elif how == "validation":
        _patch(Validation, "step", int(count), lambda: os.killpg(0, signal.SIGHUP))
    elif how == "starving":
        _patch(SimSwapModule, "training_step", int(count), _starve)
    elif how == "orphaned":
        _patch(
            SimSwapModule,
            "training_step",
            int(count),
            lambda: os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL),
        )
    elif how == "shm":

        def no_space(_: torch.Tensor) -> None:
            raise RuntimeError(
                "unable to allocate shared memory(shm) for file </torch_1_2_3>: No space left on device (28)"
            )

        torch.Tensor.share_memory_ = no_space  # type: ignore[assignment]
    elif how == "full":
        limit = (2_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
        _patch(checkpoint_files, "save_unlocked", int(count), lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    elif how == "writing":
        whole = checkpoint_files.save_unlocked

        def half(content: Any, part: Path) -> None:
            whole(content, part)
            os.truncate(part, part.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

        _patch(checkpoint_files, "save_unlocked", int(count), lambda: setattr(checkpoint_files, "save_unlocked", half))
    else:
        replace = os.replace

        def rename(old: Any, new: Any) -> None:
            if Path(new).name == "last.ckpt":
                os.kill(os.getpid(), signal.SIGKILL)
            replace(old, new)

        _patch(checkpoint_files, "save_unlocked", int(count), lambda: setattr(os, "replace", rename))


def _starve() -> None:
    workers = [child.pid or 0 for child in multiprocessing.active_children()]
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    print("halted", *workers, flush=True)

    def ask() -> None:
        waited = 0
        while waited < 20:  # not for a batch that was ready
            time.sleep(0.05)
            waited = waited + 1 if stops._state.interruptible else 0
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=ask, daemon=True).start()


def _patch(owner: Any, name: str, count: int, happens: Callable[[], Any]) -> None:
    """Let something happen just before the ``count``-th call."""
    original, calls = getattr(owner, name), itertools.count(1)

    @functools.wraps(original)
    def patched(*arguments: Any, **keywords: Any) -> Any:
        if next(calls) == count:
            happens()
            if getattr(owner, name) is not patched:
                return getattr(owner, name)(*arguments, **keywords)
        return original(*arguments, **keywords)

    setattr(owner, name, patched)


def content_of(run: Path) -> dict[str, Any]:
    """Everything that a run leaves and that must not depend on how often it was killed, in comparable form."""
    content: dict[str, Any] = {}
    for name in ("last.ckpt", "best.ckpt"):
        checkpoint = torch.load(run / "checkpoints" / name, weights_only=True)
        del checkpoint["simswap"]["config"]  # names the run's folder to resume
        checkpoint["loops"] = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        content |= {f"{name}:{key}": value for key, value in _flat(checkpoint).items()}
    content["metrics.csv"] = (run / "metrics.csv").read_text()
    for grid in (run / "samples").iterdir():
        content[grid.name] = grid.read_bytes()
    return content


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Names of what is not the same to the bit."""
    return [name for name in sorted(one.keys() | other.keys()) if not _same(one.get(name), other.get(name))]


def _same(a: Any, b: Any) -> bool:
    return torch.equal(a, b) if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) else bool(a == b)


def _flat(node: Any, path: str = "") -> dict[str, Any]:
    if isinstance(node, dict | list | tuple) and node:
        items = node.items() if isinstance(node, dict) else enumerate(node)
        return {k: v for key, value in items for k, v in _flat(value, f"{path}.{key}").items()}
    return {path: node}
