"""W&B's own environment variables, as its documentation has them: those that apply, and a line on those that do not."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from simswap.compat.wandb import take_setting
from simswap.errors import InputError

MODES = ("auto", "online", "offline", "disabled")
TRUE, FALSE = ("true", "1", "yes", "on", "t", "y"), ("false", "0", "no", "off", "f", "n")
OURS = {
    "WANDB_JOB_TYPE": "simswap-compare finds training runs by their job type, train",
    "WANDB_REINIT": "each job of a sweep is a run of its own",
}
"""What stays ours, and why."""


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@lru_cache
def say_once(line: str) -> None:
    """For what each job of a sweep would say again."""
    say(line)


def given(name: str) -> str | None:
    """A variable's value; an empty one counts as none."""
    return os.environ.get(name, "").strip() or None


def is_silent() -> bool:
    """Whether W&B is to say only what has gone wrong."""
    return any((given(name) or "").lower() in TRUE for name in ("WANDB_SILENT", "WANDB_QUIET"))


def settled_mode(mode: str) -> str:
    """``online``, ``offline`` or ``disabled``; ``auto`` is WANDB_MODE or WANDB_DISABLED where set, else online.

    Raises InputError for another word.
    """
    if mode not in MODES:
        raise InputError(f"logger.mode is {mode!r}: choose one of {', '.join(MODES)}")
    if mode == "auto":
        disabled = (given("WANDB_DISABLED") or "false").lower()
        if disabled not in TRUE + FALSE:
            raise InputError(f"WANDB_DISABLED is {disabled!r}: choose true or false, or unset it")
        mode = "disabled" if disabled in TRUE else given("WANDB_MODE") or "online"
        mode = {"dryrun": "offline", "run": "online"}.get(mode, mode)  # W&B's former names
        if mode not in MODES[1:]:
            raise InputError(f"WANDB_MODE is {mode!r}: choose one of {', '.join(MODES[1:])}, or unset it")
    return mode


def in_a_sweep() -> bool:
    """Whether this is one of the jobs of a Hydra sweep, to all of which a variable would give the same."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def id_of_new_run() -> str | None:
    """WANDB_RUN_ID, but for the jobs of a sweep, which would write over each other."""
    identity = given("WANDB_RUN_ID")
    if identity and in_a_sweep():
        say_once("W&B: WANDB_RUN_ID is not used: the jobs of a sweep would all be the same run")
        return None
    return identity


def tags() -> tuple[str, ...]:
    """WANDB_TAGS, separated by commas."""
    return tuple(tag.strip() for tag in (given("WANDB_TAGS") or "").split(",") if tag.strip())


def folder_for(run: Path) -> Path:
    """The folder below which W&B makes its ``wandb``: WANDB_DIR where it is set and can be written, else the run's."""
    text = given("WANDB_DIR")
    if text is None:
        return run
    folder = Path(text).expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
        reason = "it cannot be written"
    except OSError as error:
        reason = error.strerror or str(error)
    say_once(f"W&B: WANDB_DIR={text} is not used ({reason}): its files go to the run folder")
    return run


@contextmanager
def tidied() -> Iterator[None]:
    """Keep from W&B the variables that are empty, or that it would stop at; the latter are said. All come back."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("WANDB_")}
    for name, value in kept.items():
        why = "" if not value.strip() else _refused(name, value)
        if why is not None:
            del os.environ[name]
        if why:
            say_once(f"W&B: {name}={value} is not used ({why})")
        elif name in OURS and value.strip():
            say_once(f"W&B: {name} is not used: {OURS[name]}")
    try:
        yield
    finally:
        for name, value in kept.items():
            os.environ.setdefault(name, value)


def _refused(name: str, value: str) -> str | None:
    """Why W&B does not take a value; None where it does, or knows no such variable."""
    if name in ("WANDB_MODE", "WANDB_DISABLED"):
        return None if value.strip() in (*MODES[1:], "dryrun", "run", "shared") or name == "WANDB_DISABLED" else ""
    try:
        take_setting(name, value)
    except Exception as error:  # pydantic's and W&B's own kinds, each with a reason
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return (lines[2] if len(lines) > 2 else lines[-1] if lines else repr(error)).partition(" [type=")[0]
    return None
