"""How much of a figure's variation over a sweep each setting explains, and how much chance alone would explain.

For every changed setting: the share of the variance of the figure's ranks over the variants that the setting explains.
For a numeric setting with five values or more that is Spearman's rho squared (a trend), else the correlation ratio
eta squared of the ranks over its values (the statistic of Kruskal and Wallis divided by n - 1). Beside it is the 95 %
quantile of the same share after random permutation of the figure; a share below it says nothing. These are main
effects: interactions of settings are not shown, and settings that always changed together cannot be separated (they are
named).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from simswap.comparison.run_settings import comparable
from simswap.comparison.variants import Variant

FEWEST_VARIANTS = 6
DEALS = 500
FEWEST_FOR_A_TREND = 5


class Importance(NamedTuple):
    """The importance of a setting.

    Attributes:
        setting: Its key.
        share: The share of the variation that it explains, 0..1.
        chance: The share that chance alone reaches in 1 of 20 cases, 0..1.
        sign: +1 if the figure rises with the setting, -1 if it falls, 0 if the setting has no order.
        together_with: The settings that divide the variants in the same way.
    """

    setting: str
    share: float
    chance: float
    sign: int
    together_with: tuple[str, ...]


def importances(variants: Sequence[Variant], settings: Sequence[str], figure: str, seed: int = 0) -> list[Importance]:
    """The importances of settings, largest first; empty with fewer than six variants that have the figure."""
    known = [v for v in variants if v.spread(figure).n and v.settings]
    if len(known) < FEWEST_VARIANTS:
        return []
    ranks = _ranks(np.array([v.spread(figure).mean for v in known]))
    rng = np.random.default_rng(seed)
    deals = np.stack([rng.permutation(ranks) for _ in range(DEALS)])  # [deals, n]
    parts = {key: _classes([v.settings[key] for v in known]) for key in settings}
    found = []
    for key in settings:
        values = [v.settings[key] for v in known]
        if len(set(parts[key])) < 2:
            continue
        numbers = _numbers(values)
        order = None if numbers is None else _ranks(numbers)
        if order is not None and len(set(order)) >= FEWEST_FOR_A_TREND:
            share, dealt = _rho(ranks[None], order)[0] ** 2, _rho(deals, order) ** 2
        else:
            share, dealt = _eta_squared(ranks[None], parts[key])[0], _eta_squared(deals, parts[key])
        sign = 0 if order is None else int(np.sign(np.round(_rho(ranks[None], order)[0], 6)))
        twins = tuple(other for other in settings if other != key and parts[other] == parts[key])
        found.append(Importance(key, float(share), float(np.quantile(dealt, 0.95)), sign, twins))
    return sorted(found, key=lambda i: -i.share)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0; ties get their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    first = np.cumsum(counts) - counts
    return (first + (counts - 1) / 2)[inverse]


def _rho(figure_ranks: np.ndarray, order: np.ndarray) -> np.ndarray:
    """The correlations [k] of ranks [k, n] with ranks [n]."""
    a = figure_ranks - figure_ranks.mean(1, keepdims=True)
    b = order - order.mean()
    size = np.sqrt((a**2).sum(1) * (b**2).sum())
    return np.divide(a @ b, size, out=np.zeros(len(a)), where=size > 0)


def _eta_squared(figure_ranks: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """The variance between the classes' means divided by the total variance, of ranks [k, n]; returns [k]."""
    member = np.eye(max(classes) + 1)[list(classes)]  # [n, classes]
    mean = figure_ranks.mean(1, keepdims=True)
    between = ((figure_ranks @ member / member.sum(0) - mean) ** 2 * member.sum(0)).sum(1)
    whole = ((figure_ranks - mean) ** 2).sum(1)
    return np.divide(between, whole, out=np.zeros(len(whole)), where=whole > 0)


def _classes(values: Sequence[Any]) -> tuple[int, ...]:
    numbers: dict[str, int] = {}
    return tuple(numbers.setdefault(comparable(value), len(numbers)) for value in values)


def _numbers(values: Sequence[Any]) -> np.ndarray | None:
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return None
    return np.array(values, dtype=np.float64)
