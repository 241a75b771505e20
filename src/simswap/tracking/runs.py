"""Run folders found and read back: config, metrics, evaluation, pictures."""

import glob
import json
import math
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from simswap.data.listing import natural_key
from simswap.errors import InputError
from simswap.settings.recorded_names import current_figure
from simswap.settings.records import read_record
from simswap.stand_ins import refuse_stand_in
from simswap.tracking.evaluation_format import as_current
from simswap.tracking.metrics_rows import STEP, read_rows

CONFIG = Path(".hydra", "config.yaml")
EVALUATION = "evaluation.json"
PAIRS = "evaluation_pairs.parquet"
"""Every pair's figures, beside the evaluation."""
INSIDE_A_RUN = ("wandb", "checkpoints", "samples", ".hydra")
"""Folders in which no runs are looked for."""


def is_run(folder: Path) -> bool:
    """Whether it is the folder of a run, or one that holds an evaluation alone."""
    return (folder / CONFIG).is_file() or (folder / EVALUATION).is_file()


def find_runs(given: str | Collection[str]) -> list[tuple[Path, bool]]:
    """Run folders from what a person gives: a run, a folder of runs at any depth, a glob, or a list of these.

    Returns (folder, named) in natural order (2 before 10), each once, by whatever links or spellings it is reached;
    named: the run itself was given, not found in a folder. Raises InputError where a name leads to no run.
    """
    found: dict[Path, tuple[Path, bool]] = {}
    for text in [given] if isinstance(given, str) else given:
        pattern = os.path.expanduser(str(text))
        one = os.path.lexists(pattern) or not glob.has_magic(pattern)
        places = [pattern] if one else sorted(glob.glob(_pattern(pattern)), key=natural_key)
        runs = [(run, one and run == Path(place)) for place in places for run in _runs_below(Path(place))]
        if not runs:
            what = (
                "matches no run"
                if not one
                else "is no run and holds none"
                if Path(pattern).exists()
                else "is not there"
            )
            raise InputError(f"runs: {text} {what}; give folders of runs as in outputs/demo/<time> or outputs/demo")
        for run, named in runs:
            first, before = found.get(run.resolve(), (run, False))
            found[run.resolve()] = first, before or named
    return list(found.values())


def _pattern(text: str) -> str:
    """A glob in which folders that exist under the very name that was typed, as ``a [1]``, stand for themselves."""
    path = Path(text)
    known = next((above for above in path.parents if above.exists()), Path())
    return os.path.join(glob.escape(str(known)), path.relative_to(known))


def _runs_below(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """above: the folders on the way, resolved: a link that leads back to one of them is not followed."""
    here = folder.resolve()
    if here in above:
        return
    if is_run(folder):
        yield folder
    elif folder.is_dir():
        for child in sorted(folder.iterdir(), key=lambda path: natural_key(path.name)):
            if child.is_dir() and child.name not in INSIDE_A_RUN:
                yield from _runs_below(child, above | {here})


def newest_grid(run: Path) -> Path | None:
    """The picture of swaps of the run's last iteration, ``samples/<iteration>.png``."""
    grids = sorted((run / "samples").glob("*.png"), key=lambda path: natural_key(path.name))
    return grids[-1] if grids else None


def read_config(run: Path) -> dict[str, Any]:
    """The run's resolved config. Raises InputError where there is none or it cannot be read."""
    path = run / CONFIG
    if not path.is_file():
        raise InputError(f"{path} is not there: give the folder of a run, as in outputs/demo/<time>")
    try:
        config = OmegaConf.to_container(read_record(path), resolve=True)
    except OmegaConfBaseException as error:
        raise InputError(f"{path} is no config of a run: {str(error).splitlines()[0]}") from error
    if not isinstance(config, dict):
        raise InputError(f"{path} is no config of a run: it holds no keys")
    return config  # type: ignore[return-value]


def read_metrics(run: Path, names: Collection[str] | None = None) -> dict[str, list[float]]:
    """metrics.csv as columns of one length: ``step`` and every metric, NaN where it was not logged at a step.

    names: only these columns, where they are there (and ``step``).

    Raises InputError where there is no such file or a cell is no number.
    """
    path = run / "metrics.csv"
    if not path.is_file():
        raise InputError(f"{path} is not there: the run logged nothing yet, or this is no run folder")
    rows = read_rows(path)
    columns = {name: current_figure(name) for name in (rows[0] if rows else [STEP])}
    wanted = None if names is None else {STEP, *map(current_figure, names)}
    try:
        return {
            current: [float(row[name]) if row[name] else math.nan for row in rows]
            for name, current in columns.items()
            if wanted is None or current in wanted
        }
    except ValueError as error:
        raise InputError(f"{path} holds a cell that is no number: {error}") from error


def read_evaluation(run: Path) -> dict[str, Any]:
    """evaluation.json: ``format``, ``protocol`` and ``results``, of an older format as `as_current` says.

    Raises InputError where it is missing, no such file, or of a newer version.
    """
    path = run / EVALUATION
    if not path.is_file():
        raise InputError(f"{path} is not there: run simswap-evaluate on the run's checkpoint")
    refuse_stand_in(path, "an evaluation", "json")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is no JSON file: {error}") from error
    if not isinstance(content, dict) or not {"protocol", "results"} <= set(content):
        raise InputError(f"{path} has no protocol and results, so it is no evaluation: run simswap-evaluate again")
    return as_current(content, path)
