"""The search space of a sweep, from YAML (``sweep.params``) or from the command line's sweep syntax."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from hydra.core.override_parser.types import IntervalSweep, Override, Quote, QuotedString, RangeSweep
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from simswap.errors import InputError
from simswap.settings.recorded_names import KEYS, current_key

Point = dict[str, Any]
SPEC_KEYS = {"categorical": {"choices"}, "float": {"low", "high", "log", "step"}, "int": {"low", "high", "log", "step"}}


@dataclass(frozen=True)
class Space:
    """A search space.

    Attributes:
        distributions: Key → its distribution.
        texts: Key → choice → the choice's form on the command line, for choices other than plain numbers and words.
    """

    distributions: dict[str, BaseDistribution]
    texts: dict[str, dict[Any, str]]

    def overrides(self, point: Point) -> list[str]:
        """The overrides of a job that runs this point."""
        return [
            f"{current_key(key)}={self.texts.get(key, {}).get(value, as_override(value))}"
            for key, value in point.items()
        ]

    def points(self) -> list[Point] | None:
        """Every point, the last key varying fastest; None if they cannot be counted (a float without a step)."""
        values = [_values(distribution) for distribution in self.distributions.values()]
        if any(v is None for v in values):
            return None
        return [dict(zip(self.distributions, found, strict=True)) for found in itertools.product(*values)]  # type: ignore[arg-type]

    def as_recorded(self, keys: Collection[str]) -> "Space":
        """The space under the keys of a study from an earlier version: Optuna finds its trials by them."""
        before = {new: old for old, new in KEYS.items() if old in keys}
        return Space(
            {before.get(key, key): value for key, value in self.distributions.items()},
            {before.get(key, key): value for key, value in self.texts.items()},
        )

    def describe(self) -> dict[str, str]:
        """Key → its distribution as text, to compare a resumed sweep's space with its first one."""
        return {key: optuna.distributions.distribution_to_json(d) for key, d in sorted(self.distributions.items())}


def make_space(params: Mapping[str, Any] | None, overrides: Sequence[Override]) -> tuple[Space, list[str]]:
    """Build the space.

    Args:
        params: ``sweep.params``.
        overrides: The command line's, parsed. One that sweeps replaces or adds a key of ``params``.

    Returns:
        The space, and the overrides that are the same in every job.

    Raises:
        InputError: A key has no valid distribution, or no key has several values.
    """
    found = {current_key(key): from_yaml(key, spec) for key, spec in (params or {}).items()}
    texts: dict[str, dict[Any, str]] = {}
    fixed: list[str] = []
    for override in overrides:
        key = current_key(override.get_key_element())
        if override.is_sweep_override():
            found[key], texts[key] = from_override(override)
        else:
            fixed.append(f"{key}={override.get_value_element_as_str()}" if "~" not in key else key)
            found.pop(key, None)  # given a single value, it is no longer searched
    if not found:
        raise InputError(
            "the sweep has nothing to try: give sweep.params, or a key several values (key=1,2 or key=interval(1,2))"
        )
    return Space(found, texts), fixed


def from_yaml(key: str, spec: Any) -> BaseDistribution:
    """Build a distribution from a mapping: ``type`` (float, int or categorical) and its keys.

    Raises:
        InputError: The mapping is no distribution.
    """
    where = f"sweep.params.{key}"
    if not isinstance(spec, Mapping) or spec.get("type") not in SPEC_KEYS:
        raise InputError(
            f"{where}: give it as {{type: float, low: …, high: …, log: true}}, {{type: int, …}} or "
            "{type: categorical, choices: […]}"
        )
    kind, rest = spec["type"], {name: value for name, value in spec.items() if name != "type"}
    unknown = set(rest) - SPEC_KEYS[kind]
    if unknown:
        raise InputError(f"{where}.{min(unknown)} is unknown; {kind} takes {', '.join(sorted(SPEC_KEYS[kind]))}")
    try:
        if kind == "categorical":
            return CategoricalDistribution(list(rest["choices"]))
        return (FloatDistribution if kind == "float" else IntDistribution)(**rest)
    except KeyError as error:
        raise InputError(f"{where}: {kind} needs {error}") from error
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: {error}") from error


def from_override(override: Override) -> tuple[BaseDistribution, dict[Any, str]]:
    """Build a distribution from an override that sweeps.

    The forms are ``a,b`` or ``choice(a,b)``, ``range(1,9,2)`` and ``interval(0.1,10)``, also in ``tag(log, …)`` or
    ``int(…)``.

    Returns:
        The distribution, and choice → its form on the command line.

    Raises:
        InputError: The values are no distribution.
    """
    sweep, key = override.value(), override.get_key_element()
    log = "log" in getattr(sweep, "tags", set())
    try:
        if isinstance(sweep, IntervalSweep):
            assert sweep.start is not None
            assert sweep.end is not None
            if (
                isinstance(sweep.start, int)
                and isinstance(sweep.end, int)
                and override.input_line is not None
                and "int(" in override.input_line
            ):
                return IntDistribution(sweep.start, sweep.end, log=log), {}
            return FloatDistribution(float(sweep.start), float(sweep.end), log=log), {}
        if isinstance(sweep, RangeSweep) and not sweep.shuffle and not log:
            values = list(sweep.range())
            if len(values) > 1 and all(isinstance(value, int) for value in values):
                return IntDistribution(values[0], values[-1], step=values[1] - values[0]), {}  # type: ignore[arg-type]
        plain, texts = [], {}
        for text, element in zip(override.sweep_string_iterator(), override.sweep_iterator(), strict=True):
            value = element.text if isinstance(element, QuotedString) else element
            value = value if value is None or isinstance(value, bool | int | float | str) else str(text)
            plain.append(value)
            texts[value] = str(text)
        return CategoricalDistribution(plain), texts
    except (TypeError, ValueError) as error:
        raise InputError(f"{key}: {error}") from error


def as_override(value: Any) -> str:
    """Write a scalar in the syntax of the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return QuotedString(value, Quote.single).with_quotes()
    return repr(value)


def _values(distribution: BaseDistribution) -> list[Any] | None:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    if isinstance(distribution, FloatDistribution) and distribution.step is not None:
        count = round((distribution.high - distribution.low) / distribution.step)
        return [round(distribution.low + i * distribution.step, 10) for i in range(count + 1)]
    return None
