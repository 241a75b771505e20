"""What a run is called where runs stand side by side: its job's number, what tells it from others, its group."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode

from simswap.errors import InputError
from simswap.settings.recorded_names import current_override
from simswap.settings.records import read_plain

ASIDE = ("hydra.", "sweep.", "hydra/", "launcher=", "sweep=", "resume=")
"""Overrides that say nothing of a run's settings."""


def run_name() -> str:
    """``3 identity=20 seed=1``: the job's number and the settings that its sweep changes; a single run's overrides.

    A run that goes on is called as when it began, however it is started now, and wherever its folder has moved.
    """
    job = _job()
    changed = [o for o in job.overrides if not o.startswith(ASIDE)]
    if not job.of_a_sweep:
        return " ".join(changed) or "defaults"
    same = same_in_all_jobs(job.folder.parent)
    return " ".join([str(job.number), *short([o for o in changed if o.partition("=")[0] not in same])])


def group_name(experiment: str) -> str:
    """The sweep's name: the experiment and the sweep's folder; of a single run the experiment."""
    job = _job()
    return f"{experiment} {job.sweep}" if job.of_a_sweep else experiment


class _Job(NamedTuple):
    """folder: of the run, as it is called now. sweep: its sweep's folder, as it was called when the run began."""

    folder: Path
    of_a_sweep: bool
    overrides: list[str]
    number: Any
    sweep: str


def _job() -> _Job:
    now = HydraConfig.get()
    folder = Path(now.runtime.output_dir)
    record = folder / ".hydra" / "hydra.yaml"
    try:
        hydra = read_plain(record)["hydra"]
        return _Job(
            folder,
            str(hydra["mode"]).endswith("MULTIRUN"),
            [current_override(str(o)) for o in hydra["overrides"]["task"]],
            hydra["job"].get("num"),
            Path(hydra["runtime"]["output_dir"]).parent.name,
        )
    except (InputError, KeyError, TypeError, AttributeError):
        pass  # a run that begins in this very process, or one whose record is lost
    sweep = now.mode == RunMode.MULTIRUN
    return _Job(folder, sweep, list(now.overrides.task), now.job.num if sweep else None, folder.parent.name)


def same_in_all_jobs(sweep: Path) -> set[str]:
    """Keys that a sweep's command line (in its multirun.yaml) gives one value: what else a job has, it changes."""
    file = sweep / "multirun.yaml"
    given = read_plain(file)["hydra"]["overrides"]["task"] if file.is_file() else []
    parsed = OverridesParser.create().parse_overrides([current_override(o) for o in given])
    return {override.get_key_element() for override in parsed if not override.is_sweep_override()}


def short(overrides: Sequence[str]) -> list[str]:
    """``objective.weights.identity=20`` → ``identity=20``, with as much of the key as tells it from the others."""
    parts = [o.partition("=") for o in overrides]
    keys = [key.lstrip("+~").split(".") for key, _, _ in parts]
    shortened = []
    for key, (_, _, value) in zip(keys, parts, strict=True):
        length = 1
        while length < len(key) and sum(other[-length:] == key[-length:] for other in keys) > 1:
            length += 1
        shortened.append(f"{'.'.join(key[-length:])}={_rounded(value)}")
    return shortened


def _rounded(value: str) -> str:
    """A sampler's 0.00021436587 as 0.0002144."""
    value = value.strip("'\"")
    try:
        return f"{float(value):.4g}" if "." in value or "e" in value else value
    except ValueError:
        return value
