"""A run's name among other runs: the job's number, the settings that differ, and the group."""

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
"""Overrides that are not settings of the run."""


def run_name() -> str:
    """The run's name, such as ``3 identity=20 seed=1``: the job's number and the settings that its sweep changes.

    A single run has its overrides. A resumed run keeps its first name, even if its folder has moved.
    """
    job = _job()
    changed = [o for o in job.overrides if not o.startswith(ASIDE)]
    if not job.of_a_sweep:
        return " ".join(changed) or "defaults"
    same = same_in_all_jobs(job.folder.parent)
    return " ".join([str(job.number), *short([o for o in changed if o.partition("=")[0] not in same])])


def group_name(experiment: str) -> str:
    """The group's name: the experiment and the sweep's folder; for a single run, the experiment."""
    job = _job()
    return f"{experiment} {job.sweep}" if job.of_a_sweep else experiment


class _Job(NamedTuple):
    """A run: its current folder, and the name that its sweep's folder had when the run began."""

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
        pass  # a run that begins in this process, or one without its record
    sweep = now.mode == RunMode.MULTIRUN
    return _Job(folder, sweep, list(now.overrides.task), now.job.num if sweep else None, folder.parent.name)


def same_in_all_jobs(sweep: Path) -> set[str]:
    """Keys that have one value on a sweep's command line, read from its multirun.yaml; the sweep changes the others."""
    file = sweep / "multirun.yaml"
    given = read_plain(file)["hydra"]["overrides"]["task"] if file.is_file() else []
    parsed = OverridesParser.create().parse_overrides([current_override(o) for o in given])
    return {override.get_key_element() for override in parsed if not override.is_sweep_override()}


def short(overrides: Sequence[str]) -> list[str]:
    """Shorten ``objective.weights.identity=20`` to ``identity=20``, as far as the keys stay different."""
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
    """Round a sampler's 0.00021436587 to 0.0002144."""
    value = value.strip("'\"")
    try:
        return f"{float(value):.4g}" if "." in value or "e" in value else value
    except ValueError:
        return value
