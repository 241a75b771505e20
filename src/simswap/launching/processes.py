"""Running a job in its own processes: starting them from the composed configuration, watching them, their outcome.

The parent does not train. A rank that crashes ends neither the parent nor a sweep, and what a job leaves in its process
(environment, process group, CUDA, W&B) ends with it.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from simswap.errors import InputError, JobFailed
from simswap.files import atomic_write
from simswap.launching import stops
from simswap.launching.ranks import HANDOFF
from simswap.launching.system import end_with
from simswap.launching.system_errors import explain_system
from simswap.settings.paths import escape_tree
from simswap.settings.targets import check_targets
from simswap.settings.trusted import ENVIRONMENT, trust, trusted_packages

PARENT = "SIMSWAP_PARENT"
GRACE_SECONDS = 20.0
"""How long the other ranks may take to end, and to close their logs, after one has failed."""

STOP_SECONDS = 3.0
"""The same after a signal that requests a stop."""

log = logging.getLogger(__name__)


def run_in_processes(module: str, cfg: DictConfig, environments: Sequence[Mapping[str, str]]) -> Any:
    """Run a command's module in several processes and return rank 0's value.

    It must be called inside a Hydra job. Signals that request a stop (`simswap.launching.stops`) are passed on.

    Args:
        module: The module, as for ``python -m``.
        cfg: The job's composed and checked configuration.
        environments: For each process, rank 0 first, the variables that it gets in addition to this environment.

    Raises:
        InputError: The job raised it.
        KeyboardInterrupt: The job raised it.
        JobFailed: A process failed or was killed; the others are stopped.
    """
    with tempfile.TemporaryDirectory(prefix="simswap-") as name:
        folder = Path(name)
        hydra = OmegaConf.create({"hydra": HydraConfig.get()})
        # Resolved here, because ${now:} and ${hydra:job.num} have other values in another process.
        handed = OmegaConf.to_container(cfg, resolve=True)
        assert isinstance(handed, dict)
        handed["hydra"] = _plain_hydra(hydra)
        (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(escape_tree(handed))), encoding="utf-8")
        processes = [_start(module, folder, rank, more) for rank, more in enumerate(environments)]
        with stops.watched():
            try:
                with _signals_passed_on(processes):
                    first_failed = _watch(processes)
            finally:
                for process in processes:
                    if process.poll() is None:
                        process.kill()
                    process.wait()
            return _outcome(folder, processes, first_failed)


def _plain_hydra(cfg: DictConfig) -> Any:
    """The parts of Hydra's node that a job reads; the other parts refer to keys outside of it."""
    hydra = cfg.hydra
    kept = ("overrides", "job", "runtime", "mode", "job_logging", "verbose")
    plain: dict[str, Any] = {}
    for key in kept:
        value = hydra[key]
        plain[key] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    plain["mode"] = RunMode(plain["mode"]).name
    return plain


def _start(module: str, folder: Path, rank: int, more: Mapping[str, str]) -> subprocess.Popen:
    own = {HANDOFF: str(folder), PARENT: str(os.getpid()), "RANK": str(rank), ENVIRONMENT: ",".join(trusted_packages())}
    environment = os.environ | dict(more) | own
    # In its own session, so that Ctrl-C on the terminal reaches only the parent, which passes it on once.
    return subprocess.Popen([sys.executable, "-m", module], env=environment, start_new_session=True)


def _watch(processes: Sequence[subprocess.Popen]) -> int | None:
    """Wait for all processes; after a failure the others get `GRACE_SECONDS`. Returns the rank that failed first."""
    failed, deadline = None, float("inf")
    while any(process.poll() is None for process in processes):
        if failed is None:
            failed = next((rank for rank, p in enumerate(processes) if p.poll() not in (None, 0)), None)
            if failed is not None:
                deadline = time.monotonic() + min(GRACE_SECONDS, STOP_SECONDS if stops.asked() else GRACE_SECONDS)
        if stops.asked():
            for process in processes:
                if _is_halted(process.pid):
                    process.kill()  # it cannot handle the signal
        if time.monotonic() > deadline:
            for process in processes:
                process.kill()  # a rank would wait for a dead one until its collectives time out
        time.sleep(0.05)
    return failed if failed is not None else next((r for r, p in enumerate(processes) if p.returncode), None)


def _is_halted(pid: int) -> bool:
    """Whether a process was halted (SIGSTOP, Ctrl-Z); False if the system does not tell."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"
    except (OSError, IndexError):
        return False


@contextmanager
def _signals_passed_on(processes: Sequence[subprocess.Popen]) -> Iterator[None]:
    def pass_on(number: int, frame: FrameType | None) -> None:
        stops.heard()
        for process in processes:
            if process.poll() is None:
                process.send_signal(number)

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can take signals
        return
    earlier = {number: signal.signal(number, pass_on) for number in stops.taken()}
    stops.enter(stops.SUPERVISING)
    try:
        yield
    finally:
        stops.enter(stops.LEAVING)
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _outcome(folder: Path, processes: Sequence[subprocess.Popen], first_failed: int | None) -> Any:
    outcomes = {}
    for rank in range(len(processes)):
        file = folder / f"{rank}.json"
        if file.is_file():
            outcomes[rank] = json.loads(file.read_text(encoding="utf-8"))
    if first_failed is None:
        return _value(outcomes[0]["value"])
    if stops.asked():
        raise KeyboardInterrupt(next((o["text"] for o in outcomes.values() if o["kind"] == "interrupt"), ""))
    failures = {rank: outcome for rank, outcome in outcomes.items() if outcome["kind"] != "done"}
    killed = [rank for rank, p in enumerate(processes) if p.returncode and rank not in outcomes]
    if first_failed in killed or not failures:
        how = processes[first_failed].returncode
        words = f"was killed by signal {-how} ({signal.Signals(-how).name})" if how < 0 else f"left with code {how}"
        raise JobFailed(f"{_who(first_failed, len(processes))} {words}{_rest(len(processes))}")
    # The others fail because this one no longer answers: the first failure is the cause.
    rank, first = min(failures.items(), key=lambda item: item[1]["time"])
    if first["kind"] == "input":
        raise InputError(first["text"])
    if first["kind"] == "interrupt":
        raise KeyboardInterrupt(first["text"])
    raise JobFailed(f"{_who(rank, len(processes))} failed: {first['text']}{_rest(len(processes))}", first["trace"])


def _who(rank: int, count: int) -> str:
    return f"rank {rank} of {count}" if count > 1 else "the job's process"


def _rest(count: int) -> str:
    return "; the other ranks were stopped" if count > 1 else ""


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value  # JSON knows no tuples


def run_handed_over(job: Callable[[DictConfig], Any]) -> int:
    """Run the job as one of the processes of `run_in_processes`; returns the exit code."""
    end_with(int(os.environ[PARENT]))  # without its parent, nobody would watch or end this process
    folder, rank = Path(os.environ[HANDOFF]), int(os.environ["RANK"])
    trust(name for name in os.environ.get(ENVIRONMENT, "").split(",") if name)
    cfg = OmegaConf.load(folder / "config.yaml")
    assert isinstance(cfg, DictConfig)
    check_targets(OmegaConf.to_container(cfg, resolve=False))
    hydra = OmegaConf.merge(OmegaConf.structured(HydraConf), cfg.pop("hydra"))
    HydraConfig.instance().set_config(OmegaConf.create({"hydra": hydra}))
    if rank == 0:
        configure_log(hydra.job_logging, hydra.verbose)
    outcome: dict[str, Any]

    def tell(outcome: dict[str, Any]) -> None:
        with atomic_write(folder / f"{rank}.json") as part:
            part.write_text(json.dumps(outcome | {"time": time.time()}), encoding="utf-8")

    try:
        with stops.obeyed(), stops.last_words(lambda how: tell({"kind": "interrupt", "text": how or ""})):
            outcome = {"kind": "done", "value": job(cfg)}
    except InputError as error:
        outcome = {"kind": "input", "text": str(error)}
    except KeyboardInterrupt as interrupt:
        outcome = {"kind": "interrupt", "text": str(interrupt)}
    except Exception as error:
        line = explain_system(error)
        outcome = (
            {"kind": "input", "text": line}
            if line
            else {"kind": "fault", "text": one_line(error), "trace": traceback.format_exc()}
        )
    tell(outcome)
    return 0 if outcome["kind"] == "done" else 1


def one_line(error: BaseException) -> str:
    """An error's class and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
