"""One sweep: batch by batch, ask the study for points, launch their jobs, and report the results to the study."""

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf

from simswap.compat.hydra import value_or_error
from simswap.errors import InputError
from simswap.launching.jobs import note_failure, values_of
from simswap.launching.system_errors import explain_system
from simswap.settings.recorded_names import FIGURE_LISTS, current_figure, current_key, move_earlier_keys
from simswap.sweeping.space import make_space
from simswap.sweeping.study import Settings, SweepStudy

log = logging.getLogger(__name__)

Launch = Callable[[Sequence[Sequence[str]], int], Sequence[JobReturn]]
MAY_CHANGE = ("sweep.trials", "sweep.resume", "sweep.parallel", "launcher")
"""Keys that the command line of a resumed sweep may change."""


def settings_of(config: DictConfig) -> Settings:
    """Read the study's settings from a composed configuration."""
    node = config.sweep
    return Settings(
        list(node.metrics),
        list(node.directions),
        node.sampler,
        node.trials,
        node.population,
        node.pruning,
        node.seed,
    )


def run_sweep(config: DictConfig, overrides: Sequence[Override], launch: Launch) -> list[JobReturn]:
    """Run the trials that are missing in the study of the sweep's folder.

    Args:
        config: The sweep's complete configuration, with Hydra's node.
        overrides: The command line's overrides.
        launch: Called with a batch of overrides and the number of its first job.

    Returns:
        The jobs' returns.

    Raises:
        InputError: The sweep cannot run, or a resumed sweep has other settings than before.
    """
    move_earlier_keys(config)
    folder = Path(config.hydra.sweep.dir)
    if config.sweep.resume and not (folder / "study.journal").is_file():
        raise InputError(f"sweep.resume={folder}: there is no study.journal; give a sweep's folder")
    if config.sweep.parallel < 1:
        raise InputError(f"sweep.parallel={config.sweep.parallel}: give at least 1")
    params = OmegaConf.to_container(config.sweep.params, resolve=True) if config.sweep.params else None
    space, fixed = make_space(params, overrides)  # type: ignore[arg-type]
    study = SweepStudy(folder, space, settings_of(config))
    try:
        _same_command(folder, fixed, study)
        returns: list[JobReturn] = []
        if study.resumed:
            log.info("resuming the study: %d trials are done, %d are missing", len(study.counted), study.missing())
        while (missing := study.missing()) > 0:
            asked = study.ask(min(missing, config.sweep.parallel))
            if not asked:
                log.info(
                    "every point of the space was tried: %d of sweep.trials=%d", len(study.counted), config.sweep.trials
                )
                break
            returns += _run_batch(study, asked, fixed, launch)
        for trial in study.best():
            log.info(
                "best: job %s, %s = %s, with %s",
                trial.user_attrs.get("job"),
                config.sweep.metrics,
                trial.values,
                " ".join(space.overrides(trial.params)),
            )
        log.info("all trials: %s", study.write_table())
        return returns
    finally:
        study.close()


def _run_batch(
    study: SweepStudy, asked: Sequence[tuple[int, dict[str, Any]]], fixed: Sequence[str], launch: Launch
) -> list[JobReturn]:
    first = study.study.trials[asked[0][0]].user_attrs["job"]
    batch = [[*fixed, *study.space.overrides(point), f"sweep.trial={number}"] for number, point in asked]
    lost = "the launcher lost this job; it was killed, or ran out of memory"
    try:
        returns = list(launch(batch, first))
    except Exception as error:
        if not isinstance(error, OSError | RuntimeError):  # the configuration does not compose: no job would run
            raise
        # The launcher itself failed, as joblib's does when the system kills a worker: finished jobs count.
        refused = explain_system(error)
        log.warning("the launcher failed (%s)", refused or f"{type(error).__name__}: {str(error).splitlines()[:1]}")
        returns, lost = [], refused or lost
    for place, (number, _) in enumerate(asked):
        job = first + place
        folder = study.folder / str(job)
        if place < len(returns) and returns[place].status == JobStatus.FAILED:
            note_failure(folder, value_or_error(returns[place]))
        elif not returns and values_of(folder) is None:
            note_failure(folder, InputError(lost))
        state = study.finish(number, job, values_of(folder))
        log.info("job %d: %s", job, state.lower())
    study.write_table()
    return returns


def _same_command(folder: Path, fixed: Sequence[str], study: SweepStudy) -> None:
    """Check that a resumed sweep has its first settings: otherwise its trials could not be compared."""
    begun = study.study.user_attrs.get("command")
    if begun is None:
        study.study.set_user_attr("command", list(fixed))
        return
    before, now = _meaning(begun), _meaning(fixed)
    if before != now:
        other = [
            f"{key}: {before.get(key, '(not given)')} → {now.get(key, '(not given)')}"
            for key in sorted(before.keys() | now.keys())
            if before.get(key) != now.get(key)
        ]
        raise InputError(
            f"{folder}: the sweep began with other settings ({'; '.join(other)}); it began with "
            f"{' '.join(begun)!r}: give the same, or another folder for a new sweep"
        )


def _meaning(command: Sequence[str]) -> dict[str, str]:
    """Key → value of a command line, independent of order, quotes and spaces; the last value of a key counts."""
    meant: dict[str, str] = {}
    for override in OverridesParser.create().parse_overrides(list(command)):
        key = current_key(override.key_or_group.replace("/", "."))
        if key in MAY_CHANGE or key.startswith("hydra."):
            continue
        value = None if override.is_delete() else override.value()
        if key in FIGURE_LISTS and isinstance(value, list):
            value = [current_figure(_plain(name)) for name in value]
        sign = "~" if override.is_delete() else ""  # + and ++ only tell whether the key existed before
        meant[f"{sign}{key}"] = json.dumps(_plain(value), sort_keys=True)
    return meant


def _plain(value: Any) -> Any:
    """A parsed value without quotes; 1e-3, 0.001 and .001 are equal, and so are 1 and 1.0."""
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value
