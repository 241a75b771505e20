"""What a comparison knows of a run: its settings, figures, curves and files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from simswap.metrics.figures import Interval
from simswap.tracking.evaluation_format import FORMAT

Curve = tuple[list[float], list[float]]
"""Iterations and a metric's values at them."""


class SliceRow(NamedTuple):
    """A slice of the pairs.

    Attributes:
        pairs: Their number.
        edges: The lower and the upper edge of what was measured; both None for a slice by an attribute.
        figures: The figures over these pairs by name.
    """

    pairs: int
    edges: tuple[float | None, float | None]
    figures: Mapping[str, Interval]

    def like(self, other: "SliceRow") -> bool:
        """Whether both are over equally many pairs between the same edges."""
        return (self.pairs, self.edges) == (other.pairs, other.edges)


class SwapperRow(NamedTuple):
    """A row of an evaluation.

    Attributes:
        name: Its name in evaluation.json.
        kind: ``trained``, ``shipped``, ``control`` or ``other``.
        figures: Its figures by name.
        missed: The number of pairs without a result (``missed_results``) or a pose (``missed_poses``).
        checkpoint: The network's file, if known.
        sha256: The hash of that file, if known.
        iteration: The iteration of that file, if known.
    """

    name: str
    kind: str
    figures: Mapping[str, Interval]
    missed: Mapping[str, int] = {}
    checkpoint: str = ""
    sha256: str = ""
    iteration: int | None = None

    def same_as(self, other: "SwapperRow") -> bool:
        """Whether both are the same network: by their files if known, otherwise by their figures."""
        if self.sha256 and other.sha256:
            return self.sha256 == other.sha256
        return repr(self.figures) == repr(other.figures)  # repr, because NaN != NaN


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        name: Its name in tables.
        where: Its folder or address.
        config: Its settings by dotted keys.
        figures: Its final figures by name.
        protocol: How they were measured.
        others: The other rows of its evaluation.
        curves: Metrics over iterations, by name.
        pairs: The file with every pair's figures, if there is one.
        grid: Its grid of swaps, if there is one.
        swapper: Its name in evaluation.json and in the file of pairs.
        evaluation: The name of its evaluation; empty for the first one.
        state: How it ended.
        version: The version of SimSwap Lab that trained it.
        format: The format of its evaluation; older ones have no intervals.
        missed: As in `SwapperRow`.
        checkpoint: As in `SwapperRow`.
        iteration: As in `SwapperRow`.
        slices: Slices of its evaluation's pairs, by name.
        worst: The picture of its worst pairs, if there is one.
    """

    name: str
    where: str
    config: Mapping[str, Any]
    figures: Mapping[str, Interval]
    protocol: Mapping[str, Any]
    others: tuple[SwapperRow, ...] = ()
    curves: Mapping[str, Curve] = field(default_factory=dict)
    pairs: Path | None = None
    grid: Path | None = None
    swapper: str = "trained"
    evaluation: str = ""
    state: str = "finished"
    version: str = ""
    format: int = FORMAT
    missed: Mapping[str, int] = field(default_factory=dict)
    checkpoint: str = ""
    iteration: int | None = None
    slices: Mapping[str, SliceRow] = field(default_factory=dict)
    worst: Path | None = None

    @property
    def seed(self) -> int:
        """The training seed."""
        return int(self.config.get("seed", 0))
