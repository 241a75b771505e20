"""The comparison as a W&B report: its tables and plots, and W&B's own panels over the same runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simswap.comparison.comparison import Comparison
from simswap.comparison.page import Section
from simswap.comparison.summary import at_a_glance, protocol_words
from simswap.comparison.tables import markdown, results_table
from simswap.errors import InputError
from simswap.tracking.metrics_rows import STEP_METRIC

JOB = "compare"


def publish(comparison: Comparison, sections: Sequence[Section], out: Path, project: str) -> str:
    """Log the plots and the table as a run of ``entity/project`` and write the report about it; gives its address.

    Raises InputError without a login, a server or the extra ``reports``.
    """
    import wandb

    try:
        import wandb_workspaces.reports.v2  # noqa: F401
    except ImportError as error:
        raise InputError("report= needs wandb-workspaces: pip install 'simswap[reports]'") from error
    entity, _, name = project.partition("/")
    if not entity or not name:
        raise InputError(f"report={project}: give entity/project")
    figures = {path.stem: path for path in sorted((out / "figures").glob("*.png"))}
    settings = wandb.Settings(silent=True, console="off", init_timeout=20)
    try:
        with wandb.init(entity=entity, project=name, job_type=JOB, name=comparison.title[:128], mode="online",
                        dir=str(out), settings=settings) as run:  # fmt: skip
            run.log({key: wandb.Image(str(path)) for key, path in figures.items()})
            run.log({"results": results_for_wandb(comparison)})
        report = build_report(comparison, sections, entity, name, list(figures))
        report.save()
    except Exception as error:  # the workspaces package raises bare Exceptions for a missing login
        reason = " ".join(str(error).split()) or repr(error)
        raise InputError(f"report={project}: {reason.rstrip('.')}; the local page is whole. Log in with wandb login"
                         ) from error
    return str(report.url)


def results_for_wandb(comparison: Comparison) -> Any:
    """The table of results as wandb.Table: a row a variant, its changed settings and its figures."""
    import wandb

    figures = [f.name for f in comparison.columns]
    columns: list[Any] = ["variant", "seeds", *comparison.settings, *figures, *(f"{name}_sd" for name in figures)]
    rows = [[v.label, len(v.seeds), *(str(v.settings.get(key, "")) for key in comparison.settings),
             *(v.spread(name).mean for name in figures), *(v.spread(name).sd for name in figures)]
            for v in comparison.variants]  # fmt: skip
    return wandb.Table(columns=columns, data=rows)


def build_report(
    comparison: Comparison, sections: Sequence[Section], entity: str, project: str, figures: Sequence[str]
) -> Any:
    """The report, not yet saved. figures: the keys of the plots in the comparison's own run."""
    import wandb_workspaces.reports.v2 as wr

    groups = sorted({str(run.config["name"]) for run in comparison.runs if run.config.get("name")})
    trained = wr.Runset(entity=entity, project=project, name="training runs",
                        filters=f"Metric('group') in {groups!r} and Metric('jobType') == 'train'")
    own = wr.Runset(entity=entity, project=project, name="this comparison",
                    filters=f"Metric('jobType') == '{JOB}' and Metric('displayName') == {comparison.title[:128]!r}")
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
    words = [*at_a_glance(comparison), *comparison.notes, *(f"Left out: {line}" for line in comparison.left_out)]
    blocks: list[Any] = [wr.MarkdownBlock("\n\n".join(words)), wr.H2("Final figures"),
                         wr.MarkdownBlock(markdown(results_table(comparison))), wr.H2("Plots"),
                         wr.PanelGrid(runsets=[own], panels=[wr.MediaBrowser(media_keys=list(figures))])]
    for section in sections:
        if section.anchor in ("results", "runs") or not section.tables:
            continue
        text = "\n\n".join([*map(markdown, section.tables), section.caption])
        blocks += [wr.H2(section.title), wr.MarkdownBlock(text)]
    measured = "\n".join(f"- {what}: {text}" for what, text in protocol_words(comparison))
    blocks += [wr.H2("The runs in W&B"), wr.PanelGrid(runsets=[trained], panels=panels),
               wr.H2("How it was measured"), wr.MarkdownBlock(measured)]
    return wr.Report(entity=entity, project=project, title=comparison.title, blocks=blocks)
