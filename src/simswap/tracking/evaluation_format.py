"""The format of evaluation.json, and what of an older one can still be trusted."""

from collections.abc import Mapping
from typing import Any

from simswap.errors import InputError
from simswap.settings.recorded_names import described, with_current_figures

FORMAT = 2
"""1: files without a number; their intervals saw persons as sources alone and are too narrow. 2: intervals over
persons in both roles; self-reconstruction counts once a distinct target."""


def as_current(content: Mapping[str, Any], where: object) -> dict[str, Any]:
    """``format``, ``protocol`` and ``results`` of an evaluation of any format.

    Figures of an older format keep their values and lose their intervals (``low`` and ``high`` are None), so that no
    reader can show or use them.

    Args:
        content: as stored; a missing ``format`` is 1.
        where: the file or address, for the complaint.

    Raises InputError for a format that this version does not know.
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
