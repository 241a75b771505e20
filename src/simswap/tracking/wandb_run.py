"""A run in W&B: starting or resuming it under one identity, online if possible, and ending it."""

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from simswap.files import atomic_write
from simswap.settings.wandb_environment import (
    folder_for,
    given,
    id_of_new_run,
    is_silent,
    no_terminal,
    say,
    say_once,
    tags,
    tidied,
)
from simswap.tracking.wandb_history import offline_fragments

LONGEST_NAME = 128
"""The longest name of runs and groups that W&B accepts."""
DEFAULT_PROJECT = "simswap"


class KnownAs(NamedTuple):
    """The identity of a run in W&B. Every start passes all of it, because W&B would reset what is left out.

    ``folders`` are further folders, besides the run's own, with W&B files in ``wandb/``.
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
    """The run's identity in W&B, from ``<run>/wandb/run.json``; None if it never started there."""
    file = run / "wandb" / "run.json"
    if not file.is_file():
        return None
    found = json.loads(file.read_text(encoding="utf-8"))
    lists = {key: tuple(found[key]) for key in ("tags", "folders") if key in found}
    return KnownAs(**{key: value for key, value in found.items() if key in KnownAs._fields} | lists)


def remember(run: Path, called: KnownAs) -> None:
    """Store the identity for the next start."""
    with atomic_write(run / "wandb" / "run.json") as part:
        part.write_text(json.dumps(called._asdict(), indent=1), encoding="utf-8")


def to_be_known_as(
    run: Path, name: str | None, group: str | None, job_type: str, project: str | None, entity: str | None
) -> KnownAs:
    """The identity of a run in W&B.

    A resumed run keeps its identity. For a new one, W&B's variables have precedence over the arguments, except for
    project and entity, where it is the other way around.
    """
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
            say_once(f"W&B: {', '.join(unused)} not used: the run continues as {before.name} of {before.project}")
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
    """The identity with what W&B decided itself: the id of an agent's run, the account of the login."""
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
    code: bool = True,
) -> Any:
    """Start or resume a run; its files are below ``<run>/wandb/``.

    Args:
        run: The run folder.
        called: Its identity.
        mode: ``online`` or ``offline``. Without a login or a server it continues offline under a new id, with a line
            that says so. A run that started offline stays offline.
        goes_on: Whether W&B has started this id before.
        config: The resolved config.
        init_timeout: Seconds to wait for the server.
        finish_timeout: Seconds that the upload may take at the end.
        code: Whether W&B records the repository of the current folder and the versions of all packages.

    Returns:
        W&B's run object.
    """
    arguments = _arguments(run, called, goes_on, config, init_timeout, finish_timeout, code)
    if _stays_offline(run, called, mode):
        return _init("offline", arguments)
    experiment, reason = _try_online(arguments)
    if experiment is None:
        # Under a new id: W&B's service still holds the other one and would refuse it.
        experiment = _init("offline", arguments | {"id": uuid.uuid4().hex[:8], "resume": None})
        say(f"W&B continues offline ({reason}); to upload: wandb sync {folder_of(experiment)}")
    elif not is_silent():
        say(f"W&B: {experiment.url}")
    return experiment


def go_on(
    run: Path, called: KnownAs, mode: str, *, config: Mapping[str, Any] | None = None, like: KnownAs | None = None
) -> tuple[Any, str]:
    """Resume a run to add to it, or begin one beside another.

    Args:
        run: The run folder.
        called: The identity.
        mode: ``online`` or ``offline``.
        config: What to add to the config.
        like: The other run, if this one is new: it is offline if the other is.

    Returns:
        W&B's run object, or None and the reason why the server did not accept it.
    """
    arguments = _arguments(run, called, like is None, config, 10.0, 60.0, like is not None)
    if _stays_offline(run, like or called, mode):
        return _init("offline", arguments), ""
    return _try_online(arguments)


def _stays_offline(run: Path, called: KnownAs, mode: str) -> bool:
    """Whether the run stays offline: the server does not know runs with offline fragments yet."""
    return mode == "offline" or bool(offline_fragments(run, called.id))


def _arguments(
    run: Path,
    called: KnownAs,
    goes_on: bool,
    config: Mapping[str, Any] | None,
    init_timeout: float,
    finish_timeout: float,
    code: bool,
) -> dict[str, Any]:
    import wandb

    names = called._asdict()
    del names["folders"]
    if given("WANDB_SWEEP_ID"):  # W&B's agent has set these and would complain
        names |= {"id": None, "project": None, "entity": None}
    settings: dict[str, Any] = {
        "init_timeout": None if given("WANDB_INIT_TIMEOUT") else init_timeout,
        "silent": None if given("WANDB_SILENT") else True,  # reported here in one line instead
        "console": None if given("WANDB_CONSOLE") else "off",
        **({} if code else {"disable_git": True, "x_save_requirements": False}),
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
            reinit="finish_previous",  # otherwise a sweep's second job would log into the first one's run
            **{key: value for key, value in settings.items() if value is not None},
        ),
    }


def _try_online(arguments: Mapping[str, Any]) -> tuple[Any, str]:
    """W&B's run object, or None and the reason: no login, or no answer from the server."""
    import wandb

    try:
        with no_terminal():
            return _init("online", arguments), ""
    except (wandb.Error, ValueError, TimeoutError, ConnectionError) as error:
        return None, reason_of(error)


def reason_of(error: Exception) -> str:
    """Why W&B did not start, in a few words."""
    # W&B puts "<no message>" where the server refused the login.
    reason = str(error).replace("<no message>", "the server refused the login").strip() or repr(error)
    return reason.splitlines()[0].rstrip(".: ")


def _init(mode: str, arguments: Mapping[str, Any]) -> Any:
    import wandb

    with tidied():
        return wandb.init(mode=mode, **arguments)  # type: ignore[arg-type]


def end(experiment: Any, failed: bool = False) -> None:
    """End the run in W&B; reports what the server did not accept in time, which stays on disk."""
    try:
        experiment.finish(exit_code=1 if failed else 0)
    except TimeoutError:
        say(f"W&B did not accept the rest of the run in time; to upload: wandb sync {folder_of(experiment)}")


def folder_of(experiment: Any) -> Path:
    """The folder of a W&B run's files."""
    return files_of(experiment).parent


def files_of(experiment: Any) -> Path:
    """The folder of the files that W&B uploads as they are."""
    return Path(experiment.dir)
