"""Runs of a W&B project: the evaluation in their summaries or their last validation, and their curves."""

import math
from collections.abc import Callable, Collection, Mapping
from pathlib import Path, PurePath
from typing import Any

from simswap.comparison.collected import check_evaluation, swapper_of
from simswap.comparison.run import Curve, Run, SwapperRow
from simswap.comparison.run_settings import flat
from simswap.comparison.validations import control_columns, last_validation, validation_protocol
from simswap.errors import InputError
from simswap.metrics.figures import validated
from simswap.settings.recorded_names import earlier_figures, with_current_names
from simswap.settings.wandb_environment import tidied
from simswap.tracking.metrics_rows import STEP_METRIC
from simswap.tracking.wandb_artifacts import USED
from simswap.tracking.wandb_code import CODE
from simswap.tracking.wandb_summary import GRID, WORST, evaluation_in, prefix_of

GRIDS = "media/images/samples_"
"""The beginning of the sample grids' names among a run's files (tracking.logger.log_picture)."""
TIMEOUT = 20


def open_api() -> Any:
    """W&B's API for this login. Raises InputError without one."""
    import wandb

    try:
        with tidied():
            return wandb.Api(timeout=TIMEOUT)
    except (wandb.Error, ValueError, OSError, RuntimeError) as error:
        raise InputError(
            f"W&B: {_one_line(error)}; log in with wandb login, or compare local folders with runs="
        ) from error


def load_wandb(
    api: Any,
    project: str,
    source: str,
    curves: Collection[str],
    keep: Callable[[Mapping[str, Any]], bool],
    pictures: Path,
    *,
    group: str | None = None,
    tags: Collection[str] = (),
    asked: str | None = None,
) -> tuple[list[Run], list[str]]:
    """Load the finished training runs of a W&B project.

    Args:
        api: wandb.Api, or an object with its ``runs(path, filters)``.
        project: ``entity/project``.
        source: ``evaluation`` (what simswap-evaluate put into the summary) or ``validation`` (the last one).
        curves: The metrics whose curves are wanted.
        keep: Whether a run is wanted, by its settings.
        pictures: The folder for downloaded grids.
        group: Only runs of this group (see `is_in`).
        tags: Only runs with one of these tags.
        asked: The name of the runs' evaluation; None for their first one.

    Returns:
        The runs, and one line for each that was left out.

    Raises:
        InputError: If the project does not exist, the server does not answer, or no run can be compared.
    """
    import wandb

    filters: dict[str, Any] = {"jobType": "train"}
    if tags:
        filters["tags"] = {"$in": list(tags)}
    runs, left_out = [], []
    try:
        found = list(api.runs(project, filters=filters))
        if group:
            found, groups = [run for run in found if is_in(run, group)], {str(group_of(run)) for run in found}
            if not found:
                raise InputError(
                    f"wandb={project}: no training run is in the group {group}; there are: "
                    f"{', '.join(sorted(groups)) or 'none'}"
                )
        for run in found:
            config = flat(with_current_names({k: v for k, v in run.config.items() if k not in (USED, CODE)}))
            if not keep(config):
                continue
            try:
                runs.append(_load(run, config, source, curves, pictures, asked))
            except InputError as error:
                left_out.append(str(error))
    except (wandb.Error, ValueError, ConnectionError, TimeoutError) as error:
        raise InputError(f"wandb={project}: {_one_line(error)}; check the name, the login and the server") from error
    if not runs:
        why = f"; the first: {left_out[0]}" if left_out else ""
        raise InputError(f"wandb={project}: none of the {len(found)} training runs there can be compared{why}")
    return runs, left_out


def group_of(run: Any) -> str | None:
    """The run's group in W&B; a sweep's is ``<name> <its folder>``."""
    return getattr(run, "group", None)


def is_in(run: Any, group: str) -> bool:
    """Whether a run belongs to a group.

    The group is a sweep (``ablation 2026-11-25_22-00-00``), or an experiment (``ablation``) with all of its sweeps and
    single runs.
    """
    own = group_of(run)
    return own == group or (own is not None and own.startswith(f"{group} ")) or dict(run.config).get("name") == group


def _load(
    run: Any, config: Mapping[str, Any], source: str, curves: Collection[str], pictures: Path, asked: str | None
) -> Run:
    if run.state == "running":
        raise InputError(f"{run.url} is still running: compare it when it has finished")
    if run.state != "finished":
        raise InputError(f"{run.url} {run.state}: resume it with simswap-train resume=<its folder>, or leave it out")
    # A plain dict; run.summary would return nested values that are not Mappings.
    summary: Mapping[str, Any] = run.summary_metrics
    shared: dict[str, Any] = {
        "name": run.name, "where": run.url, "config": config, "state": run.state,
        "curves": {name: curve for name in curves if (curve := _curve(run, name))[0]},
    }  # fmt: skip
    if source == "validation":
        values = {name: _last(_recorded(summary, name)) for name in (*validated(), *control_columns())}
        last = {name: ([0.0], [value]) for name, value in values.items() if not math.isnan(value)}
        figures, others = last_validation(run.url, last)
        return Run(
            figures=figures,
            others=others,
            protocol=validation_protocol(config),
            grid=_last_samples(run, pictures),
            **shared,
        )
    evaluation = evaluation_in(summary, run.url, asked)
    if evaluation is None and asked is not None:
        raise InputError(
            f"{run.url} has no evaluation {asked} in its summary: run simswap-evaluate name={asked} on its folder"
        )
    if evaluation is None:
        raise InputError(
            f"{run.url} has no evaluation in its summary: run simswap-evaluate on its folder, or take the "
            "last validations with figures=validation"
        )
    results = {key: swapper_of(run.url, key, entry) for key, entry in evaluation["results"].items()}
    check_evaluation(run.url, evaluation["protocol"], results)
    own = results.pop("trained", None)
    if own is None:
        raise InputError(f"{run.url}'s evaluation measures no trained swapper: evaluate the run's checkpoint")
    _check_step(run, own, summary.get(STEP_METRIC))
    grid = summary.get(prefix_of(asked) + GRID)
    picture = _download(run, pictures, run.file(grid["path"])) if isinstance(grid, Mapping) else None
    worst = summary.get(prefix_of(asked) + WORST)
    return Run(
        figures=own.figures,
        others=tuple(results.values()),
        protocol=evaluation["protocol"],
        grid=picture,
        swapper="trained",
        evaluation=asked or "",
        format=evaluation["format"],
        missed=own.missed,
        checkpoint=own.checkpoint,
        iteration=own.iteration,
        worst=_download(run, pictures, run.file(worst["path"])) if isinstance(worst, Mapping) else None,
        **shared,
    )


def _check_step(run: Any, own: SwapperRow, step: Any) -> None:
    """Raise InputError if the run has gone on since ``last.ckpt`` was measured."""
    if (
        PurePath(own.checkpoint).name == "last.ckpt"
        and own.iteration is not None
        and isinstance(step, int | float)
        and step + 1 > own.iteration
    ):
        raise InputError(
            f"{run.url}'s evaluation measured iteration {own.iteration}, and the run is at {step + 1:.0f} "
            "now: run simswap-evaluate on its checkpoint again"
        )


def _recorded(summary: Mapping[str, Any], name: str) -> Any:
    """A metric's entry, which an older run has under its earlier name."""
    return next((summary[one] for one in (name, *earlier_figures(name)) if one in summary), None)


def _last(value: Any) -> float:
    """A metric's last value in a summary: a number, or an entry of a mapping with its best value."""
    if isinstance(value, Mapping):
        value = value.get("last")
    return float(value) if isinstance(value, int | float) else math.nan


def _curve(run: Any, name: str) -> Curve:
    """A metric's curve; values that JSON does not have arrive as text and are left out."""
    for one in (name, *earlier_figures(name)):
        rows = [row for row in run.scan_history(keys=[STEP_METRIC, one]) if isinstance(row.get(one), int | float)]
        if rows:
            return [float(row[STEP_METRIC]) for row in rows], [float(row[one]) for row in rows]
    return [], []


def _last_samples(run: Any, pictures: Path) -> Path | None:
    """Download the last sample grid, ``samples_<step>_<hash>.png``; None without any."""
    grids = [file for file in run.files() if file.name.startswith(GRIDS)]
    files = {int(file.name.removeprefix(GRIDS).split("_")[0]): file for file in grids}
    return _download(run, pictures, files[max(files)]) if files else None


def _download(run: Any, pictures: Path, file: Any) -> Path:
    folder = pictures / run.id
    file.download(root=str(folder), replace=True)
    return folder / file.name


def _one_line(error: Exception) -> str:
    return (" ".join(str(error).split()) or repr(error)).rstrip(".")
