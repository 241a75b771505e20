"""The figures of single pairs, for runs measured on the same pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from simswap.comparison.run import Run
from simswap.errors import InputError
from simswap.metrics.figures import figure as figure_of
from simswap.settings.recorded_names import with_current_figures


@dataclass(frozen=True)
class PairTable:
    """One swapper's pairs in order: figures float [pairs] by name, and the persons of sources and targets [pairs].

    A figure per target is placed at the target's first pair, even if that pair was missed, so that it is compared with
    the other runs' figure of this target; it is NaN at the target's other pairs.
    """

    figures: Mapping[str, np.ndarray]
    sources: np.ndarray
    targets: np.ndarray

    def persons(self, figure: str) -> tuple[np.ndarray, np.ndarray]:
        """The persons [pairs] in the source's and the target's role for this figure."""
        return (self.targets if figure_of(figure).per_target else self.sources), self.targets


def read_pairs(runs: Sequence[Run]) -> tuple[dict[str, PairTable], list[str]]:
    """Read the pairs of all runs that share them.

    Paired tests need the same pairs. Runs with other pairs than most, without a file of pairs, or with an unreadable
    file have no table and are named in a note.

    Returns:
        The tables by ``<where>:<swapper>``, and the notes.
    """
    hashes: dict[str, list[Run]] = {}
    for run in runs:
        hashes.setdefault(str(run.protocol.get("pairs_sha256") or ""), []).append(run)
    unknown = [*hashes.pop("", []), *(run for group in hashes.values() for run in group if run.pairs is None)]
    notes = []
    if hashes:
        largest = max(hashes.values(), key=len)
        others = [run.name for group in hashes.values() if group is not largest for run in group]
        if others:
            notes.append(
                f"Measured on other pairs of faces: {', '.join(others)}. A paired test with them is refused; "
                "evaluate with the same protocol.seed and data to have one."
            )
    else:
        largest = []
    if unknown and len(unknown) < len(runs):
        notes.append(
            f"No figures of single pairs were kept: {', '.join(run.name for run in unknown)}. Evaluate again "
            "for paired tests."
        )
    elif unknown:
        notes.append("No figures of single pairs were kept (<evaluation>_pairs.parquet), so there are no paired tests.")
    tables = {}
    for run in largest:
        try:
            if run.pairs is not None:
                tables[f"{run.where}:{run.swapper}"] = _read(run)
        except InputError as error:  # only this run loses its paired tests
            notes.append(f"{run.name} has no paired test: {error}.")
    return tables, notes


def _read(run: Run) -> PairTable:
    assert run.pairs is not None
    try:
        table = pq.read_table(run.pairs, filters=pc.field("swapper") == run.swapper).sort_by("pair")
        floats = [field.name for field in table.schema if pa.types.is_floating(field.type)]
        figures = with_current_figures({name: table[name].to_numpy().astype(np.float64) for name in floats})
        source, target = (pc.fill_null(table[f"{role}_person"], "").to_pylist() for role in ("source", "target"))
        pictures = table["target"].to_numpy(zero_copy_only=False).astype(str)
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise InputError(
            f"{run.pairs} is not a table of pairs ({str(error).splitlines()[0]}); run simswap-evaluate again"
        ) from error
    if len(source) != run.protocol["pairs"]:
        raise InputError(
            f"{run.pairs} has {len(source)} pairs of {run.swapper}, its evaluation says "
            f"{run.protocol['pairs']}; run simswap-evaluate again"
        )
    for name in [name for name in figures if figure_of(name).per_target]:
        figures[name] = _at_first_pair(figures[name], pictures)
    _, both = np.unique([*source, *target], return_inverse=True)
    return PairTable(figures, *np.split(both, 2))


def _at_first_pair(values: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Move each target's first value to its first pair: format 1 has it at every pair, format 2 at one of them."""
    there = np.flatnonzero(~np.isnan(values))
    known, of = np.unique(target[there], return_index=True)
    every, first = np.unique(target, return_index=True)
    found = np.full(len(values), np.nan)
    found[first[np.searchsorted(every, known)]] = values[there[of]]
    return found
