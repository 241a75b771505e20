"""The content of a comparison: variants, baseline, differences, Pareto front, and notes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simswap.comparison.one_ruler import check_one_ruler, mixed_figures, ruler_notes
from simswap.comparison.pairs import PairTable, read_pairs
from simswap.comparison.run import Run, SwapperRow
from simswap.comparison.statistics import difference_over_seeds, holm, pareto_front
from simswap.comparison.variants import BOOKKEEPING, Variant, changed_settings, choose_baseline, fold
from simswap.metrics.figures import JUDGES, Figure, Interval, choose
from simswap.metrics.figures import figure as figure_of
from simswap.metrics.paired import PairedDifference, paired_difference
from simswap.tracking.evaluation_format import FORMAT


@dataclass(frozen=True)
class Difference:
    """A variant's figure minus the baseline's.

    Attributes:
        over_seeds: Over training seeds.
        over_pairs: Over the same pairs of faces; None without such pairs.
        p: The p-value of ``over_pairs``, corrected for all comparisons of the page (`holm`); NaN without one.
    """

    over_seeds: Interval
    over_pairs: PairedDifference | None
    p: float = math.nan


@dataclass(frozen=True)
class Comparison:
    """The content of the tables and charts.

    Attributes:
        title: The page's title.
        variants: The runs, folded over seeds.
        baseline: The variant that the others are compared with.
        columns: The figures of the tables.
        settings: The keys of the changed settings.
        common: The settings that all runs share.
        others: Controls and other rows measured on the same pairs.
        differences: By variant's label and figure.
        front: The labels of the Pareto front in retrieval and pose error.
        protocol: How the runs were measured.
        notes: What a reader must know.
        left_out: One line per run that could not be compared.
    """

    title: str
    variants: tuple[Variant, ...]
    baseline: Variant
    columns: tuple[Figure, ...]
    settings: tuple[str, ...]
    common: Mapping[str, Any]
    others: tuple[SwapperRow, ...]
    differences: Mapping[str, Mapping[str, Difference]]
    front: tuple[str, ...]
    protocol: Mapping[str, Any]
    notes: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def runs(self) -> list[Run]:
        """All runs, variant after variant."""
        return [run for variant in self.variants for run in variant.runs]

    @property
    def comparisons(self) -> int:
        """The number of paired tests."""
        return sum(d.p == d.p for found in self.differences.values() for d in found.values())

    def rivals(self) -> list[Variant]:
        """The variants that are compared with the baseline."""
        return [v for v in self.variants if v.label != self.baseline.label]


def compare_runs(
    runs: Sequence[Run],
    *,
    title: str,
    baseline: str | None = None,
    columns: Sequence[str] | None = None,
    left_out: Sequence[str] = (),
) -> Comparison:
    """Fold the runs over seeds and compare every variant with the baseline.

    Raises:
        InputError: If the runs were not measured alike, or the baseline or a column is unknown.
    """
    check_one_ruler(runs)
    mixed = mixed_figures(runs)
    runs = [replace(run, figures={k: v for k, v in run.figures.items() if k not in mixed}) for run in runs]
    variants = fold(runs)
    base = choose_baseline(variants, baseline)
    figures = choose(columns, dict.fromkeys(name for run in runs for name in run.figures))
    tables, notes = read_pairs(runs)
    rivals = [v for v in variants if v.label != base.label]
    differences = _corrected(
        {
            v.label: {
                f.name: Difference(
                    difference_over_seeds(v.by_seed(f.name), base.by_seed(f.name)), _over_pairs(v, base, f.name, tables)
                )
                for f in figures
            }
            for v in rivals
        }
    )
    cost = [v.spread("pose_error_deg").mean for v in variants]
    gain = [v.spread("id_retrieval").mean for v in variants]
    changed = changed_settings(runs)
    configs = [run.config for run in runs if run.config]
    common = {
        k: v
        for k, v in (configs[0] if configs else {}).items()
        if k not in changed and k.split(".")[0] not in BOOKKEEPING
    }
    return Comparison(
        title=title,
        variants=tuple(variants),
        baseline=base,
        columns=tuple(figures),
        settings=tuple(changed),
        common=common,
        others=_others(runs),
        differences=differences,
        front=tuple(variants[i].label for i in pareto_front(cost, gain)),
        protocol=runs[0].protocol,
        notes=(*_notes(variants, runs), *mixed.values(), *ruler_notes(runs), *notes),
        left_out=tuple(left_out),
    )


def _over_pairs(
    variant: Variant, base: Variant, figure: str, tables: Mapping[str, PairTable]
) -> PairedDifference | None:
    """The difference on the same pairs, with each side's runs averaged pair by pair.

    None if a run's pairs are unknown or differ.
    """
    sides = []
    for side in (variant, base):
        read = [tables.get(f"{run.where}:{run.swapper}") for run in side.runs]
        if any(table is None or figure not in table.figures for table in read):
            return None
        sides.append(np.mean([table.figures[figure] for table in read if table], axis=0))
        sources, targets = read[0].persons(figure)  # type: ignore[union-attr]
    return paired_difference(sides[1], sides[0], sources, targets, share=figure_of(figure).share)


def _corrected(differences: Mapping[str, Mapping[str, Difference]]) -> dict[str, dict[str, Difference]]:
    """The differences with p-values corrected for the number of all paired tests."""
    p_values = {
        (label, name): d.over_pairs.p if d.over_pairs else math.nan
        for label, found in differences.items()
        for name, d in found.items()
    }
    corrected = holm(p_values)
    return {
        label: {name: replace(d, p=corrected[label, name]) for name, d in found.items()}
        for label, found in differences.items()
    }


def _others(runs: Sequence[Run]) -> tuple[SwapperRow, ...]:
    """Controls and other swappers by name.

    The controls' figures are the same in all runs of the same pairs; a further judge's come from the first run that has
    it. Different swappers with the same name (such as
    another shipped checkpoint) get the name of their run added.
    """
    found: dict[str, SwapperRow] = {}
    for run in runs:
        for swapper in run.others:
            kept = found.setdefault(swapper.name, swapper)
            if swapper.kind == "control":
                further = {name: f for name, f in swapper.figures.items() if name.startswith(JUDGES)}
                found[swapper.name] = kept._replace(figures=further | dict(kept.figures))
            elif not kept.same_as(swapper):
                name = f"{swapper.name} beside {run.name}"
                found[name] = swapper._replace(name=name)
    return tuple(sorted(found.values(), key=lambda swapper: swapper.kind == "control"))


def _notes(variants: Sequence[Variant], runs: Sequence[Run]) -> list[str]:
    notes = []
    fewest, most = min(len(v.seeds) for v in variants), max(len(v.seeds) for v in variants)
    if most == 1:
        notes.append(
            "One training seed a variant: how far figures move with another seed is not known here. Intervals "
            "are over persons, of one trained network."
        )
    elif fewest == 1:
        lone = [v.label for v in variants if len(v.seeds) == 1]
        notes.append(f"One seed alone: {', '.join(lone)}. Their intervals are over persons, not over seeds.")
    for variant in variants:
        if len(variant.runs) > len(variant.seeds):
            notes.append(
                f"{variant.label}: {len(variant.runs)} runs of {len(variant.seeds)} seeds; runs of one seed "
                "count as one, by their mean."
            )
    older = [run.name for run in runs if run.format < FORMAT]
    if older:
        notes.append(
            f"Evaluated by an older version, whose intervals over persons were too narrow: "
            f"{', '.join(older)}. They are left out, and self-reconstruction is over pairs there, not over "
            "distinct targets; run simswap-evaluate again."
        )
    if any((run.protocol.get("judge") or {}).get("same_network") for run in runs):
        notes.append("The judge is the network trained with: identity figures are flattering.")
    interrupted = [run.name for run in runs if run.state == "interrupted"]
    if interrupted:
        notes.append(f"Interrupted before their end: {', '.join(interrupted)}.")
    versions = sorted({run.version for run in runs if run.version})
    if len(versions) > 1:
        notes.append(f"Trained by different versions of SimSwap Lab: {', '.join(versions)}.")
    starts = sorted({str(run.config["start_from"]) for run in runs if run.config.get("start_from")})
    if starts:
        everyone = all(run.config.get("start_from") for run in runs if run.config)
        notes.append(
            f"{'All' if everyone else 'Some'} runs branch off a warm start ({', '.join(starts)}): what "
            "differs is what came after it."
        )
    return notes
