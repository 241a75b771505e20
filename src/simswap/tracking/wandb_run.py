"""A run in W&B: begun or gone on with under the name that it has there, online where that can be, and ended."""

import json
import os
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from simswap.errors import InputError
from simswap.files import whole_file
from simswap.tracking.wandb_history import offline_fragments

MODES = ("auto", "online", "offline", "disabled")


class KnownAs(NamedTuple):
    """As what W&B knows a run. Every start gives all of it: what it left out, W&B would set anew."""

    id: str
    name: str
    group: str | None
    job_type: str
    project: str


def known_as(run: Path) -> KnownAs | None:
    """As what W&B knows the run since its last start, from ``<run>/wandb/run.json``; None: it never began there."""
    file = run / "wandb" / "run.json"
    return KnownAs(**json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


def remember(run: Path, called: KnownAs) -> None:
    """Write it down for the next start."""
    with whole_file(run / "wandb" / "run.json") as part:
        part.write_text(json.dumps(called._asdict(), indent=1), encoding="utf-8")


def settled_mode(mode: str) -> str:
    """``online``, ``offline`` or ``disabled``; ``auto`` is WANDB_MODE where it is set, else online.

    Raises InputError for another word.
    """
    if mode not in MODES:
        raise InputError(f"logger.mode is {mode!r}: choose one of {', '.join(MODES)}")
    if mode == "auto":
        mode = os.environ.get("WANDB_MODE", "online")
        mode = {"dryrun": "offline", "run": "online"}.get(mode, mode)  # W&B's former names
        if mode not in MODES[1:]:
            raise InputError(f"WANDB_MODE is {mode!r}: choose one of {', '.join(MODES[1:])}, or unset it")
    return mode


def begin(
    run: Path, called: KnownAs, mode: str, *, goes_on: bool, config: Mapping[str, Any] | None = None,
    init_timeout: float = 10.0, finish_timeout: float = 60.0,
) -> Any:
    """W&B's own run object, its files below ``<run>/wandb/``.

    mode: ``online`` or ``offline``; where online cannot be, it goes on offline under an id of its own, and says so. A
    run that has begun offline stays so.
    goes_on: W&B has begun this id before.
    """
    import wandb

    arguments = _arguments(run, called, goes_on, config, init_timeout, finish_timeout)
    if _stays_offline(run, called, mode):
        return wandb.init(mode="offline", **arguments)
    experiment, reason = _try_online(arguments)
    if experiment is None:
        # Under an id of its own: W&B's service still holds the other one, and would refuse it.
        experiment = wandb.init(mode="offline", **(arguments | {"id": uuid.uuid4().hex[:8], "resume": None}))
        say(f"W&B goes on offline ({reason}); to upload: wandb sync {folder_of(experiment)}")
    else:
        say(f"W&B: {experiment.url}")
    return experiment


def go_on(run: Path, called: KnownAs, mode: str) -> tuple[Any, str]:
    """A run that has begun, to add to what it holds: W&B's run object, or None and why the server did not take it."""
    import wandb

    arguments = _arguments(run, called, True, None, 10.0, 60.0)
    if _stays_offline(run, called, mode):
        return wandb.init(mode="offline", **arguments), ""
    return _try_online(arguments)


def _stays_offline(run: Path, called: KnownAs, mode: str) -> bool:
    """Of a run with offline fragments the server knows nothing yet: its history stays in one place."""
    return mode == "offline" or bool(offline_fragments(run, called.id))


def _arguments(
    run: Path, called: KnownAs, goes_on: bool, config: Mapping[str, Any] | None, init_timeout: float,
    finish_timeout: float,
) -> dict[str, Any]:
    import wandb

    return {
        **called._asdict(),
        "resume": "allow" if goes_on else None,
        "dir": str(run),
        "config": config,
        "settings": wandb.Settings(
            init_timeout=init_timeout,
            finish_timeout=finish_timeout,
            finish_timeout_raises=True,
            silent=True,  # what there is to say, is said here in one line
            console="off",
            reinit="finish_previous",  # or a sweep's second job would log into the first one's run
        ),
    }


def _try_online(arguments: Mapping[str, Any]) -> tuple[Any, str]:
    """W&B's run object; None and the reason in a few words where there is no login or the server does not answer."""
    import wandb

    try:
        with _no_terminal():
            return wandb.init(mode="online", **arguments), ""
    except (wandb.Error, ValueError, TimeoutError, ConnectionError) as error:
        # W&B puts "<no message>" where the server refused the login.
        reason = str(error).replace("<no message>", "the server refused the login").strip() or repr(error)
        return None, reason.splitlines()[0].rstrip(".: ")


@contextmanager
def _no_terminal() -> Iterator[None]:
    """Hide the terminal's input: without a login W&B would ask for a key on it and wait for the answer."""
    terminal = sys.stdin
    with open(os.devnull, encoding="utf-8") as nothing:
        sys.stdin = nothing
        try:
            yield
        finally:
            sys.stdin = terminal


def end(experiment: Any, failed: bool = False) -> None:
    """End the run in W&B; what the server does not take in time stays on the disk, and is said."""
    try:
        experiment.finish(exit_code=1 if failed else 0)
    except TimeoutError:
        say(f"W&B did not take the rest of the run in time; to upload: wandb sync {folder_of(experiment)}")


def folder_of(experiment: Any) -> Path:
    return Path(experiment.dir).parent  # .dir is the run's folder of uploaded files, below it


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
