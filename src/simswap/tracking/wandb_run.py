"""A run in W&B: begun or gone on with under the name that it has there, online where that can be, and ended."""

import json
import os
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from simswap.files import atomic_write
from simswap.tracking.wandb_environment import (
    folder_for,
    given,
    id_of_new_run,
    is_silent,
    say,
    say_once,
    tags,
    tidied,
)
from simswap.tracking.wandb_history import offline_fragments

LONGEST_NAME = 128
"""W&B refuses longer names of runs and groups."""
DEFAULT_PROJECT = "simswap"


class KnownAs(NamedTuple):
    """As what W&B knows a run. Every start gives all of it: what it left out, W&B would set anew.

    folders: where W&B's files lie below ``wandb/``, beside the run's own folder.
    """

    id: str
    name: str
    group: str | None
    job_type: str
    project: str
    entity: str | None = None
    tags: tuple[str, ...] = ()
    notes: str | None = None
    folders: tuple[str, ...] = ()


FOR_NEW_RUNS = {"WANDB_NAME": "name", "WANDB_RUN_GROUP": "group", "WANDB_PROJECT": "project", "WANDB_ENTITY": "entity",
                "WANDB_RUN_ID": "id", "WANDB_NOTES": "notes"}  # fmt: skip


def known_as(run: Path) -> KnownAs | None:
    """As what W&B knows the run since its last start, from ``<run>/wandb/run.json``; None: it never began there."""
    file = run / "wandb" / "run.json"
    if not file.is_file():
        return None
    found = json.loads(file.read_text(encoding="utf-8"))
    lists = {key: tuple(found[key]) for key in ("tags", "folders") if key in found}
    return KnownAs(**{key: value for key, value in found.items() if key in KnownAs._fields} | lists)


def remember(run: Path, called: KnownAs) -> None:
    """Write it down for the next start."""
    with atomic_write(run / "wandb" / "run.json") as part:
        part.write_text(json.dumps(called._asdict(), indent=1), encoding="utf-8")


def to_be_known_as(
    run: Path, name: str | None, group: str | None, job_type: str, project: str | None, entity: str | None
) -> KnownAs:
    """What W&B shall call a run: of one that goes on what it called it before, of a new one what W&B's variables say,
    else what is given here."""
    folder = folder_for(run)
    folders = () if folder == run else (str(folder),)
    before = known_as(run)
    if before is not None:
        unused = [
            variable
            for variable, field in FOR_NEW_RUNS.items()
            if given(variable) not in (None, getattr(before, field))
        ]
        if not given("WANDB_SWEEP_ID") and unused:
            say_once(f"W&B: {', '.join(unused)} not used: the run goes on as {before.name} of {before.project}")
        return before._replace(folders=tuple(dict.fromkeys([*before.folders, *folders])))
    group = given("WANDB_RUN_GROUP") or group
    return KnownAs(
        id_of_new_run() or uuid.uuid4().hex[:8],
        (given("WANDB_NAME") or name or run.name)[:LONGEST_NAME],
        group[:LONGEST_NAME] if group else None,
        job_type,
        project or given("WANDB_PROJECT") or DEFAULT_PROJECT,
        entity or given("WANDB_ENTITY"),
        tags(),
        given("WANDB_NOTES"),
        folders,
    )


def as_it_began(called: KnownAs, experiment: Any) -> KnownAs:
    """With what W&B itself has settled: the id of an agent's run, the account of the login."""
    settled = {key: getattr(experiment, key, None) or getattr(called, key) for key in ("id", "project", "entity")}
    return called._replace(**settled)


def begin(
    run: Path,
    called: KnownAs,
    mode: str,
    *,
    goes_on: bool,
    config: Mapping[str, Any] | None = None,
    init_timeout: float = 10.0,
    finish_timeout: float = 60.0,
) -> Any:
    """W&B's own run object, its files below ``<run>/wandb/``.

    mode: ``online`` or ``offline``; where online cannot be, it goes on offline under an id of its own, and says so. A
    run that has begun offline stays so.
    goes_on: W&B has begun this id before.
    """
    arguments = _arguments(run, called, goes_on, config, init_timeout, finish_timeout)
    if _stays_offline(run, called, mode):
        return _init("offline", arguments)
    experiment, reason = _try_online(arguments)
    if experiment is None:
        # Under an id of its own: W&B's service still holds the other one, and would refuse it.
        experiment = _init("offline", arguments | {"id": uuid.uuid4().hex[:8], "resume": None})
        say(f"W&B goes on offline ({reason}); to upload: wandb sync {folder_of(experiment)}")
    elif not is_silent():
        say(f"W&B: {experiment.url}")
    return experiment


def go_on(run: Path, called: KnownAs, mode: str) -> tuple[Any, str]:
    """A run that has begun, to add to what it holds: W&B's run object, or None and why the server did not take it."""
    arguments = _arguments(run, called, True, None, 10.0, 60.0)
    if _stays_offline(run, called, mode):
        return _init("offline", arguments), ""
    return _try_online(arguments)


def _stays_offline(run: Path, called: KnownAs, mode: str) -> bool:
    """Of a run with offline fragments the server knows nothing yet: its history stays in one place."""
    return mode == "offline" or bool(offline_fragments(run, called.id))


def _arguments(
    run: Path,
    called: KnownAs,
    goes_on: bool,
    config: Mapping[str, Any] | None,
    init_timeout: float,
    finish_timeout: float,
) -> dict[str, Any]:
    import wandb

    names = called._asdict()
    del names["folders"]
    if given("WANDB_SWEEP_ID"):  # W&B's agent has settled these, and would complain
        names |= {"id": None, "project": None, "entity": None}
    settings: dict[str, Any] = {
        "init_timeout": None if given("WANDB_INIT_TIMEOUT") else init_timeout,
        "silent": None if given("WANDB_SILENT") else True,  # what there is to say, is said here in one line
        "console": None if given("WANDB_CONSOLE") else "off",
    }
    return {
        **names,
        "tags": list(called.tags) or None,
        "resume": "allow" if goes_on else None,
        "dir": str(folder_for(run)),
        "config": config,
        "settings": wandb.Settings(
            finish_timeout=finish_timeout,
            finish_timeout_raises=True,
            reinit="finish_previous",  # or a sweep's second job would log into the first one's run
            **{key: value for key, value in settings.items() if value is not None},
        ),
    }


def _try_online(arguments: Mapping[str, Any]) -> tuple[Any, str]:
    """W&B's run object; None and the reason in a few words where there is no login or the server does not answer."""
    import wandb

    try:
        with _no_terminal():
            return _init("online", arguments), ""
    except (wandb.Error, ValueError, TimeoutError, ConnectionError) as error:
        return None, reason_of(error)


def reason_of(error: Exception) -> str:
    """Why W&B did not begin, in a few words."""
    # W&B puts "<no message>" where the server refused the login.
    reason = str(error).replace("<no message>", "the server refused the login").strip() or repr(error)
    return reason.splitlines()[0].rstrip(".: ")


def _init(mode: str, arguments: Mapping[str, Any]) -> Any:
    import wandb

    with tidied():
        return wandb.init(mode=mode, **arguments)  # type: ignore[arg-type]


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
