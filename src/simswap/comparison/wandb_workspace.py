"""A group of runs in W&B's own views: the sections of a workspace, and the same panels in a report.

The keys are those that training and evaluation log; a test compares them with a run's records.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from simswap.comparison.run_settings import comparable, flat
from simswap.comparison.variants import BOOKKEEPING
from simswap.metrics.figures import Figure, validated
from simswap.tracking.metrics_rows import STEP_METRIC
from simswap.tracking.wandb_artifacts import USED
from simswap.tracking.wandb_code import CODE
from simswap.tracking.wandb_evaluation import PAIRS
from simswap.tracking.wandb_summary import GRID, WORST, prefix_of

IDENTITY, POSE = "id_retrieval", "pose_error_deg"
"""The two figures of the trade-off."""
RANGE = ("objective.feature_matching.first_layer", "objective.feature_matching.last_layer")
EVALUATION = prefix_of(None)
SPEED = ("watch/images_per_second", "watch/data_wait_share", "watch/memory_mb")
LOSSES = ("identity", "reconstruction", "adversarial", "feature_matching", "gradient_penalty", "discriminator",
          "generator_grad_norm", "discriminator_grad_norm")  # fmt: skip
SMOOTHING = 0.7
"""Weight of the smoothing of losses, which are noisy; figures of validation are drawn as they are."""
MOST_COLUMNS = 8
NOT_SETTINGS = (*BOOKKEEPING, USED, CODE, "_wandb", "hydra", "sweep", "launcher", "resume_overrides", "on_existing_run")


def varied_settings(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The settings in which runs differ: dotted key → the distinct values; paths and bookkeeping are left out."""
    tables = [flat(config) for config in configs]
    found: dict[str, list[Any]] = {}
    for key in dict.fromkeys(key for table in tables for key in table):
        values = {comparable(table.get(key)): table.get(key) for table in tables}
        is_path = any(isinstance(value, str) and "/" in value for value in values.values())
        if len(values) > 1 and key.split(".")[0] not in NOT_SETTINGS and not is_path:
            found[key] = list(values.values())
    return found


def sections(varied: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """The panels by section.

    Args:
        varied: `varied_settings`.
    """
    import wandb_workspaces.reports.v2 as wr

    figures = {figure.name: figure for figure in validated().values()}
    ordered = [
        figures[IDENTITY],
        figures[POSE],
        *(one for name, one in figures.items() if name not in (IDENTITY, POSE)),
    ]
    found: dict[str, list[Any]] = {
        "Validation": [_curve(figure) for figure in ordered],
        "Trade-off": [
            wr.ScatterPlot(
                title="identity against pose, last validation", x=_last(figures[POSE]), y=_last(figures[IDENTITY])
            ),
            wr.ScatterPlot(
                title="identity against pose, evaluation", x=_evaluated(figures[POSE]), y=_evaluated(figures[IDENTITY])
            ),
        ],
        "Settings": [
            *(wr.ParameterImportancePlot(with_respect_to=last_key(figures[name])) for name in (IDENTITY, POSE)),
            parallel_coordinates(varied, [figures[IDENTITY], figures[POSE]]),
        ],
        "Layer range": [
            wr.ScatterPlot(title=f"{one.label} by first and last layer", x=wr.Config(RANGE[0]), y=wr.Config(RANGE[1]),
                           z=_last(one))
            for one in (figures[IDENTITY], figures[POSE])
        ],
        "Pictures": [
            wr.MediaBrowser(title="samples", media_keys=["samples"]),
            wr.MediaBrowser(title="evaluation", media_keys=[EVALUATION + GRID, EVALUATION + WORST]),
            wr.WeavePanelSummaryTable(table_name=EVALUATION + PAIRS),
        ],
        "Losses": [
            wr.LinePlot(title=name, x=STEP_METRIC, y=[f"train/{name}"], smoothing_type="exponential",
                        smoothing_factor=SMOOTHING, smoothing_show_original=True)
            for name in LOSSES
        ],
        "Speed": [wr.LinePlot(title=name, x=STEP_METRIC, y=[name]) for name in SPEED],
    }  # fmt: skip
    return found if any(key in varied for key in RANGE) else {k: v for k, v in found.items() if k != "Layer range"}


def last_key(figure: Figure) -> str:
    """The summary's key of a figure's last validation."""
    name = f"val/{figure.name}"
    return f"{name}.last" if figure.best else name


def _last(figure: Figure) -> Any:
    import wandb_workspaces.reports.v2 as wr

    return wr.SummaryMetric(last_key(figure))


def _evaluated(figure: Figure) -> Any:
    import wandb_workspaces.reports.v2 as wr

    return wr.SummaryMetric(f"{EVALUATION}{figure.name}.value")


def _curve(figure: Figure) -> Any:
    """A figure of validation over the iterations; shares from 0 to 1, errors from 0."""
    import wandb_workspaces.reports.v2 as wr

    share, low = figure.share, None if figure.goal == "max" else 0.0
    return wr.LinePlot(
        title=figure.label,
        x=STEP_METRIC,
        y=[f"val/{figure.name}"],
        title_x="iteration",
        title_y=figure.unit or None,
        range_y=(0.0, 1.0) if share else (low, None),
        smoothing_type="none",
    )


def parallel_coordinates(varied: Mapping[str, Sequence[Any]], figures: Sequence[Figure]) -> Any:
    """The varied settings, those over more than a decade and a half on a logarithmic axis, and the figures, best up."""
    import wandb_workspaces.reports.v2 as wr

    axes = [
        wr.ParallelCoordinatesPlotColumn(metric=wr.Config(key), display_name=key.split(".")[-1], log=is_wide(values))
        for key, values in list(varied.items())[:MOST_COLUMNS]
    ]
    ends = [
        wr.ParallelCoordinatesPlotColumn(metric=_last(one), display_name=one.label, inverted=one.goal == "min")
        for one in figures
    ]
    return wr.ParallelCoordinatesPlot(title="settings and figures", columns=[*axes, *ends])


def is_wide(values: Sequence[Any]) -> bool:
    """Whether a setting's values are positive numbers whose largest is at least 30 times the smallest."""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return len(numbers) == len(values) > 1 and min(numbers) > 0 and math.log10(max(numbers) / min(numbers)) >= 1.47


def columns(varied: Mapping[str, Sequence[Any]]) -> list[str]:
    """The pinned columns of the run table, as W&B names them."""
    figures = {figure.name: figure for figure in validated().values()}
    both = [figures[IDENTITY], figures[POSE]]
    return [
        "run:displayName",
        "run:state",
        *(f"summary:{last_key(one)}" for one in both),
        *(f"summary:val/{one.name}.{one.goal}" for one in both),
        *(f"summary:{EVALUATION}{one.name}.value" for one in both),
        *(column_of(key) for key in [*list(varied)[:MOST_COLUMNS], "seed"]),
        f"summary:{STEP_METRIC}",
    ]


def column_of(key: str) -> str:
    """The column of a setting: W&B stores a nested config with ``value`` behind its first name."""
    first, _, rest = key.partition(".")
    return f"config:{first}.value{f'.{rest}' if rest else ''}"


def filters(groups: Collection[str | None]) -> Any:
    """The training runs of these groups of W&B.

    The config's ``name`` would not do: W&B's package takes it for the run's attribute of that name.
    """
    import wandb_workspaces.expr as expr

    return expr.And(
        expr.Metric("JobType") == "train", expr.Metric("Group").isin(sorted({group for group in groups if group}))
    )


def build_workspace(
    entity: str, project: str, group: str, groups: Collection[str | None], varied: Mapping[str, Sequence[Any]]
) -> Any:
    """A workspace of a group, without saving it."""
    import wandb_workspaces.expr as expr
    import wandb_workspaces.workspaces as ws

    figures = {figure.name: figure for figure in validated().values()}
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"SimSwap {group}",
        sections=[
            ws.Section(name=name, panels=panels, is_open=name not in ("Losses", "Speed"))
            for name, panels in sections(varied).items()
        ],
        settings=ws.WorkspaceSettings(x_axis=STEP_METRIC, max_runs=50),
        runset_settings=ws.RunsetSettings(
            filters=filters(groups),
            order=[expr.Ordering(expr.Summary(last_key(figures[IDENTITY])), ascending=False)],
            pinned_columns=columns(varied),
        ),
    )


def build_group_report(
    entity: str, project: str, group: str, groups: Collection[str | None], varied: Mapping[str, Sequence[Any]]
) -> Any:
    """A report with the workspace's panels, without saving it."""
    import wandb_workspaces.reports.v2 as wr

    def runset() -> Any:
        return wr.Runset(entity=entity, project=project, name=group, filters=filters(groups))

    blocks: list[Any] = [wr.TableOfContents()]
    for name, panels in sections(varied).items():
        blocks += [wr.H2(name), wr.PanelGrid(runsets=[runset()], panels=panels)]
    return wr.Report(entity=entity, project=project, title=f"SimSwap {group}", blocks=blocks, width="fluid")
