"""The comparison as a W&B report: its tables and plots, and W&B's own panels over the same runs."""

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simswap.comparison.comparison import Comparison
from simswap.comparison.page import Section
from simswap.comparison.run import Run
from simswap.comparison.summary import at_a_glance, protocol_words
from simswap.comparison.tables import markdown, results_table
from simswap.errors import InputError
from simswap.settings.wandb_environment import folder_for, given, settled_mode, tidied
from simswap.tracking.metrics_rows import STEP_METRIC
from simswap.tracking.wandb_run import known_as

JOB = "compare"


def publish(comparison: Comparison, sections: Sequence[Section], out: Path, project: str) -> str:
    """Log the charts and the table as a run of ``entity/project``, write a report on it, and return its address.

    Raises:
        InputError: Without a login, a server or the extra ``reports``.
    """
    import wandb

    try:
        import wandb_workspaces.reports.v2  # noqa: F401
    except ImportError as error:
        raise InputError("report= needs wandb-workspaces: pip install 'simswap[reports]'") from error
    entity, _, name = check_report(project).partition("/")
    figures = {path.stem: path for path in sorted((out / "figures").glob("*.png"))}
    settings = wandb.Settings(silent=True, console="off", init_timeout=20)
    try:
        # A new id: WANDB_RUN_ID belongs to a training run, which must not be overwritten.
        with (
            tidied(),
            wandb.init(
                entity=entity,
                project=name,
                job_type=JOB,
                name=comparison.title[:128],
                mode="online",
                id=uuid.uuid4().hex[:8],
                dir=str(folder_for(out)),
                settings=settings,
            ) as run,
        ):
            run.log({key: wandb.Image(str(path)) for key, path in figures.items()})
            run.log({"results": results_for_wandb(comparison)})
        report = build_report(comparison, sections, entity, name, list(figures))
        report.save()
    except Exception as error:  # the workspaces package raises bare Exceptions for a missing login
        reason = " ".join(str(error).split()) or repr(error)
        raise InputError(
            f"report={project}: {reason.rstrip('.')}; the local page is complete. Log in with wandb login"
        ) from error
    return str(report.url)


def ids_in_wandb(runs: Sequence[Run]) -> list[str]:
    """The W&B ids of the compared runs, from their folders or their addresses."""
    found = {}
    for run in runs:
        if run.where.startswith(("http://", "https://")):
            found[run.where] = run.where.rstrip("/").rpartition("/")[2]
        elif (known := known_as(Path(run.where))) is not None:
            found[run.where] = known.id
    return sorted(set(found.values()))


def check_report(project: str) -> str:
    """``entity/project`` of a report; without an entity, WANDB_ENTITY is used.

    Raises:
        InputError: If it is malformed, or W&B's variables keep it offline.
    """
    entity, _, name = project.rpartition("/")
    entity = entity or given("WANDB_ENTITY") or ""
    if not entity or not name or "/" in entity:
        raise InputError(f"report={project}: give entity/project")
    mode = settled_mode("auto")
    if mode != "online":
        raise InputError(
            f"report={project} needs W&B's server, but its variables in the environment say {mode}: unset "
            "WANDB_MODE and WANDB_DISABLED, or leave out report="
        )
    return f"{entity}/{name}"


def results_for_wandb(comparison: Comparison) -> Any:
    """The results as wandb.Table: one row per variant with its changed settings and its figures."""
    import wandb

    figures = [f.name for f in comparison.columns]
    columns: list[Any] = ["variant", "seeds", *comparison.settings, *figures, *(f"{name}_sd" for name in figures)]
    rows = [
        [
            v.label,
            len(v.seeds),
            *(str(v.settings.get(key, "")) for key in comparison.settings),
            *(v.spread(name).mean for name in figures),
            *(v.spread(name).sd for name in figures),
        ]
        for v in comparison.variants
    ]
    return wandb.Table(columns=columns, data=rows)


def build_report(
    comparison: Comparison, sections: Sequence[Section], entity: str, project: str, figures: Sequence[str]
) -> Any:
    """Build the report without saving it. figures: the keys of the charts in the comparison's own run."""
    import wandb_workspaces.reports.v2 as wr

    ids = ids_in_wandb(comparison.runs)
    trained = wr.Runset(entity=entity, project=project, name="training runs", filters=f"Metric('ID') in {ids!r}")
    own = wr.Runset(
        entity=entity,
        project=project,
        name="this comparison",
        filters=f"Metric('jobType') == '{JOB}' and Metric('displayName') == {comparison.title[:128]!r}",
    )
    last: list[Any] = [wr.SummaryMetric(f"val/{name}.last") for name in ("pose_error_deg", "id_retrieval")]
    axes: list[Any] = [wr.Config(key) for key in comparison.settings if key != "variant"]
    panels: list[Any] = [
        wr.ScatterPlot(title="identity against pose", x=last[0], y=last[1]),
        *(wr.LinePlot(title=name, x=STEP_METRIC, y=[name]) for name in ("val/id_retrieval", "val/pose_error_deg")),
        wr.ParallelCoordinatesPlot(
            columns=[wr.ParallelCoordinatesPlotColumn(metric=axis) for axis in [*axes, *last]]),
        wr.MediaBrowser(title="samples", media_keys=["samples"]),
        wr.RunComparer(diff_only="split"),
    ]  # fmt: skip
    unknown = len({run.where for run in comparison.runs}) - len(ids)
    missing = f"{unknown} of the runs never logged to W&B and are not in these panels."
    where = [wr.MarkdownBlock(missing)] if unknown else []
    words = [*at_a_glance(comparison), *comparison.notes, *(f"Left out: {line}" for line in comparison.left_out)]
    blocks: list[Any] = [
        wr.MarkdownBlock("\n\n".join(words)),
        wr.H2("Final figures"),
        wr.MarkdownBlock(markdown(results_table(comparison))),
        wr.H2("Plots"),
        wr.PanelGrid(runsets=[own], panels=[wr.MediaBrowser(media_keys=list(figures))]),
    ]
    for section in sections:
        if section.anchor in ("results", "runs") or not section.tables:
            continue
        text = "\n\n".join([*map(markdown, section.tables), section.caption])
        blocks += [wr.H2(section.title), wr.MarkdownBlock(text)]
    measured = "\n".join(f"- {what}: {text}" for what, text in protocol_words(comparison))
    blocks += [
        wr.H2("The runs in W&B"),
        *where,
        *([wr.PanelGrid(runsets=[trained], panels=panels)] if ids else []),
        wr.H2("How it was measured"),
        wr.MarkdownBlock(measured),
    ]
    return wr.Report(entity=entity, project=project, title=comparison.title, blocks=blocks)
