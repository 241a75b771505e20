"""Checks the composed configuration once, at the start, and turns bad input into one line and exit code 2.

The allowed keys are learnt, not listed: a node with a ``_target_`` allows what the target's signature takes, any
other node what the default YAML files hold. No room's fields are known here.
"""

import difflib
import functools
import importlib
import inspect
import logging
import os
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from simswap import ranks
from simswap.errors import InputError, JobFailed
from simswap.folders import TRAINING, let_go, register_resolvers
from simswap.jobs import failed_jobs, noted, survive
from simswap.processes import run_handed_over
from simswap.system_errors import allow_open_files, explain_system

CONF_DIR = str(Path(__file__).resolve().parents[2] / "conf")

# Groups whose files change other groups' keys: they are what is checked, so they are no part of the reference.
OVERLAY_GROUPS = ("experiment", "ablation", "sweep", "launcher")
TRUSTED_TARGETS = ("simswap.", "lightning.")
SHARED_BY_RANKS = ("train", "evaluate")
"""Front doors that several processes may share."""
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2

register_resolvers()  # here, so that a job in a launcher's own process knows them too


def front_door(job: Callable[[DictConfig], Any], config_name: str) -> None:
    """Compose ``conf/<config_name>.yaml`` with the command line, check it, run ``job(cfg)`` and exit.

    Exit codes: 0 done, 2 bad input or interrupted (one line on standard error, no stack trace), 1 a process of the job
    failed (one line), or jobs of a sweep did: they are listed at its end and do not stop the others. Other errors of a
    single run are faults of the program and keep their stack trace.
    """
    complaints: list[str] = []
    noted.clear()
    if ranks.HANDOFF in os.environ:
        sys.exit(run_handed_over(job))

    @functools.wraps(job)
    def checked_job(cfg: DictConfig) -> Any:
        if not ranks.is_first():
            _leave_the_log_to_the_first_rank()

        def checked(cfg: DictConfig) -> Any:
            check(cfg, reference_for(config_name))
            return job(cfg)

        try:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                return survive(checked, cfg, Path(HydraConfig.get().runtime.output_dir))
            return checked(cfg)
        except InputError as error:  # the exit code is set outside of Hydra's own handling of errors
            complaints.append(str(error))
            print(f"error: {error}", file=sys.stderr)
            return None
        finally:
            let_go(TRAINING)

    os.environ["HYDRA_FULL_ERROR"] = "1"  # let errors through to the lines below instead of Hydra's own print and exit
    try:
        sys.argv[1:] = [re.sub("=None$", "=null", argument) for argument in sys.argv[1:]]  # W&B's agents write it so
        allow_open_files()
        if config_name not in SHARED_BY_RANKS:
            ranks.refuse_several(f"simswap-{config_name}")
        _refuse_sweeps_of_ranks(sys.argv[1:])
        hydra.main(version_base="1.3", config_path=CONF_DIR, config_name=config_name)(checked_job)()
    except KeyboardInterrupt as interrupt:
        how = str(interrupt) or "run the same command again to go on"
        print(f"error: interrupted; what was finished is kept, {how}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    except JobFailed as error:
        print(f"{error.trace}error: {error}", file=sys.stderr)
        sys.exit(EXIT_FAILED)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    except (HydraException, OmegaConfBaseException) as error:
        print(f"error: {explain_hydra(error)}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    except ValueError as error:
        if not str(error).startswith("Only one of --"):  # Hydra's word on flags that do not go together
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    except BrokenPipeError:  # the reader of our output has seen enough (… | head)
        os._exit(EXIT_BAD_INPUT)
    except Exception as error:
        line = explain_system(error)
        if line is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    finally:
        let_go()
    sys.exit(EXIT_BAD_INPUT if complaints else EXIT_FAILED if failed_jobs or noted else 0)


def _refuse_sweeps_of_ranks(arguments: list[str]) -> None:
    """Each rank would run a sweep of its own."""
    started = ranks.from_environment()
    if started is not None and {"-m", "--multirun", "hydra.mode=MULTIRUN"} & set(arguments):
        raise InputError(
            f"{started.starter} started {started.world_size} processes, and each would run the whole sweep: start "
            "simswap-train -m alone, with trainer.devices=… for the processes of each job"
        )


def _leave_the_log_to_the_first_rank() -> None:
    root = logging.getLogger()
    root.setLevel(logging.ERROR)
    for handler in [h for h in root.handlers if isinstance(h, logging.FileHandler)]:
        root.removeHandler(handler)


def build(node: DictConfig, **more: Any) -> Any:
    """Call a checked node's ``_target_`` with its keys (plain containers) and ``more``."""
    # Called here and not by Hydra, which would wrap the target's own errors and copy what is in ``more``.
    return hydra.utils.instantiate(node, _partial_=True, _convert_="all")(**more)


def reference_for(config_name: str) -> DictConfig:
    """The default configuration with the same group choices, without overlays and single overrides.

    Must be called inside a Hydra job.
    """
    choices = HydraConfig.get().runtime.choices
    overrides = [
        f"{group}={choice}"
        for group, choice in choices.items()
        if not group.startswith("hydra/") and group not in OVERLAY_GROUPS and choice not in (None, "null")
    ]
    return hydra.compose(config_name, overrides=overrides)


def check(cfg: DictConfig, reference: DictConfig) -> None:
    """Raise InputError for an unknown key, a wrong type or a missing value anywhere in ``cfg``.

    ``reference`` is the same choice of groups without the user's changes: it holds the allowed keys and their types.
    """
    try:
        missing = sorted(OmegaConf.missing_keys(cfg))
        if missing:
            raise InputError(f"{missing[0]} has no value: give it as {missing[0]}=…")
        tree = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        raise InputError(explain_hydra(error)) from error
    _check_node(tree, OmegaConf.to_container(reference, resolve=False), "")


def _check_node(node: Any, reference: Any, path: str) -> None:
    if not isinstance(node, dict):
        return
    target = node.get("_target_")
    hints: dict[str, Any] = {}
    if target is not None:
        hints = _signature_types(target, path)
        allowed: set[str] | None = {*hints, "_target_"}
    elif isinstance(reference, dict):
        allowed = set(reference)
    else:
        allowed = None  # a free mapping (its default is null): the room that takes it checks it
    for key, value in node.items():
        where = f"{path}.{key}" if path else str(key)
        if allowed is not None and key not in allowed:
            raise InputError(f"unknown key {where}{nearest(str(key), allowed)}")
        known = reference.get(key) if isinstance(reference, dict) else None
        _check_type(value, hints.get(str(key)), known, where)
        if allowed is not None:
            _check_node(value, known, where)


def _signature_types(target: str, path: str) -> dict[str, Any]:
    """Parameter names of a ``_target_`` with their types; only this package's and Lightning's are trusted."""
    if not target.startswith(TRUSTED_TARGETS):
        raise InputError(f"{path}._target_ is {target}: only names below {' and '.join(TRUSTED_TARGETS)} are allowed")
    module, _, name = target.rpartition(".")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"{path}._target_ names {target}, which is not there ({error})") from error
    constructor = function.__init__ if inspect.isclass(function) else function
    try:
        hints = typing.get_type_hints(constructor)
    except (NameError, TypeError):
        hints = {}
    return {name: hints.get(name) for name in inspect.signature(function).parameters}


def _check_type(value: Any, hint: Any, known: Any, where: str) -> None:
    """Compare with the signature's type where there is one, else with the type of the default."""
    accepted = _plain_types(hint) if hint is not None else _plain_types(type(known)) if known is not None else None
    if isinstance(known, str) and ("${" in known or known == "???") and hint is None:
        return  # an interpolation says nothing of its type
    if accepted is None:
        return
    if float in accepted:
        accepted = (*accepted, int)
    if isinstance(value, bool) and bool not in accepted and accepted:
        raise InputError(f"{where} is {value}: it takes {_names(accepted)}")
    if value is None and hint is None:
        return
    if not isinstance(value, accepted):
        raise InputError(f"{where} is {value!r}: it takes {_names(accepted)}")


def _plain_types(hint: Any) -> tuple[type, ...] | None:
    """The scalar and container types of an annotation, or None where it cannot be judged."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        parts = [_plain_types(part) for part in typing.get_args(hint)]
        return None if any(part is None for part in parts) else tuple(kind for part in parts if part for kind in part)
    if origin is typing.Literal:
        return tuple({type(value) for value in typing.get_args(hint)})
    if hint in (int, float, bool, str, list, dict, type(None)):
        return (hint,)
    if origin in (list, dict):
        return (origin,)
    return None


def _names(accepted: Iterable[type]) -> str:
    return " or ".join(sorted({"null" if kind is type(None) else kind.__name__ for kind in accepted}))


def nearest(name: str, valid: Iterable[str]) -> str:
    """``; did you mean …? valid here: …``, to end a complaint about an unknown name."""
    options = sorted(str(option) for option in valid)
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    guess = f"; did you mean {close[0]}?" if close else "."
    return f"{guess} Valid here: {', '.join(options) or 'nothing'}"


def explain_hydra(error: Exception) -> str:
    """One line from one of Hydra's or OmegaConf's errors, with the nearest valid name where it lists some."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, InputError):  # of a resolver of ours
            return str(inner)
        inner = inner.__cause__ or inner.__context__
    text = str(error)
    cause = str(error.__cause__ or "")
    pattern = r"Could not find '([^']+)'\s+Available options in '([^']+)':\s+(.*?)(?:\nConfig search|\Z)"
    group = re.search(pattern, text, re.S)
    if group:
        name, folder, options = group.groups()
        short = name.removeprefix(f"{folder}/")
        return f"{folder}={short}: there is no such choice{nearest(short, options.split())}"
    member = re.search(r"Could not override '([^']+)'", text)
    if member:
        return f"unknown key {member.group(1)}{_nearest_in_defaults(member.group(1), cause or text)}"
    return " ".join(f"{text} {cause}".split())


def _nearest_in_defaults(key: str, text: str) -> str:
    """Look for the nearest key among all keys of the YAML files: the composed config is not there yet."""
    keys: set[str] = set()
    for file in Path(CONF_DIR).rglob("*.yaml"):
        prefix = "" if file.parent == Path(CONF_DIR) else f"{file.parent.name}."
        keys |= {f"{prefix}{name}" for name in _flat_keys(OmegaConf.to_container(OmegaConf.load(file)))}
    close = difflib.get_close_matches(key, sorted(keys), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f" ({' '.join(text.split())})"


def _flat_keys(node: Any, path: str = "") -> Iterable[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("defaults", "hydra"):
                continue
            yield f"{path}{key}"
            yield from _flat_keys(value, f"{path}{key}.")
