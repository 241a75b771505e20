"""Settings of runs side by side: as dotted keys, equal or not, and as a filter."""

from collections.abc import Callable, Mapping
from typing import Any

from simswap.settings.recorded_names import current_key


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted keys; lists are values."""
    result: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = tuple(value) if isinstance(value, list) else value
    return result


def comparable(value: Any) -> str:
    """A setting's value in a form in which 1 equals 1.0 but true does not equal 1."""
    return repr(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else repr(value)


def keep_where(wanted: Mapping[str, Any] | None) -> Callable[[Mapping[str, Any]], bool]:
    """A filter of runs by their settings: dotted or nested keys, and the values that they must have."""
    conditions = {current_key(key): comparable(value) for key, value in flat(wanted or {}).items()}
    return lambda config: all(key in config and comparable(config[key]) == value for key, value in conditions.items())
