"""W&B's environment variables: which of them apply, and a line about those that do not."""

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
"""Variables that are not used, and why."""


def say(line: str) -> None:
    """Print a line on standard error."""
    print(line, file=sys.stderr, flush=True)


@lru_cache
def say_once(line: str) -> None:
    """`say` for lines that every job of a sweep would repeat."""
    say(line)


def given(name: str) -> str | None:
    """A variable's value; None if it is unset or empty."""
    return os.environ.get(name, "").strip() or None


def is_silent() -> bool:
    """Whether W&B should only report errors."""
    return any((given(name) or "").lower() in TRUE for name in ("WANDB_SILENT", "WANDB_QUIET"))


def settled_mode(mode: str) -> str:
    """``online``, ``offline`` or ``disabled``; ``auto`` follows WANDB_DISABLED or WANDB_MODE, otherwise it is online.

    Raises:
        InputError: For another value.
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
    """Whether this is a job of a Hydra sweep, whose jobs all see the same variables."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def id_of_new_run() -> str | None:
    """WANDB_RUN_ID; None for jobs of a sweep, which would overwrite each other."""
    identity = given("WANDB_RUN_ID")
    if identity and in_a_sweep():
        say_once("W&B: WANDB_RUN_ID is not used: the jobs of a sweep would all be the same run")
        return None
    return identity


def tags() -> tuple[str, ...]:
    """WANDB_TAGS, separated by commas."""
    return tuple(tag.strip() for tag in (given("WANDB_TAGS") or "").split(",") if tag.strip())


def folder_for(run: Path) -> Path:
    """The folder in which W&B creates ``wandb``: WANDB_DIR if it is set and writable, otherwise the run's folder."""
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
    """Hide empty and invalid variables from W&B, with a line about the invalid ones; restore all afterwards."""
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


@contextmanager
def no_terminal() -> Iterator[None]:
    """Hide the terminal's input: without a login W&B would ask for a key and wait for an answer."""
    terminal = sys.stdin
    with open(os.devnull, encoding="utf-8") as nothing:
        sys.stdin = nothing
        try:
            yield
        finally:
            sys.stdin = terminal


def _refused(name: str, value: str) -> str | None:
    """Why W&B refuses a value; None if it accepts it or does not know the variable."""
    if name in ("WANDB_MODE", "WANDB_DISABLED"):
        return None if value.strip() in (*MODES[1:], "dryrun", "run", "shared") or name == "WANDB_DISABLED" else ""
    try:
        take_setting(name, value)
    except Exception as error:  # pydantic's and W&B's own errors, each with a reason
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return (lines[2] if len(lines) > 2 else lines[-1] if lines else repr(error)).partition(" [type=")[0]
    return None
