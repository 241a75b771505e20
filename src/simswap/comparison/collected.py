"""The runs of a comparison, read from their folders."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from simswap.comparison.ended import check_current, check_state
from simswap.comparison.judges import judges_in, judging
from simswap.comparison.run import Curve, Run, SliceRow, SwapperRow
from simswap.comparison.run_settings import flat
from simswap.comparison.validations import control_columns, last_validation, validation_protocol
from simswap.errors import InputError
from simswap.metrics.figures import Interval, of_judge, required, validated
from simswap.tracking.evaluation_names import stem_in
from simswap.tracking.metrics_rows import STEP
from simswap.tracking.runs import (
    CONFIG,
    PAIRS,
    WORST,
    evaluation_file,
    find_runs,
    newest_grid,
    read_config,
    read_evaluation,
    read_metrics,
)
from simswap.tracking.status import Status

SOURCES = ("evaluation", "validation")
GRIDS = (".png", "_grid.png")
"""Ends of the names of an evaluation's grid of swaps; the second one is of older versions."""


class _Lacking(InputError):
    """A run has no evaluation of the name that was asked for; its text is the missing file."""


def load_local(
    given: str | Collection[str],
    source: str,
    curves: Collection[str],
    keep: Callable[[Mapping[str, Any]], bool],
    asked: str | None = None,
) -> tuple[list[Run], list[str]]:
    """Load the runs in these folders.

    A run that cannot be compared (still running, crashed, diverged, not evaluated, of an older version) is an error if
    it was named itself, and is left out if it was found in a folder of runs.

    Args:
        given: See `find_runs`.
        source: ``evaluation`` (evaluation.json) or ``validation`` (the last validation in metrics.csv).
        curves: The metrics whose curves are wanted.
        keep: Whether a run is wanted, by its settings.
        asked: The name of the runs' evaluation, ``evaluations/<name>.json``; None for their first one.

    Returns:
        The runs, and one line for each that was left out.

    Raises:
        InputError: If there is no run, a named run cannot be compared, or none can.
    """
    runs: list[Run] = []
    left_out: list[str] = []
    lacking: dict[str, bool] = {}
    found = find_runs(given, asked)
    for folder, named in found:
        try:
            loaded = list(_load(folder, _name(folder, [f for f, _ in found]), source, curves, keep, asked))
        except _Lacking as error:
            lacking[str(error)] = named
            continue
        except InputError as error:
            if named:
                raise
            left_out.append(str(error))
            continue
        runs += loaded
    if lacking:
        line = f"not evaluated as {asked}: no {', '.join(lacking)}; run simswap-evaluate checkpoint=… name={asked}"
        if any(lacking.values()):
            raise InputError(f"evaluation={asked}: {line}")
        left_out.append(line)
    if not runs:
        if not left_out:
            raise InputError(f"where= keeps none of the {len(found)} runs: look at their .hydra/config.yaml")
        raise InputError(f"none of {len(found)} runs can be compared; the first: {left_out[0]}")
    return runs, left_out


def _load(
    folder: Path,
    name: str,
    source: str,
    curves: Collection[str],
    keep: Callable[[Mapping[str, Any]], bool],
    asked: str | None,
) -> Iterator[Run]:
    has_config = (folder / CONFIG).is_file()
    config = flat(read_config(folder)) if has_config else {}
    if not keep(config):
        return
    status = check_state(folder)
    drawn = {}
    if has_config and (folder / "metrics.csv").is_file():
        drawn = read_curves(read_metrics(folder, [*curves, *validated(), *control_columns()]))
    shared: dict[str, Any] = {
        "where": str(folder), "config": config, "state": status.state if status else "",
        "version": status.package_version if status else "",
        "curves": {k: v for k, v in drawn.items() if k in curves},
    }  # fmt: skip
    if source == "validation":
        if not has_config:
            raise InputError(f"{folder} holds an evaluation alone, and no validation: leave out figures=validation")
        figures, others = last_validation(str(folder), drawn)
        yield Run(
            name=name,
            figures=figures,
            others=others,
            protocol=validation_protocol(config),
            grid=newest_grid(folder),
            **shared,
        )
        return
    yield from _evaluated(folder, name, asked, shared, status)


def _evaluated(
    folder: Path, name: str, asked: str | None, shared: Mapping[str, Any], status: Status | None
) -> Iterator[Run]:
    """The run, or the rows of an evaluation without a run, by one of its evaluations."""
    file, stem, has_config = evaluation_file(folder, asked), stem_in(folder, asked), bool(shared["config"])
    if asked is not None and not file.is_file():
        raise _Lacking(str(file))
    evaluation = read_evaluation(folder, asked)
    results = {key: swapper_of(file, key, entry) for key, entry in evaluation["results"].items()}
    check_evaluation(file, evaluation["protocol"], results)
    own = [key for key, swapper in results.items() if swapper.kind == "trained"]
    if not has_config:  # somebody else's swaps, measured: each is a row of its own
        own = [key for key, swapper in results.items() if swapper.kind != "control"]
    for key in own if has_config else ():
        check_current(folder, file, results[key], status)
    if not own:
        raise InputError(f"{file} measures no trained swapper: evaluate the run's checkpoint")
    pairs, worst, *grids = (Path(f"{stem}{end}") for end in (PAIRS, WORST, *GRIDS))
    for key in own:
        yield Run(
            name=name if has_config or len(own) == 1 else f"{name}: {key}",
            figures=results[key].figures,
            protocol=evaluation["protocol"],
            others=tuple(swapper for other, swapper in results.items() if other not in own),
            pairs=pairs if pairs.is_file() else None,
            grid=next((grid for grid in grids if grid.is_file()), None) if key == "trained" else None,
            swapper=key,
            evaluation=asked or "",
            format=evaluation["format"],
            missed=results[key].missed,
            checkpoint=results[key].checkpoint,
            iteration=results[key].iteration,
            slices=slices_of(file, evaluation["protocol"], key, evaluation["results"][key]),
            worst=worst if key == "trained" and worst.is_file() else None,
            **shared,
        )


def swapper_of(where: Path | str, key: str, entry: Mapping[str, Any]) -> SwapperRow:
    """Read one result of an evaluation, with a further judge's figures as ``judges.<judge>.<figure>``.

    Args:
        where: Its file or address.
        key: The swapper's name.
        entry: Its entry in ``results``.

    Raises:
        InputError: If it is malformed.
    """
    try:
        figures = _figures(entry)
        missed = {name: int(entry[name]) for name in ("missed_results", "missed_poses") if entry.get(name)}
        for judge, found in (entry.get("judges") or {}).items():
            if int(found.get("missed_results") or 0) > missed.get("missed_results", 0):
                missed[of_judge(judge, "missed_results")] = int(found["missed_results"])
        iteration = entry.get("iteration")
        return SwapperRow(
            key,
            entry["kind"],
            figures,
            missed,
            str(entry.get("checkpoint") or ""),
            str(entry.get("sha256") or ""),
            None if iteration is None else int(iteration),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{where}: results.{key} is not a result ({error}); run simswap-evaluate again") from error


def slices_of(
    where: Path | str, protocol: Mapping[str, Any], key: str, entry: Mapping[str, Any]
) -> dict[str, SliceRow]:
    """Read the slices of one result; see `swapper_of`. Raises InputError if they are malformed."""
    try:
        edges = {
            name: (part["low"], part["high"])
            for found in (protocol.get("slices") or {}).values()
            for name, part in found["slices"].items()
        }
        return {
            name: SliceRow(int(part["pairs"]), edges.get(name, (None, None)), _figures(part))
            for name, part in (entry.get("slices") or {}).items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{where}: results.{key} has malformed slices ({error}); run simswap-evaluate again"
        ) from error


def _figures(entry: Mapping[str, Any]) -> dict[str, Interval]:
    further = {
        of_judge(judge, name): interval
        for judge, found in (entry.get("judges") or {}).items()
        for name, interval in _figures(found).items()
    }
    own = {
        name: Interval(*(math.nan if figure[k] is None else float(figure[k]) for k in ("value", "low", "high")))
        for name, figure in entry.items()
        if isinstance(figure, Mapping) and "value" in figure
    }
    return own | further


def check_evaluation(where: Path | str, protocol: Mapping[str, Any], results: Mapping[str, SwapperRow]) -> None:
    """Raise InputError if figures or facts of the protocol are missing that this version needs."""
    missing = [
        f"protocol.{key}"
        for key in ("judge", "pose", "gallery_images", "gallery_persons", "pairs", "data")
        if key not in protocol
    ]
    missing += [
        f"results.{key}.{figure.name}"
        for key, swapper in results.items()
        for figure in required()
        if figure.name not in swapper.figures
    ]
    known = judges_in(protocol)
    missing += dict.fromkeys(
        f"protocol.judges.{judge}"
        for swapper in results.values()
        for judge in judging(swapper.figures)
        if judge not in known
    )
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(
            f"{where} comes from an older version: it lacks {missing[0]}{more}; run simswap-evaluate again"
        )


def read_curves(metrics: Mapping[str, list[float]]) -> dict[str, Curve]:
    """The curve of each metric: the iterations at which it was logged, and its values."""
    curves = {}
    for name, values in metrics.items():
        points = [(s, v) for s, v in zip(metrics[STEP], values, strict=True) if not math.isnan(v)]
        if name != STEP and points:
            curves[name] = ([s for s, _ in points], [v for _, v in points])
    return curves


def _name(folder: Path, among: list[Path]) -> str:
    """The shortest unique end of its path; a sweep's job keeps its sweep's name."""
    for length in range(1, len(folder.parts) + 1):
        end = folder.parts[-length:]
        if sum(other.parts[-length:] == end for other in among) == 1 and not "".join(end).isdigit():
            return "/".join(end)
    return str(folder)
