"""Runs folded over seeds: their changed settings, and a name, a color and a mark for each variant."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simswap.comparison.run import Run
from simswap.comparison.run_settings import comparable
from simswap.comparison.statistics import Spread, spread
from simswap.errors import InputError
from simswap.metrics.figures import Interval
from simswap.settings.words import nearest

NO_SETTING = "(none)"
"""Shown for a setting that did not exist in a run's version."""

BOOKKEEPING = (
    "seed",
    "name",
    "resume",
    "threads",
    "channels_last",
    "tf32",
    "progress_every",
    "logger",
    "samples",
    "checkpoints",
)
"""Settings that do not change what is trained; runs that differ only in these are one variant."""

PAPER_ORDER = ("SimSwap", "oFM", "nFM", "wFM-bar", "oFM-FM-", "oFM-id+", "wFM-id+")

PALETTE = ("#0067a5", "#d1495b", "#2a9d6f", "#c77800", "#7a4fa3", "#3aa6c9", "#8a5a2b", "#d46aa0", "#5b6770", "#7d8f12")
"""Neighboring colors can be distinguished with the usual kinds of color blindness; marks repeat the distinction."""
MARKS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
LONGEST_LABEL = 60
LONGEST_SHORT = 20


@dataclass(frozen=True)
class Variant:
    """Runs that differ only in their seed.

    Attributes:
        label: The name in tables.
        short: The name on charts.
        settings: The values of the changed settings.
        runs: The runs.
        color: The color on charts.
        mark: The mark on charts.
    """

    label: str
    short: str
    settings: Mapping[str, Any]
    runs: tuple[Run, ...]
    color: str
    mark: str

    def by_seed(self, figure: str) -> dict[int, float]:
        """The figure by seed; runs with the same seed count as one measurement, their mean."""
        values: dict[int, list[float]] = {}
        for run in self.runs:
            if figure in run.figures and not np.isnan(run.figures[figure].value):
                values.setdefault(run.seed, []).append(run.figures[figure].value)
        return {seed: float(np.mean(found)) for seed, found in values.items()}

    def spread(self, figure: str) -> Spread:
        """Mean and spread of a figure over seeds."""
        return spread(list(self.by_seed(figure).values()))

    def interval(self, figure: str) -> Interval:
        """The 95 % interval: over seeds if there are at least two, otherwise over persons of the one evaluation."""
        found = self.spread(figure)
        if found.n == 1 and len(self.runs) == 1:
            return self.runs[0].figures[figure]
        return Interval(found.mean, found.low, found.high)

    @property
    def seeds(self) -> list[int]:
        """The training seeds."""
        return sorted({run.seed for run in self.runs})


def changed_settings(runs: Sequence[Run]) -> list[str]:
    """The settings in which runs differ, without bookkeeping, in the config's order."""
    configs = [run.config for run in runs if run.config]
    keys = dict.fromkeys(key for config in configs for key in config)
    return [
        key
        for key in keys
        if key.split(".")[0] not in BOOKKEEPING and len({comparable(setting_of(config, key)) for config in configs}) > 1
    ]


def setting_of(config: Mapping[str, Any], key: str) -> Any:
    """A run's value of a dotted key; of a loss term that its version did not have, the weight 0."""
    return config.get(key, 0.0 if key.startswith("objective.weights.") else NO_SETTING)


def fold(runs: Sequence[Run]) -> list[Variant]:
    """Fold runs into variants, in the paper's order for its ablations, otherwise in the runs' order."""
    keys = changed_settings(runs)
    groups: dict[tuple, list[Run]] = {}
    for run in runs:
        marks: tuple = tuple(comparable(setting_of(run.config, key)) for key in keys)
        groups.setdefault(marks if run.config else (run.where, run.swapper), []).append(run)
    folded = list(groups.values())
    settings = [{key: setting_of(group[0].config, key) for key in keys} if group[0].config else {} for group in folded]
    labels = _labels(folded, settings)
    order = sorted(range(len(folded)), key=lambda i: (_paper_place(folded[i][0]), i))
    colors = _colors([folded[i] for i in order])
    variants = []
    for place, i in enumerate(order):
        short = labels[i] if len(labels[i]) <= LONGEST_SHORT else f"V{place + 1}"
        variants.append(
            Variant(labels[i], short, settings[i], tuple(folded[i]), colors[place], MARKS[place % len(MARKS)])
        )
    return variants


def choose_baseline(variants: Sequence[Variant], asked: str | None) -> Variant:
    """The variant or the single run that the others are compared with.

    Args:
        variants: All variants.
        asked: A label, a short name, or a run's name or folder. None for the paper's own setting if the runs are its
            ablations, otherwise for the first variant.

    Raises:
        InputError: For another name.
    """
    if asked is None:
        return next((v for v in variants if v.label == PAPER_ORDER[0]), variants[0])
    for variant in variants:
        if asked in (variant.label, variant.short):
            return variant
    for variant in variants:
        for run in variant.runs:
            if asked.rstrip("/") in (run.name, run.where.rstrip("/")):
                return Variant(run.name, run.name, variant.settings, (run,), variant.color, variant.mark)
    names = [v.label for v in variants] + [run.name for v in variants for run in v.runs]
    raise InputError(f"baseline={asked} is neither a variant nor a run here{nearest(asked, names)}")


def short_keys(keys: Iterable[str]) -> dict[str, str]:
    """The shortest unique ends of dotted keys: ``objective.weights.identity`` → ``identity``."""
    whole = list(keys)
    result = {}
    for key in whole:
        parts = key.split(".")
        ends = (".".join(parts[-n:]) for n in range(1, len(parts) + 1))
        result[key] = next(end for end in ends if sum(("." + k).endswith("." + end) for k in whole) == 1)
    return result


def shown_value(value: Any) -> str:
    """A setting as on the command line."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"[{','.join(shown_value(part) for part in value)}]" if isinstance(value, tuple) else str(value)


def _labels(folded: list[list[Run]], settings: list[dict[str, Any]]) -> list[str]:
    """A name for each group: the ablation's, otherwise the changed settings; equal names get an addition."""
    changed = _told_apart(settings, [i for i, group in enumerate(folded) if group[0].config])
    labels = []
    for i, group in enumerate(folded):
        named = group[0].config.get("variant")
        fits = changed.get(i) and len(changed[i]) <= LONGEST_LABEL
        fallback = str(group[0].config.get("name") or group[0].name) if len(folded) == 1 else group[0].name
        labels.append(str(named) if named else changed[i] if fits else fallback)
    for label, count in Counter(labels).items():
        if count > 1:
            members = [i for i, other in enumerate(labels) if other == label]
            more = _told_apart(settings, members)
            for number, i in enumerate(members, start=1):
                labels[i] = f"{label}, {more[i]}" if len(set(more.values())) == count else f"{label} ({number})"
    return labels


def _told_apart(settings: list[dict[str, Any]], members: list[int]) -> dict[int, str]:
    """The settings in which the members differ, as ``key=value, …`` for each."""
    keys = [
        key
        for key in (settings[members[0]] if members else ())
        if key != "variant" and len({comparable(settings[i].get(key)) for i in members}) > 1
    ]
    short = short_keys(keys)
    return {i: ", ".join(f"{short[k]}={shown_value(settings[i].get(k))}" for k in keys) for i in members}


def _paper_place(run: Run) -> int:
    name = run.config.get("variant")
    return PAPER_ORDER.index(name) if name in PAPER_ORDER else len(PAPER_ORDER)


def _colors(folded: Sequence[Sequence[Run]]) -> list[str]:
    """Up to ten variants get a color each; more are colored from dark to light in the order of their retrieval."""
    if len(folded) <= len(PALETTE):
        return list(PALETTE[: len(folded)])
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    def retrieval(group: Sequence[Run]) -> float:
        return float(np.mean([run.figures["id_retrieval"].value for run in group]))

    ranked = sorted(range(len(folded)), key=lambda i: retrieval(folded[i]))
    shades = colormaps["viridis"](np.linspace(0.0, 0.88, len(folded)))
    place = {i: rank for rank, i in enumerate(ranked)}
    return [to_hex(shades[place[i]]) for i in range(len(folded))]
