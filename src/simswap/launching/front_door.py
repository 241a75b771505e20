"""The entry of every command: composes and checks the configuration, runs the job, and sets the exit code."""

import functools
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from simswap.compat.hydra import parsed_command_line
from simswap.config import reference_for
from simswap.errors import InputError, JobFailed
from simswap.launching import ranks
from simswap.launching.folders import TRAINING, let_go, register_resolvers
from simswap.launching.home import NO_HOME
from simswap.launching.jobs import failed_jobs, noted, survive
from simswap.launching.processes import run_handed_over
from simswap.launching.stops import cut_the_end_short, obeyed
from simswap.launching.system_errors import allow_open_files, explain_system
from simswap.settings.agent_arguments import of_agent
from simswap.settings.before import home_of_folders, refuse_gaps, search_folders, search_override
from simswap.settings.check import check
from simswap.settings.choices import as_member, refuse_stacked
from simswap.settings.judges import as_choice
from simswap.settings.paths import read_arguments, with_home
from simswap.settings.recorded_names import KEYS, current_override, move_earlier_keys, removed, renamed
from simswap.settings.records import check_folder
from simswap.settings.targets import check_targets
from simswap.settings.trusted import split_trusted, trust, trusted_packages
from simswap.settings.wandb_environment import given
from simswap.settings.words import CONF_DIR, explain_hydra

SHARED_BY_RANKS = ("train", "evaluate")
"""Commands that several processes may run together."""
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2

register_resolvers()  # here, so that a job in a launcher's own process knows them too


def front_door(
    job: Callable[[DictConfig], Any], config_name: str, further_check: Callable[[DictConfig], None] | None = None
) -> None:
    """Compose ``conf/<config_name>.yaml`` with the command line, check it, run ``job(cfg)`` and exit.

    Exit codes: 0 for success; 2 for bad input or an interruption (one line on standard error, no stack trace); 1 if a
    process of the job failed (one line), or jobs of a sweep did, which are listed at its end and do not stop the
    others. Any other error of a single run is a bug and keeps its stack trace.

    Args:
        job: The work of the command.
        config_name: Name of the command's file in conf/.
        further_check: Raises InputError for settings that only this command can judge.
    """
    complaints: list[str] = []
    noted.clear()
    if ranks.HANDOFF in os.environ:
        sys.exit(run_handed_over(job))

    def check_all(cfg: DictConfig, reference: DictConfig) -> None:
        check(cfg, reference)
        if further_check is not None:
            further_check(cfg)

    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach the lines below; otherwise Hydra prints them and exits
    try:
        _prepare_process(config_name)
        checked_job = _checked(job, config_name, check_all, trusted_packages(), complaints)
        with obeyed():
            _check_before_start(config_name, check_all, further_check)
            hydra.main(version_base="1.3", config_path=CONF_DIR, config_name=config_name)(checked_job)()
    except (KeyboardInterrupt, Exception) as error:
        sys.exit(_explain(error))
    finally:
        let_go()
    sys.exit(EXIT_BAD_INPUT if complaints else EXIT_FAILED if failed_jobs or noted else 0)


def _checked(
    job: Callable[[DictConfig], Any],
    config_name: str,
    check_all: Callable[[DictConfig, DictConfig], None],
    trusted: tuple[str, ...],
    complaints: list[str],
) -> Callable[[DictConfig], Any]:
    """The job as Hydra calls it: its configuration is checked first; bad input is printed and added to ``complaints``.

    A launcher pickles the function, and the packages that the command line trusts with it, for a process of its own.
    """

    @functools.wraps(job)
    def checked_job(cfg: DictConfig) -> Any:
        if not ranks.is_first():
            _leave_the_log_to_the_first_rank()

        def checked(cfg: DictConfig) -> Any:
            if trusted_packages() != trusted:
                trust(trusted)
            search = search_override(search_folders(HydraConfig.get().overrides.hydra)[0])
            move_earlier_keys(cfg)
            refuse_stacked(config_name, HydraConfig.get().runtime.choices, cfg)
            check_all(cfg, reference_for(config_name, search))
            with_home(cfg)
            return job(cfg)

        try:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                return survive(checked, cfg, Path(HydraConfig.get().runtime.output_dir))
            return checked(cfg)
        except InputError as error:  # the exit code is set outside of Hydra's error handling
            complaints.append(str(error))
            print(f"error: {error}", file=sys.stderr)
            return None
        finally:
            let_go(TRAINING)

    return checked_job


def _prepare_process(config_name: str) -> None:
    """Translate the command line for Hydra, import trusted packages, and refuse several processes if one must run."""
    by_agent = bool(given("WANDB_SWEEP_ID"))
    arguments = [written for argument in sys.argv[1:] for written in of_agent(argument, by_agent)]
    trusted, arguments = split_trusted(arguments)
    kept = [argument for argument in arguments if not removed(argument)]
    sys.argv[1:] = read_arguments([as_choice(as_member(current_override(argument))) for argument in kept])
    trust(trusted)
    for argument in arguments if ranks.is_first() else []:
        old = argument.lstrip("+~").partition("=")[0]
        warning = renamed(old) if old in KEYS else removed(argument)
        if warning:
            print(warning, file=sys.stderr)
    allow_open_files()
    if NO_HOME is not None and ranks.is_first():
        print(NO_HOME, file=sys.stderr)
    if config_name not in SHARED_BY_RANKS:
        ranks.refuse_several(f"simswap-{config_name}")
    _refuse_sweeps_of_ranks(sys.argv[1:])


def _explain(error: BaseException) -> int:
    """Print an error as one line and return the exit code. Any other error is raised again."""
    code, line = EXIT_BAD_INPUT, None
    if isinstance(error, KeyboardInterrupt):
        line = f"interrupted; what was finished is kept, {str(error) or 'run the same command again to resume'}"
    elif isinstance(error, JobFailed):
        sys.stderr.write(error.trace)
        code, line = EXIT_FAILED, str(error)
    elif isinstance(error, InputError):
        line = str(error)
    elif isinstance(error, HydraException | OmegaConfBaseException):
        line = explain_hydra(error, sys.argv[1:])
    elif isinstance(error, ValueError) and str(error).startswith("Only one of --"):
        line = str(error)  # Hydra's message for flags that exclude each other
    elif isinstance(error, BrokenPipeError):  # the reader of the output has closed it (… | head)
        os._exit(EXIT_BAD_INPUT)
    elif not isinstance(error, ValueError):
        line = explain_system(error)
    if line is None:
        raise error
    print(f"error: {line}", file=sys.stderr)
    if isinstance(error, KeyboardInterrupt):
        cut_the_end_short()
    return code


def _refuse_sweeps_of_ranks(arguments: list[str]) -> None:
    """Refuse a sweep in several processes: each would run the complete sweep."""
    started = ranks.from_environment()
    if started is not None and {"-m", "--multirun", "hydra.mode=MULTIRUN"} & set(arguments):
        raise InputError(
            f"{started.starter} started {started.world_size} processes, and each would run the complete sweep: start "
            "simswap-train -m alone, with trainer.devices=… for the processes of each job"
        )


def _leave_the_log_to_the_first_rank() -> None:
    root = logging.getLogger()
    root.setLevel(logging.ERROR)
    for handler in [h for h in root.handlers if isinstance(h, logging.FileHandler)]:
        root.removeHandler(handler)


def _check_before_start(
    config_name: str,
    check_all: Callable[[DictConfig, DictConfig], None],
    further_check: Callable[[DictConfig], None] | None,
) -> None:
    """Check everything that can be known before Hydra creates a folder, a log, or an object that a YAML file names.

    The user's own YAML files are read as data first. Then the configuration of a single run is composed and checked.
    Each job of a sweep is checked when it starts; here, only what Hydra itself would run is checked.
    """
    arguments = parsed_command_line()
    searched, overrides = search_folders(arguments.overrides)
    own = [Path(folder) for folder in (arguments.config_dir, arguments.config_path) if folder]
    for folder in [*own, *searched]:
        check_folder(folder)
    if (
        arguments.config_path
        or arguments.config_name
        or arguments.help
        or arguments.hydra_help
        or arguments.cfg
        or arguments.info
        or arguments.shell_completion
    ):
        return  # these only print something, or the jobs check themselves
    search, swept = search_override([*own, *searched]), []
    if arguments.multirun:
        parsed = OverridesParser.create().parse_overrides(overrides)
        swept = [one.key_or_group.replace("/", ".") for one in parsed if one.is_sweep_override()]
        overrides = [text for text, one in zip(overrides, parsed, strict=True) if not one.is_sweep_override()]
    with hydra.initialize_config_dir(CONF_DIR, version_base="1.3"):
        try:
            cfg = hydra.compose(config_name, overrides + search, return_hydra_config=True)
        except (HydraException, OmegaConfBaseException):
            return  # Hydra reports the error
        check_targets({"hydra": OmegaConf.to_container(cfg.hydra, resolve=False)})
        given = [one.key_or_group for one in OverridesParser.create().parse_overrides(overrides)]
        for line in move_earlier_keys(cfg, given):
            print(line, file=sys.stderr)
        refuse_stacked(config_name, cfg.hydra.runtime.choices, cfg)
        refuse_gaps(cfg, [*swept, *(OmegaConf.select(cfg, "hydra.sweeper.params") or {})])
        sys.argv[1:] = [*sys.argv[1:], *home_of_folders(cfg)]
        if arguments.multirun or cfg.hydra.mode == RunMode.MULTIRUN:
            if further_check is not None:
                further_check(cfg)
            return
        HydraConfig.instance().set_config(cfg)
        try:
            reference = reference_for(config_name, search)
            OmegaConf.set_struct(cfg, False)
            del cfg["hydra"]
            if "${hydra:" not in OmegaConf.to_yaml(cfg):  # known only inside the job
                check_all(cfg, reference)
        finally:
            HydraConfig.instance().cfg = None
