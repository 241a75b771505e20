"""The paper's ablation: which variants belong together, and whether its orderings hold in these runs."""

from collections.abc import Sequence
from typing import NamedTuple

from simswap.comparison.run_settings import comparable
from simswap.comparison.statistics import difference_over_seeds
from simswap.comparison.variants import Variant, short_keys, shown_value
from simswap.metrics.figures import FIGURES, Interval


class Facet(NamedTuple):
    """The ablation's variants with one set of other settings; told: these settings, if there are several sets."""

    told: str
    variants: dict[str, Variant]


class Claim(NamedTuple):
    """A claim of the paper: each of ``above`` has a larger figure than each of ``below``."""

    words: str
    figure: str
    above: tuple[str, ...]
    below: tuple[str, ...]


class Finding(NamedTuple):
    """The evidence for a claim. verdict: ``holds``, ``does not hold`` or ``not decided``."""

    claim: str
    verdict: str
    detail: str


OTHERS = ("SimSwap", "oFM", "wFM-bar", "oFM-FM-", "oFM-id+", "wFM-id+")
CLAIMS = (
    Claim("nFM has the highest retrieval", "id_retrieval", ("nFM",), OTHERS),
    Claim("nFM has the highest reconstruction loss", "self_reconstruction_l1", ("nFM",), OTHERS),
    Claim("every oFM variant and wFM-bar retrieve less than SimSwap", "id_retrieval", ("SimSwap",),
          ("oFM", "oFM-FM-", "oFM-id+", "wFM-bar")),
    Claim("oFM has the lowest pose error", "pose_error_deg",
          ("SimSwap", "nFM", "wFM-bar", "oFM-FM-", "oFM-id+", "wFM-id+"), ("oFM",)),
)  # fmt: skip
"""The claims of the paper's ablation that can be measured; that wFM-id+ transfers hair is only visible."""


def facets(variants: Sequence[Variant]) -> list[Facet]:
    """Group the named variants by the settings in which variants of one name differ (such as layer_reduction)."""
    named = [v for v in variants if v.settings.get("variant")]
    names = {v.settings["variant"] for v in named}
    beside = [
        key
        for key in (named[0].settings if named else ())
        if any(len({comparable(v.settings[key]) for v in named if v.settings["variant"] == name}) > 1 for name in names)
    ]
    short = short_keys(beside)
    found: dict[str, dict[str, Variant]] = {}
    for variant in named:
        told = ", ".join(f"{short[key]}={shown_value(variant.settings[key])}" for key in beside)
        found.setdefault(told, {})[str(variant.settings["variant"])] = variant
    return [Facet(told, group) for told, group in found.items() if len(group) > 1]


def findings(facet: Facet) -> list[Finding]:
    """A finding for every claim for which there are runs on both sides.

    A claim holds if every difference's 95 % interval over seeds lies on its side of 0, does not hold if one lies on the
    other side, and is not decided otherwise. The intervals are not corrected for their number.
    """
    found = []
    for claim in CLAIMS:
        pairs = [(a, b) for a in claim.above for b in claim.below if a in facet.variants and b in facet.variants]
        values = {name: variant.by_seed(claim.figure) for name, variant in facet.variants.items()}
        differences = {(a, b): difference_over_seeds(values[a], values[b]) for a, b in pairs}
        known = {pair: d for pair, d in differences.items() if d.value == d.value}
        if not known:
            continue
        against = [pair for pair, d in known.items() if d.high < 0]
        told = [pair for pair, d in known.items() if d.low > 0]
        verdict = "does not hold" if against else "holds" if len(told) == len(known) else "not decided"
        found.append(
            Finding(claim.words, verdict, "; ".join(_words(claim.figure, *pair, d) for pair, d in known.items()))
        )
    return found


def _words(figure: str, above: str, below: str, difference: Interval) -> str:
    shown = FIGURES[figure]
    bounds = (
        "no interval"
        if difference.low != difference.low
        else (f"{shown.shown(difference.low, True)} to {shown.shown(difference.high, True)}")
    )
    unit = " points" if shown.unit == "%" else shown.unit
    return f"{above} − {below}: {shown.shown(difference.value, True)}{unit} ({bounds})"
