"""The format of evaluation.json, and the conversion of older ones."""

from collections.abc import Mapping
from typing import Any

from simswap.errors import InputError
from simswap.settings.recorded_names import described, with_current_figures

FORMAT = 2
"""1: files without a number, whose intervals are too narrow, because they are clustered by sources only. 2: intervals
clustered by persons in both roles; self-reconstruction counts once per distinct target."""


def as_current(content: Mapping[str, Any], where: object) -> dict[str, Any]:
    """Convert an evaluation of any format: ``format``, ``protocol`` and ``results`` under current names.

    Figures of an older format keep their values but lose their intervals (``low`` and ``high`` become None), so that
    no reader can use them.

    Args:
        content: As stored; a missing ``format`` counts as 1.
        where: The file or address, for the error.

    Raises:
        InputError: For a format that this version does not know.
    """
    number = content.get("format", 1)
    if isinstance(number, bool) or not isinstance(number, int | float) or number not in range(1, FORMAT + 1):
        raise InputError(
            f"{where} has format {number!r}, and this version reads 1 to {FORMAT}: install a newer "
            "SimSwap Lab, or run simswap-evaluate again"
        )
    kept = dict(content) | {"format": int(number), "protocol": described(content["protocol"])}
    results = {key: _current(entry) for key, entry in content["results"].items()}
    kept["results"] = results if number == FORMAT else _without_intervals(results)
    return kept


def _current(entry: Any) -> Any:
    """A swapper's results, and those of its slices, with the current names of figures."""
    if not isinstance(entry, Mapping):
        return entry
    slices = entry.get("slices")
    parts = {"slices": {key: _current(part) for key, part in slices.items()}} if isinstance(slices, Mapping) else {}
    return with_current_figures(entry) | parts


def _without_intervals(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    unknown = dict.fromkeys(("low", "high")) if "value" in value else {}
    return {key: _without_intervals(part) for key, part in value.items()} | unknown
