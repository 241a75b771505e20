"""The comparison as one self-contained HTML file, and as Markdown."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from itertools import groupby

from simswap.comparison.charts.drawing import Chart
from simswap.comparison.charts.rendering import Rendered
from simswap.comparison.comparison import Comparison
from simswap.comparison.escaping import markdown_text
from simswap.comparison.summary import at_a_glance, protocol_words
from simswap.comparison.swaps import SwapRow, cell_png
from simswap.comparison.tables import Cell, Table, markdown
from simswap.comparison.variants import shown_value
from simswap.comparison.worst import Picture
from simswap.metrics.intervals import approximate
from simswap.version import __version__

PHONE = "(max-width: 600px)"


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        anchor: The link's target.
        title: The heading.
        tables: Its tables.
        charts: Its charts.
        swaps: Rows of swaps side by side.
        caption: How to read it.
        pictures: Finished pictures that open on a click.
        folded: A table that opens on a click.
        folded_title: That table's title.
    """

    anchor: str
    title: str
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    swaps: tuple[SwapRow, ...] = ()
    caption: str = ""
    pictures: tuple[Picture, ...] = ()
    folded: Table | None = None
    folded_title: str = ""


def html_page(comparison: Comparison, sections: Sequence[Section], plots: Mapping[str, Rendered], made: str) -> str:
    """The HTML page. plots: the rendered charts by name. made: the time, as text."""
    style, script = (files("simswap.comparison").joinpath(f"page.{end}").read_text("utf-8") for end in ("css", "js"))
    seeds = {len(v.seeds) for v in comparison.variants}
    many = len(comparison.variants)
    lead = (
        f"{_plural(len(comparison.runs), 'run')} in {_plural(many, 'variant')}, "
        f"{_range(seeds)} seed{'s' if max(seeds) > 1 else ''} each; baseline: {comparison.baseline.label}"
    )
    navigation = "".join(f'<a href="#{s.anchor}">{escape(s.title)}</a>' for s in sections)
    glance = "".join(f"<p>{escape(sentence)}</p>" for sentence in at_a_glance(comparison))
    notes = [*comparison.notes, *(f"Left out: {line}" for line in comparison.left_out)]
    body = [
        f'<header><h1>{escape(comparison.title)}</h1><p class="lead">{escape(lead)}</p>'
        f'<nav aria-label="Sections">{navigation}<a href="#measured">How it was measured</a></nav></header>',
        f'<div class="glance">{glance}</div>' if glance else "",
        '<div class="notes">' + "".join(f"<p>{escape(n)}</p>" for n in notes) + "</div>" if notes else "",
        *(_section(section, plots) for section in sections),
        _measured(comparison),
        f'<footer class="small">Written by simswap-compare (SimSwap Lab {__version__}), {escape(made)}. Pictures of '
        "swaps are synthetic; their files say so.</footer>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # an empty icon, which a browser would otherwise request
        f'<link rel="icon" href="data:,">\n<title>{escape(comparison.title)}</title>\n'
        f"<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + f"\n</main>\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def markdown_page(comparison: Comparison, sections: Sequence[Section], made: str) -> str:
    """The same content in Markdown; the charts are PNG files beside it."""
    shown = markdown_text
    lines = [f"# {shown(comparison.title)}", "", *(f"{shown(s)}\n" for s in at_a_glance(comparison))]
    lines += [f"> {shown(note)}\n" for note in comparison.notes]
    lines += [f"> Left out: {shown(line)}\n" for line in comparison.left_out]
    for section in sections:
        lines += [f"## {shown(section.title)}", ""]
        for chart in section.charts:
            lines += [f"![{shown(chart.alt)}](figures/{chart.name}.png)", "", shown(chart.caption), ""]
        if section.swaps:
            lines += ["![The same targets and sources, swapped by every variant](figures/swaps.png)", ""]
        for picture in section.pictures:
            lines += [f"{shown(picture.title)}:", "", f"![{shown(picture.title)}](figures/{picture.name}.png)", ""]
        for table in section.tables:
            lines += [markdown(table), ""]
        lines += [shown(section.caption), ""] if section.caption else []
        lines += [f"{section.folded_title}:", "", markdown(section.folded), ""] if section.folded else []
    lines += [
        "## How it was measured",
        "",
        *(f"- {what}: {shown(words)}" for what, words in protocol_words(comparison)),
        "",
        f"Written by simswap-compare (SimSwap Lab {__version__}), {made}.",
    ]
    return "\n".join(lines) + "\n"


def _section(section: Section, plots: Mapping[str, Rendered]) -> str:
    parts = [f'<section id="{section.anchor}"><h2>{escape(section.title)}</h2>']
    parts += [_chart(chart, plots[chart.name], several=len(section.charts) > 1) for chart in section.charts]
    parts += [_swap_row(row) for row in section.swaps]
    parts += [_picture(picture) for picture in section.pictures]
    parts += [html_table(table) for table in section.tables]
    if section.folded:
        parts.append(
            f"<details><summary>{escape(section.folded_title)}</summary>{html_table(section.folded)}</details>"
        )
    if section.caption:
        parts.append(f'<p class="caption">{escape(section.caption)}</p>')
    return "\n".join([*parts, "</section>"])


def _chart(chart: Chart, plot: Rendered, several: bool) -> str:
    """A chart for a page and one for a phone; the browser chooses."""
    wide, narrow = (_data(svg.encode(), "svg+xml") for svg in (plot.wide, plot.narrow))
    title = f"<strong>{escape(chart.title)}.</strong> " if several else ""
    return (
        f'<figure id="figure-{chart.name}"><picture><source media="{PHONE}" srcset="{narrow}">'
        f'<img src="{wide}" alt="{escape(chart.alt)}"></picture>'
        f"<figcaption>{title}{escape(chart.caption)}</figcaption></figure>"
    )


def _picture(picture: Picture) -> str:
    title = escape(picture.title)
    return (
        f"<details><summary>{title}</summary><figure>"
        f'<img src="{_data(picture.png, "png")}" alt="{escape(f"Worst pairs: {picture.title}")}"></figure></details>'
    )


def _swap_row(row: SwapRow) -> str:
    cells = [("target", cell_png(row.target), "original"), ("source", cell_png(row.source), "original")]
    cells += [(label, cell_png(picture, text), "swap") for label, picture, text in row.results]
    alts = {"target": "the target's face", "source": "the source's face"}
    return (
        '<div class="swaps">'
        + "".join(
            f'<figure class="{kind}"><img src="{_data(png, "png")}" alt="{escape(alts.get(name, f"swap by {name}"))}">'
            f"<figcaption>{escape(name)}</figcaption></figure>"
            for name, png, kind in cells
        )
        + "</div>"
    )


def html_table(table: Table) -> str:
    """A table that can be sorted by a click on a heading; rows that are not variants stay below.

    Neighboring columns of one further judge have a common heading above their own, and form a column group.
    """
    apart = f'<tbody class="apart">{"".join(map(_row, table.apart))}</tbody>' if table.apart else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Table: {escape(table.name)}">'
        f'<table class="sortable" id="table-{table.name}">{_head(table)}'
        f"<tbody>{''.join(map(_row, table.rows))}</tbody>{apart}</table></div>"
    )


def _head(table: Table) -> str:
    """The column groups and the headings: one row of them, or two where a further judge has columns."""
    groups = table.groups if any(table.groups) else ("",) * len(table.heads)
    spans = [(judge, len(list(columns))) for judge, columns in groupby(groups)]
    tall = ' rowspan="2"' if len(spans) > 1 else ""
    upper, lower, first = "", "", 0
    for judge, span in spans:
        for k in range(first, first + span):
            name, unit = table.heads[k]
            shown = escape(name.removesuffix(f", {judge}")) + (f" <span>{escape(unit)}</span>" if unit else "")
            attributes = f'scope="col" data-column="{k}"' + ("" if judge else tall)
            attributes += ' class="judge"' if judge and k == first else ""
            column = f'<th {attributes}><button type="button">{shown}</button></th>'
            upper, lower = (upper, lower + column) if judge else (upper + column, lower)
        if judge:
            upper += f'<th class="judge" scope="colgroup" colspan="{span}">by {escape(judge)}</th>'
        first += span
    if not lower:
        return f"<thead><tr>{upper}</tr></thead>"
    cut = "".join(f'<colgroup span="{span}"></colgroup>' for _, span in spans)
    return f"{cut}<thead><tr>{upper}</tr><tr>{lower}</tr></thead>"


def _row(cells: Sequence[Cell]) -> str:
    return "<tr>" + "".join(_cell(cell, first=k == 0) for k, cell in enumerate(cells)) + "</tr>"


def _cell(cell: Cell, first: bool) -> str:
    dot = f'<span class="dot" style="background:{cell.color}"></span>' if cell.color else ""
    note = "".join(f"<small>{escape(part)}</small>" for part in cell.note.split("; ") if part)
    classes = [*(["best"] if cell.best else []), *(["long"] if len(cell.text) > 60 else [])]
    value = "" if cell.value is None or cell.value != cell.value else f' data-value="{cell.value!r}"'
    attributes = (f' class="{" ".join(classes)}"' if classes else "") + value
    inner = f"{dot}{escape(cell.text)}{note}"
    return f'<th scope="row"{attributes}>{inner}</th>' if first else f"<td{attributes}>{inner}</td>"


def _measured(comparison: Comparison) -> str:
    words = "".join(f"<dt>{escape(what)}</dt><dd>{escape(text)}</dd>" for what, text in protocol_words(comparison))
    common = "".join(
        f"<dt><code>{escape(key)}</code></dt><dd><code>{escape(shown_value(value))}</code></dd>"
        for key, value in comparison.common.items()
    )
    folded = f"<details><summary>Settings that all runs share</summary><dl>{common}</dl></details>" if common else ""
    return f'<section id="measured"><h2>How it was measured</h2><dl>{words}</dl>{folded}</section>'


def results_caption(comparison: Comparison) -> str:
    """How to read the table of results."""
    several = any(len(v.seeds) > 1 for v in comparison.variants)
    single = any(len(v.seeds) == 1 for v in comparison.variants)
    few = approximate(comparison.protocol)
    return " ".join(
        [
            "± is the standard deviation over training seeds." if several else "",
            f"Small print under a figure of one seed: its 95 % interval over persons{f' ({few})' if few else ''}."
            if single
            else "",
            "Bold is the best mean of a column, which need not be told apart from the next.",
        ]
    ).strip()


def differences_caption(comparison: Comparison) -> str:
    """How to read the table of differences."""
    tests, few = comparison.comparisons, approximate(comparison.protocol)
    return " ".join(
        [
            "seeds: 95 % interval over training seeds (seed by seed where both were trained with the same ones).",
            "pairs: 95 % interval over persons, as sources and as targets, on the same pairs of "
            "faces, for these trained "
            f"networks{f' ({few})' if few else ''}"
            + (
                f", and the p of the paired test, corrected for the {_plural(tests, 'comparison')} "
                f"of this table (Holm)."
                if tests
                else "."
            ),
            "Bold: the interval over seeds lies on one side of 0, and that over pairs on the same "
            "with p below 0.05, where "
            "it is known. Each interval is for itself, not corrected.",
        ]
    )


def _data(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _range(counts: set[int]) -> str:
    return str(min(counts)) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
