"""The runs of a comparison, read from their folders."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from simswap.comparison.ended import check_current, check_state
from simswap.comparison.judges import judges_in, judging
from simswap.comparison.run import Curve, Run, SliceRow, SwapperRow
from simswap.comparison.run_settings import flat
from simswap.errors import InputError
from simswap.metrics.figures import Interval, of_judge, required, validated
from simswap.tracking.metrics_rows import STEP
from simswap.tracking.runs import (
    CONFIG,
    EVALUATION,
    PAIRS,
    WORST,
    find_runs,
    newest_grid,
    read_config,
    read_evaluation,
    read_metrics,
)

SOURCES = ("evaluation", "validation")
GRIDS = ("evaluation.png", "evaluation_grid.png")


def load_local(
    given: str | Collection[str], source: str, curves: Collection[str], keep: Callable[[Mapping[str, Any]], bool]
) -> tuple[list[Run], list[str]]:
    """Load the runs in these folders.

    A run that cannot be compared (still running, crashed, diverged, not evaluated, of an older version) is an error if
    it was named itself, and is left out if it was found in a folder of runs.

    Args:
        given: See `find_runs`.
        source: ``evaluation`` (evaluation.json) or ``validation`` (the last validation in metrics.csv).
        curves: The metrics whose curves are wanted.
        keep: Whether a run is wanted, by its settings.

    Returns:
        The runs, and one line for each that was left out.

    Raises:
        InputError: If there is no run, a named run cannot be compared, or none can.
    """
    runs: list[Run] = []
    left_out: list[str] = []
    found = find_runs(given)
    for folder, named in found:
        try:
            loaded = list(_load(folder, _name(folder, [f for f, _ in found]), source, curves, keep))
        except InputError as error:
            if named:
                raise
            left_out.append(str(error))
            continue
        runs += loaded
    if not runs:
        if not left_out:
            raise InputError(f"where= keeps none of the {len(found)} runs: look at their .hydra/config.yaml")
        raise InputError(f"none of {len(found)} runs can be compared; the first: {left_out[0]}")
    return runs, left_out


def _load(
    folder: Path, name: str, source: str, curves: Collection[str], keep: Callable[[Mapping[str, Any]], bool]
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
            curves={k: v for k, v in drawn.items() if k in curves},
            grid=newest_grid(folder),
            **shared,
        )
        return
    evaluation, file = read_evaluation(folder), folder / EVALUATION
    results = {key: swapper_of(file, key, entry) for key, entry in evaluation["results"].items()}
    check_evaluation(file, evaluation["protocol"], results)
    own = [key for key, swapper in results.items() if swapper.kind == "trained"]
    if not has_config:  # somebody else's swaps, measured: each is a row of its own
        own = [key for key, swapper in results.items() if swapper.kind != "control"]
    for key in own if has_config else ():
        check_current(folder, results[key], status)
    if not own:
        raise InputError(f"{file} measures no trained swapper: evaluate the run's checkpoint")
    for key in own:
        grid = next((folder / file for file in GRIDS if (folder / file).is_file()), None)
        yield Run(
            name=name if has_config or len(own) == 1 else f"{name}: {key}",
            figures=results[key].figures,
            protocol=evaluation["protocol"],
            others=tuple(swapper for other, swapper in results.items() if other not in own),
            curves={k: v for k, v in drawn.items() if k in curves},
            pairs=folder / PAIRS if (folder / PAIRS).is_file() else None,
            grid=grid if key == "trained" else None,
            swapper=key,
            format=evaluation["format"],
            missed=results[key].missed,
            checkpoint=results[key].checkpoint,
            iteration=results[key].iteration,
            slices=slices_of(file, evaluation["protocol"], key, evaluation["results"][key]),
            worst=folder / WORST if key == "trained" and (folder / WORST).is_file() else None,
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


def last_validation(where: str, curves: Mapping[str, Curve]) -> tuple[dict[str, Interval], tuple[SwapperRow, ...]]:
    """The last validation's figures, without intervals, and its controls. Raises InputError without a validation."""

    def last(prefix: str) -> dict[str, Interval]:
        names = {metric.replace("val/", prefix, 1): figure.name for metric, figure in validated().items()}
        return {
            name: Interval(curves[metric][1][-1], math.nan, math.nan)
            for metric, name in names.items()
            if metric in curves
        }

    figures = last("val/")
    if "id_retrieval" not in figures:
        raise InputError(f"{where} has no validation in its metrics: train at least until trainer.val_check_interval")
    controls = (SwapperRow(name, "control", last(f"val/{name}/")) for name in CONTROLS)
    return figures, tuple(control for control in controls if control.figures)


CONTROLS = ("do_nothing", "copy_source")


def control_columns() -> list[str]:
    """The controls' figures in metrics.csv."""
    return [metric.replace("val/", f"val/{name}/", 1) for name in CONTROLS for metric in validated()]


def validation_protocol(config: Mapping[str, Any]) -> dict[str, Any]:
    """A run's validation as a protocol, from its settings, with the keys of evaluation.json where they exist."""

    def settings(group: str) -> dict[str, Any]:
        return {key: value for key, value in config.items() if key.startswith(f"{group}.")}

    persons, images = config.get("validation.persons"), config.get("validation.images_per_person")
    return {
        "name": "validation during training",
        "pairs": config.get("validation.pairs"),
        "gallery_persons": persons,
        "gallery_images": None if persons is None or images is None else persons * images,
        # without a judge, the recognizer used in training judges
        "judge": settings("judge") if config.get("judge._target_") else settings("recognition"),
        "pose": settings("pose"),
        "image_size": config.get("data.size"),
        "data": config.get("data.root"),
        "split": "val",
    }


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
