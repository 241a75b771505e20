"""The tables of a comparison: rows for the page and Markdown, and CSV files with every digit."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from simswap.comparison.comparison import Comparison, Difference
from simswap.comparison.escaping import csv_value, markdown_text
from simswap.comparison.orderings import facets, findings
from simswap.comparison.published import PUBLISHED
from simswap.comparison.variants import Variant, short_keys, shown_value
from simswap.metrics.figures import FIGURES, Figure, Interval, judge_of
from simswap.metrics.paired import PairedDifference


@dataclass(frozen=True)
class Cell:
    """A cell: its text, the value to sort by (None for the text), a small note below, and whether it is the best."""

    text: str
    value: float | None = None
    note: str = ""
    best: bool = False
    color: str = ""


@dataclass(frozen=True)
class Table:
    """A table: (name, unit) of each column, rows whose first cell is their name, and rows that are not variants.

    ``groups`` has the judge of each column, empty for the others, or is empty itself. On the page, neighboring columns
    of a further judge share a heading.
    """

    name: str
    heads: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Cell, ...], ...]
    apart: tuple[tuple[Cell, ...], ...] = field(default_factory=tuple)
    groups: tuple[str, ...] = ()


def judges_of(comparison: Comparison, before: int) -> tuple[str, ...]:
    """The judge of each column of figures, after ``before`` columns that are no figures."""
    return (*[""] * before, *(judge_of(f.name)[0] for f in comparison.columns))


def results_table(comparison: Comparison) -> Table:
    """Final figures: mean ± standard deviation over seeds, or the interval over persons for a single seed."""
    best = {f.name: _best(comparison.variants, f) for f in comparison.columns}
    rows = []
    for v in comparison.variants:
        cells = [Cell(v.label, note=_tags(comparison, v), color=v.color), Cell(str(len(v.seeds)), len(v.seeds))]
        for f in comparison.columns:
            found, (_, low, high) = v.spread(f.name), v.interval(f.name)
            text = f.shown(found.mean) + (f" ± {f.shown(found.sd)}" if found.n > 1 else "")
            note = f"{f.shown(low)} to {f.shown(high)}" if found.n == 1 and low == low else ""
            cells.append(Cell(text, found.mean, note, v.label in best[f.name]))
        rows.append(tuple(cells))
    apart = [
        (
            Cell(s.name.replace("_", " "), note=s.kind),
            Cell(""),
            *(_plain(f, s.figures.get(f.name)) for f in comparison.columns),
        )
        for s in comparison.others
    ]
    heads = (("variant", ""), ("seeds", ""), *((f.label, f.unit) for f in comparison.columns))
    return Table("results", heads, tuple(rows), tuple(apart), judges_of(comparison, 2))


def published_table() -> Table:
    """Published figures of others, which are not comparable with the runs."""
    figures = (FIGURES["id_retrieval"], FIGURES["pose_error_deg"])
    rows = [
        (Cell(p.name, note=p.source), *(Cell(f.shown(getattr(p, f.name)), getattr(p, f.name)) for f in figures))
        for p in PUBLISHED
    ]
    return Table("published", (("published", ""), *((f.label, f.unit) for f in figures)), tuple(rows))


def differences_table(comparison: Comparison) -> Table | None:
    """Each variant minus the baseline, with intervals over seeds and over pairs; None for a single variant."""
    if not comparison.differences:
        return None
    rows = []
    colors = {v.label: v.color for v in comparison.variants}
    for label, found in comparison.differences.items():
        cells = [Cell(label, color=colors[label])]
        for f in comparison.columns:
            d = found[f.name]
            p = "" if math.isnan(d.p) else "; p < 0.001" if d.p < 0.001 else f"; p {d.p:.2g}"
            notes = [f"seeds {_bounds(f, d.over_seeds)}", f"pairs {_bounds(f, d.over_pairs)}{p}"]
            cells.append(
                Cell(
                    f.shown(d.over_seeds.value, True),
                    d.over_seeds.value,
                    "; ".join(note for note in notes if not note.endswith("–")),
                    clear(d),
                )
            )
        rows.append(tuple(cells))
    heads = (("variant", ""), *((f.label, f.unit) for f in comparison.columns))
    return Table("differences", heads, tuple(rows), groups=judges_of(comparison, 1))


def clear(difference: Difference) -> bool:
    """Whether a difference is clear.

    The interval over seeds must lie on one side of 0; if paired tests are known, their interval must lie on the same
    side and the corrected p must be below 0.05.
    """
    seeds, pairs = difference.over_seeds, difference.over_pairs
    bounds = [(seeds.low, seeds.high)]
    if pairs is not None and pairs.low == pairs.low:
        bounds.append((pairs.low, pairs.high))
    told = math.isnan(difference.p) or difference.p < 0.05
    return (
        told and seeds.low == seeds.low and (all(low > 0 for low, _ in bounds) or all(high < 0 for _, high in bounds))
    )


def settings_table(comparison: Comparison) -> Table | None:
    """The changed settings of each variant; None if nothing but the variant's name changed."""
    changed = [key for key in comparison.settings if key != "variant"]
    if not changed:
        return None
    short = short_keys(changed)
    rows = [
        (Cell(v.label, color=v.color), *(_setting(v.settings.get(key, "–")) for key in changed))
        for v in comparison.variants
    ]
    return Table("settings", (("variant", ""), *((short[key], "") for key in changed)), tuple(rows))


def orderings_table(comparison: Comparison) -> Table | None:
    """The paper's orderings and whether they hold here; None if the runs are not the ablation."""
    found = [(facet.told, finding) for facet in facets(comparison.variants) for finding in findings(facet)]
    if not found:
        return None
    apart = len({told for told, _ in found}) > 1
    rows = tuple(
        (Cell(f.claim, note=told if apart else ""), Cell(f.verdict, best=f.verdict == "holds"), Cell(f.detail))
        for told, f in found
    )
    return Table("orderings", (("the paper says", ""), ("here", ""), ("differences, 95 % over seeds", "")), rows)


def runs_table(comparison: Comparison) -> Table:
    """One row per run."""
    rows = []
    for v in comparison.variants:
        for run in v.runs:
            figures = [_plain(f, run.figures.get(f.name)) for f in comparison.columns]
            seed = Cell(str(run.seed), run.seed) if run.config else Cell("–")
            rows.append((Cell(run.name, note=v.label, color=v.color), seed, *figures))
    heads = (("run", ""), ("seed", ""), *((f.label, f.unit) for f in comparison.columns))
    return Table("runs", heads, tuple(rows), groups=judges_of(comparison, 2))


def markdown(table: Table) -> str:
    """The table in Markdown."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    heads = [markdown_text(f"{name} ({unit})" if unit else name) for name, unit in table.heads]
    lines = [line(heads), line(["---", *["---:"] * (len(heads) - 1)])]
    for row in (*table.rows, *table.apart):
        lines.append(
            line(
                [
                    (f"**{markdown_text(c.text)}**" if c.best else markdown_text(c.text))
                    + (f" ({markdown_text(c.note)})" if c.note else "")
                    for c in row
                ]
            )
        )
    return "\n".join(lines)


def results_csv(comparison: Comparison) -> str:
    """variant, kind, seeds; for each figure its mean, sd and 95 % bounds over seeds, and over persons of one run."""
    rows: list[dict[str, Any]] = []
    names = dict.fromkeys(name for run in comparison.runs for name in run.figures)
    for v in comparison.variants:
        row: dict[str, Any] = {"variant": v.label, "kind": "run", "seeds": len(v.seeds), "runs": len(v.runs)}
        for name in names:
            found = v.spread(name)
            row |= {name: found.mean, f"{name}_sd": found.sd, f"{name}_low": found.low, f"{name}_high": found.high}
            if len(v.runs) == 1 and name in v.runs[0].figures:
                one = v.runs[0].figures[name]
                row |= {f"{name}_persons_low": one.low, f"{name}_persons_high": one.high}
        rows.append(row)
    for s in comparison.others:
        rows.append(
            {
                "variant": s.name,
                "kind": s.kind,
                **{k: f.value for k, f in s.figures.items()},
                **{f"{k}_persons_low": f.low for k, f in s.figures.items()},
                **{f"{k}_persons_high": f.high for k, f in s.figures.items()},
            }
        )
    return _csv(rows)


def differences_csv(comparison: Comparison) -> str:
    """variant, baseline, figure, difference, its bounds over seeds and over pairs, p as it is and corrected."""
    return _csv(
        [
            {
                "variant": label,
                "baseline": comparison.baseline.label,
                "figure": name,
                "difference": d.over_seeds.value,
                "seeds_low": d.over_seeds.low,
                "seeds_high": d.over_seeds.high,
                "pairs_difference": d.over_pairs.value if d.over_pairs else math.nan,
                "pairs_low": d.over_pairs.low if d.over_pairs else math.nan,
                "pairs_high": d.over_pairs.high if d.over_pairs else math.nan,
                "pairs_p": d.over_pairs.p if d.over_pairs else math.nan,
                "pairs_p_corrected": d.p,
            }
            for label, found in comparison.differences.items()
            for name, d in found.items()
        ]
    )


def runs_csv(comparison: Comparison) -> str:
    """run, variant, seed, folder, changed settings, figures: a row a run."""
    return _csv(
        [
            {
                "run": run.name,
                "variant": v.label,
                "seed": run.seed if run.config else "",
                "where": run.where,
                **{key: shown_value(run.config.get(key, "")) for key in comparison.settings},
                **{name: figure.value for name, figure in run.figures.items()},
            }
            for v in comparison.variants
            for run in v.runs
        ]
    )


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    columns = dict.fromkeys(key for row in rows for key in row)
    writer = csv.DictWriter(buffer, list(columns), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: "" if isinstance(v, float) and math.isnan(v) else csv_value(v) for k, v in row.items()})
    return buffer.getvalue()


def _best(variants: Sequence[Variant], figure: Figure) -> set[str]:
    """The labels with the best mean, if the figure has a better side and the means differ."""
    means = {v.label: v.spread(figure.name).mean for v in variants}
    known = [mean for mean in means.values() if mean == mean]
    if figure.better is None or len(set(known)) < 2:
        return set()
    best = max(known) if figure.better == "higher" else min(known)
    return {label for label, mean in means.items() if mean == best}


def _tags(comparison: Comparison, variant: Variant) -> str:
    tags = [variant.short] if variant.short != variant.label else []
    tags += ["baseline"] if variant.label == comparison.baseline.label else []
    tags += ["Pareto front"] if variant.label in comparison.front and len(comparison.variants) > 1 else []
    return " · ".join(tags)


def _plain(figure: Figure, interval: Interval | None) -> Cell:
    if interval is None or interval.value != interval.value:
        return Cell("–")
    bounds = "–" if interval.low == interval.high else _bounds(figure, interval)  # all values are equal
    return Cell(figure.shown(interval.value), interval.value, "" if bounds == "–" else bounds)


def _bounds(figure: Figure, interval: Interval | PairedDifference | None) -> str:
    if interval is None or interval.low != interval.low:
        return "–"
    signed = interval.low < 0
    return f"{figure.shown(interval.low, signed)} to {figure.shown(interval.high, signed)}"


def _setting(value: Any) -> Cell:
    number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    return Cell(shown_value(value), number)
