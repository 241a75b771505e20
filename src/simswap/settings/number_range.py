"""The range of a number: what it takes, what it refuses, and how a page or a message says it."""

import math
from dataclasses import dataclass
from typing import Any

from simswap.errors import InputError

LARGEST_SEED = 2**64 - 1


@dataclass(frozen=True)
class Range:
    """The values of a numeric key.

    Attributes:
        whole: Whole numbers only.
        low: The lower end; None for an open end.
        high: The upper end; None for an open end.
        above: The lower end itself is excluded.
        below: The upper end itself is excluded.
        null: Null is allowed too.
        off: 0 and null are allowed too, and both mean off.
        also: Further allowed values.
        count: The value is a list of this many numbers.
        others: Texts and lists are allowed too, and checked elsewhere.
        tried: Values near the two ends for tests, for an end that is open or excluded.
    """

    whole: bool
    low: float | None
    high: float | None = None
    above: bool = False
    below: bool = False
    null: bool = False
    off: bool = False
    also: tuple[Any, ...] = ()
    count: int | None = None
    others: bool = False
    tried: tuple[float | None, float | None] = (None, None)

    def check(self, where: str, value: Any) -> None:
        """Raise InputError unless the key ``where`` takes this value."""
        if value is None and (self.null or self.off):
            return
        if self.others and isinstance(value, str | list):
            return
        if self.count is not None:
            good = isinstance(value, list) and len(value) == self.count and all(self._holds(one) for one in value)
        else:
            good = self._holds(value)
        if not good:
            given = "null" if value is None else repr(value)
            raise InputError(f"{where} is {given}: it takes {self.words()}")

    def _holds(self, value: Any) -> bool:
        if any(type(value) is type(one) and value == one for one in (*self.also, *((0,) if self.off else ()))):
            return True
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        if isinstance(value, float) and not math.isfinite(value):
            return False
        low = self.low is None or (value > self.low if self.above else value >= self.low)
        return low and (self.high is None or (value < self.high if self.below else value <= self.high))

    def words(self) -> str:
        """The range in words, as in ``a whole number from 1 to 5, or null``."""
        noun = "whole number" if self.whole else "number"
        ends = [] if self.low is None else [f"{'above' if self.above else 'from'} {self.low:g}"]
        if self.high is not None:
            high = "2^64 - 1" if self.high == LARGEST_SEED else f"{self.high:g}"
            ends.append(f"{'below' if self.below else 'to'} {high}")
        counted = f"a list of {self.count} {noun}s, each" if self.count else f"a {noun}"
        text = f"{counted} {' '.join(ends)}"
        more = [str(value) for value in self.also] + (["0 or null for off"] if self.off else [])
        more += (["null"] if self.null else []) + (["a list"] if self.others else [])
        return ", or ".join([text, *more])

    def ends(self) -> list[Any]:
        """The lowest and the highest value; for an end that is open or excluded, a value near it."""
        ends = [
            tried if tried is not None else end for tried, end in zip(self.tried, (self.low, self.high), strict=True)
        ]
        return [[end] * self.count if self.count else end for end in ends]

    def outside(self) -> list[Any]:
        """Values of every kind that the key refuses, for tests."""
        values: list[Any] = [math.nan, math.inf, -math.inf, True, {}] + ([] if self.others else ["wide", "1", []])
        values += [1.5] if self.whole and 1.5 not in self.also else []
        if self.low is not None:
            values.append(self.low if self.above else self.low - 1 if -1 not in self.also else -7)
        if self.high is not None:
            values.append(self.high if self.below else self.high + 1)
        if self.count:
            values += [
                [good := self.ends()[0][0]] * (self.count + 1),
                [good] * (self.count - 1),
                ["a", "b"],
                good,
                *([value] * self.count for value in values[:4]),
            ]
        values += [] if self.null or self.off else [None]
        return [value for value in values if not (self.off and type(value) is int and value == 0)]


def whole(low: int, high: int | None = None, tried: int | None = None, **more: Any) -> Range:
    """Whole numbers from ``low`` to ``high``; tests use ``tried`` in place of an open upper end."""
    return Range(True, low, high, tried=(None, tried), **more)


def number(low: float | None, high: float | None = None, tried: tuple[Any, Any] = (None, None), **more: Any) -> Range:
    """Finite numbers from ``low`` to ``high``."""
    return Range(False, low, high, tried=tried, **more)


def share(**more: Any) -> Range:
    """Numbers from 0 to 1."""
    return number(0, 1, **more)


def above_zero(low: float, high: float, **more: Any) -> Range:
    """Finite numbers above 0; tests use ``low`` and ``high``."""
    return number(0, above=True, tried=(low, high), **more)
