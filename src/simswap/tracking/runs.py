"""Finding run folders and reading them: config, metrics, evaluation, sample grids."""

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
from simswap.tracking.evaluation_names import stem_in
from simswap.tracking.metrics_rows import STEP, read_rows

CONFIG = Path(".hydra", "config.yaml")
PAIRS = "_pairs.parquet"
"""Ends the name of the file with every pair's figures, beside the evaluation."""
WORST = "_worst.png"
"""Ends the name of the picture of the trained network's worst pairs, beside the evaluation."""
INSIDE_A_RUN = ("evaluations", "wandb", "checkpoints", "samples", ".hydra")
"""Folders that are not searched for runs."""


def evaluation_file(run: Path, name: str | None = None) -> Path:
    """The JSON file of a run's evaluation. name: None for the first evaluation."""
    return Path(f"{stem_in(run, name)}.json")


def is_run(folder: Path, evaluation: str | None = None) -> bool:
    """Whether a folder is that of a run, or contains an evaluation (the first or this one) without a run."""
    return (folder / CONFIG).is_file() or any(evaluation_file(folder, name).is_file() for name in (None, evaluation))


def find_runs(given: str | Collection[str], evaluation: str | None = None) -> list[tuple[Path, bool]]:
    """Find run folders.

    Args:
        given: A run, a folder with runs at any depth, a glob, or a list of these.
        evaluation: See `is_run`.

    Returns:
        (folder, named) in natural order (2 before 10), each folder once, whatever links or spellings lead to it.
        ``named`` is True if the run itself was given, rather than found in a folder.

    Raises:
        InputError: If a name leads to no run.
    """
    found: dict[Path, tuple[Path, bool]] = {}
    for text in [given] if isinstance(given, str) else given:
        pattern = os.path.expanduser(str(text))
        one = os.path.lexists(pattern) or not glob.has_magic(pattern)
        places = [pattern] if one else sorted(glob.glob(_pattern(pattern)), key=natural_key)
        runs = [(run, one and run == Path(place)) for place in places for run in _runs_below(Path(place), evaluation)]
        if not runs:
            what = (
                "matches no run"
                if not one
                else "is not a run and contains none"
                if Path(pattern).exists()
                else "does not exist"
            )
            raise InputError(f"runs: {text} {what}; give folders of runs as in outputs/demo/<time> or outputs/demo")
        for run, named in runs:
            first, before = found.get(run.resolve(), (run, False))
            found[run.resolve()] = first, before or named
    return list(found.values())


def _pattern(text: str) -> str:
    """A glob in which existing folders with special characters in their names, such as ``a [1]``, are escaped."""
    path = Path(text)
    known = next((above for above in path.parents if above.exists()), Path())
    return os.path.join(glob.escape(str(known)), path.relative_to(known))


def _runs_below(folder: Path, evaluation: str | None, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """The runs in a folder. above: the resolved folders on the way; links back to them are not followed."""
    here = folder.resolve()
    if here in above:
        return
    if is_run(folder, evaluation):
        yield folder
    elif folder.is_dir():
        for child in sorted(folder.iterdir(), key=lambda path: natural_key(path.name)):
            if child.is_dir() and child.name not in INSIDE_A_RUN:
                yield from _runs_below(child, evaluation, above | {here})


def newest_grid(run: Path) -> Path | None:
    """The last sample grid of a run, ``samples/<iteration>.png``; None without any."""
    grids = sorted((run / "samples").glob("*.png"), key=lambda path: natural_key(path.name))
    return grids[-1] if grids else None


def read_config(run: Path) -> dict[str, Any]:
    """The run's resolved config. Raises InputError if it is missing or cannot be read."""
    path = run / CONFIG
    if not path.is_file():
        raise InputError(f"{path} does not exist: give the folder of a run, as in outputs/demo/<time>")
    try:
        config = OmegaConf.to_container(read_record(path), resolve=True)
    except OmegaConfBaseException as error:
        raise InputError(f"{path} is not a run's config: {str(error).splitlines()[0]}") from error
    if not isinstance(config, dict):
        raise InputError(f"{path} is not a run's config: it has no keys")
    return config  # type: ignore[return-value]


def read_metrics(run: Path, names: Collection[str] | None = None) -> dict[str, list[float]]:
    """Read metrics.csv as columns of equal length, under the current names of figures.

    Args:
        run: The run folder.
        names: The wanted columns, if they exist; None for all.

    Returns:
        ``step`` and the metrics by name, NaN where a metric was not logged at a step.

    Raises:
        InputError: If there is no metrics.csv or a cell is not a number.
    """
    path = run / "metrics.csv"
    if not path.is_file():
        raise InputError(f"{path} does not exist: the run has logged nothing yet, or this is not a run folder")
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
        raise InputError(f"{path} has a cell that is not a number: {error}") from error


def read_evaluation(run: Path, name: str | None = None) -> dict[str, Any]:
    """Read an evaluation: ``format``, ``protocol`` and ``results``, converted by `as_current`.

    Args:
        run: The run folder.
        name: A named evaluation, ``evaluations/<name>.json``; None for ``evaluation.json``.

    Raises:
        InputError: If it is missing, not an evaluation, or of a newer version.
    """
    path = evaluation_file(run, name)
    if not path.is_file():
        how = "" if name is None else f" with name={name}"
        raise InputError(f"{path} does not exist: run simswap-evaluate on the run's checkpoint{how}")
    refuse_stand_in(path, "an evaluation", "json")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not a JSON file: {error}") from error
    if not isinstance(content, dict) or not {"protocol", "results"} <= set(content):
        raise InputError(f"{path} has no protocol and results, so it is not an evaluation: run simswap-evaluate again")
    return as_current(content, path)
