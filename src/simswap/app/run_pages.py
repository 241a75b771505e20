"""What the tab of runs shows, as HTML: the comparison page, sample grids and curves."""

import time
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from simswap.app.curves import MOST_RUNS, last_values, runs_chart
from simswap.app.parts import table
from simswap.app.run_folders import RunFolders
from simswap.app.shelf import Shelf
from simswap.comparison.charts.drawing import NARROW, WIDE, drawn, svg_text
from simswap.comparison.charts.rendering import render
from simswap.comparison.collected import load_local, read_curves
from simswap.comparison.comparison import compare_runs
from simswap.comparison.output import without_failed
from simswap.comparison.page import PHONE, html_page
from simswap.comparison.sections import sections_of
from simswap.errors import InputError
from simswap.tracking.metrics_rows import STEP
from simswap.tracking.runs import read_metrics

CURVES = ("val/id_retrieval", "val/pose_error_deg", "train/identity", "train/feature_matching")
"""The metrics that are drawn where nothing else is chosen."""
MOST_METRICS = 8


def comparison_html(runs: RunFolders, shelf: Shelf, choices: Sequence[str], figures: str) -> tuple[str, str]:
    """The comparison page of runs, in a frame that keeps it to itself.

    Args:
        runs: The folders.
        shelf: Where the page goes.
        choices: Runs and groups of runs.
        figures: ``evaluation`` or ``validation``, as in simswap-compare.

    Returns:
        HTML with the frame, and a line on what was left out.

    Raises:
        InputError: No run is chosen, or the runs cannot be compared.
    """
    names = _names(runs, choices)
    usable, left_out = _usable(runs, names, figures)
    found, _ = load_local(usable, figures, CURVES, _every)
    comparison = compare_runs(found, title=f"Comparison of {len(found)} runs", left_out=left_out)
    sections = sections_of(comparison, published=False, curves=list(CURVES), pictures=4)
    plots, _ = render([chart for section in sections for chart in section.charts])
    kept = [one for section in sections if (one := without_failed(section, plots))]
    page = html_page(comparison, kept, plots, time.strftime("%Y-%m-%d %H:%M"))
    page = page.replace(f"{runs.root}/", "")  # the page's users need not know where the runs lie
    address = shelf.keep("comparison.html", page.encode())
    said = f"{len(found)} runs compared" + (f"; {len(left_out)} left out, as the page says" if left_out else "")
    return (
        f'<p class="save"><a href="{address}" target="_blank" rel="noopener">Open the comparison by itself</a></p>'
        f'<iframe class="comparison" src="{address}" title="Comparison of runs" sandbox="allow-scripts"></iframe>',
        said,
    )


def _usable(runs: RunFolders, names: Sequence[str], figures: str) -> tuple[list[str], list[str]]:
    """The runs that can be compared, and a line for each other; raises InputError where none can."""
    usable, left_out = [], []
    for name in names:
        try:
            folder = str(runs.folder(name))
            load_local(folder, figures, (), _every)
        except InputError as error:
            left_out.append(str(error))
        else:
            usable.append(folder)
    if not usable:
        more = f", and so are {len(left_out) - 1} more" if len(left_out) > 1 else ""
        raise InputError(f"{left_out[0]} (left out{more})")
    return usable, left_out


def _every(config: Mapping[str, Any]) -> bool:
    return True


def grid_html(runs: RunFolders, shelf: Shelf, name: str, iteration: int) -> str:
    """A sample grid of a run. Raises InputError where there is none of this iteration."""
    file = runs.grids(name).get(iteration)
    if file is None:
        raise InputError(f"{name} has no sample grid of iteration {iteration}")
    address = shelf.keep(f"{iteration:07d}.png", file.read_bytes())
    alt = f"Sample grid of {name} at iteration {iteration}: targets on the left, sources on top, swaps where they meet"
    return (
        f'<figure class="grid"><img src="{address}" alt="{escape(alt)}"><figcaption>iteration {iteration:,}'
        "</figcaption></figure>"
    )


def metric_names(runs: RunFolders, choices: Sequence[str]) -> list[str]:
    """The metrics that any of the runs logged, in the order of their files."""
    found = dict.fromkeys(metric for name in runs.chosen(choices) for metric in _metrics(runs, name))
    return [name for name in found if name != STEP]


def _metrics(runs: RunFolders, name: str) -> dict[str, list[float]]:
    try:
        return read_metrics(runs.folder(name))
    except InputError:
        return {}


def curves_html(runs: RunFolders, shelf: Shelf, choices: Sequence[str], metrics: Sequence[str]) -> str:
    """A chart of curves, and a table with their last values.

    Raises:
        InputError: Nothing is chosen, too much is, or a run has logged nothing.
    """
    names = _names(runs, choices)
    if not metrics:
        raise InputError("no metric is chosen: choose at least one")
    if len(names) > MOST_RUNS or len(metrics) > MOST_METRICS:
        raise InputError(
            f"{len(names)} runs and {len(metrics)} metrics are too many to tell apart: choose at most {MOST_RUNS} "
            f"runs and {MOST_METRICS} metrics"
        )
    curves = {name: read_curves(read_metrics(runs.folder(name), metrics)) for name in names}
    chart = runs_chart(curves, metrics)
    wide, narrow = (shelf.keep("curves.svg", svg_text(chart, drawn(chart, width)).encode()) for width in (WIDE, NARROW))
    return (
        f'<figure class="curves"><picture><source media="{PHONE}" srcset="{narrow}"><img src="{wide}" '
        f'alt="{escape(chart.alt)}"></picture><figcaption>{escape(chart.caption)}</figcaption></figure>'
        + table("Last values", ("run", "iteration", *metrics), last_values(curves, metrics))
    )


def _names(runs: RunFolders, choices: Sequence[str]) -> list[str]:
    names = runs.chosen(choices)
    if not names:
        raise InputError("no run is chosen: choose runs, or a folder of them")
    return names
