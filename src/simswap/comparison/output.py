"""The files of a comparison, written atomically."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from simswap.comparison.charts.rendering import Rendered, render
from simswap.comparison.comparison import Comparison
from simswap.comparison.page import Section, html_page, markdown_page
from simswap.comparison.swaps import sheet
from simswap.comparison.tables import differences_csv, results_csv, runs_csv
from simswap.errors import InputError
from simswap.files import atomic_write
from simswap.pictures import write_png
from simswap.tracking.runs import is_run

PAGE = "comparison.html"
WORK = "compare"
"""The name of the claim on the folder while a comparison is written."""


def check_folder(out: Path) -> Path:
    """Raise InputError for a folder that contains anything but an earlier comparison, which is overwritten."""
    if out.is_file():
        raise InputError(f"out={out} is a file; give a folder")
    held = out.is_dir() and any(not path.name.startswith(f".{WORK}.") for path in out.iterdir())  # besides its lock
    if is_run(out) or (held and not (out / PAGE).is_file()):
        raise InputError(f"out={out} contains other files; give a separate folder, as in outputs/compare/<name>")
    return out


def write_all(out: Path, comparison: Comparison, sections: Sequence[Section], made: str) -> Path:
    """Write charts and tables first and the page last, so that a page is always complete; returns its path."""
    swaps = next((list(s.swaps) for s in sections if s.swaps), [])
    plots, notes = render([chart for section in sections for chart in section.charts])
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    comparison = replace(comparison, notes=(*comparison.notes, *notes))
    sections = [kept for section in sections if (kept := without_failed(section, plots))]
    for name, plot in plots.items():
        with atomic_write(out / "figures" / f"{name}.png") as part:
            part.write_bytes(plot.png)
    for section in sections:
        for shown in section.pictures:
            with atomic_write(out / "figures" / f"{shown.name}.png") as part:
                part.write_bytes(shown.png)
    if swaps:
        picture, words = sheet(swaps, {v.label: v.short for v in comparison.variants})
        write_png(out / "figures" / "swaps.png", picture, words)
    texts = {
        "results.csv": results_csv(comparison), "differences.csv": differences_csv(comparison),
        "runs.csv": runs_csv(comparison), "comparison.md": markdown_page(comparison, sections, made),
        PAGE: html_page(comparison, sections, plots, made),
    }  # fmt: skip
    for name, text in texts.items():
        with atomic_write(out / name) as part:
            part.write_text(text, encoding="utf-8")
    return out / PAGE


def without_failed(section: Section, plots: Mapping[str, Rendered]) -> Section | None:
    """The section with the charts that could be drawn; None if nothing is left."""
    kept = replace(section, charts=tuple(chart for chart in section.charts if chart.name in plots))
    return kept if kept.charts or not section.charts or kept.tables or kept.folded else None
