"""``evaluation_pairs.parquet``: every pair's figures, for paired comparisons of two evaluations."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from simswap.files import atomic_write


class PairNames(NamedTuple):
    """The pairs by name, four lists [n]: the files of targets and sources below the data's root, and their persons."""

    target: Sequence[str]
    source: Sequence[str]
    target_person: Sequence[str]
    source_person: Sequence[str]


def pairs_sha256(pairs: PairNames) -> str:
    """SHA-256 of the lines ``target<tab>source`` in the order of the pairs; the same hash means the same pairs."""
    return names_sha256([f"{target}\t{source}" for target, source in zip(pairs.target, pairs.source, strict=True)])


def names_sha256(names: Sequence[str]) -> str:
    """SHA-256 of names, one per line, in their order."""
    return hashlib.sha256("".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape")).hexdigest()


def write_pairs(
    path: Path, pairs: PairNames, kinds: Mapping[str, str], samples: Mapping[str, Mapping[str, np.ndarray]]
) -> None:
    """Write one row per swapper and pair, atomically.

    The columns are ``swapper``, ``kind``, ``pair`` (0-based place), ``target``, ``source``, ``source_person``,
    ``target_person``, and one float64 column per figure, named as in evaluation.json; NaN where undefined.

    Args:
        path: The file.
        pairs: The pairs by name.
        kinds: Each swapper's kind.
        samples: Each swapper's figures, float [n].

    Raises:
        InputError: If the path cannot be written.
    """
    count = len(pairs.target)
    figures = list(dict.fromkeys(name for columns in samples.values() for name in columns))
    missing = np.full(count, np.nan)
    text = {
        "target": pairs.target, "source": pairs.source,
        "source_person": pairs.source_person, "target_person": pairs.target_person,
    }  # fmt: skip
    tables = [
        pa.table(
            {
                "swapper": [swapper] * count,
                "kind": [kinds[swapper]] * count,
                "pair": np.arange(count, dtype=np.int64),
                **{name: pa.array(values, pa.string()) for name, values in text.items()},
                **{name: np.asarray(columns.get(name, missing), dtype=np.float64) for name in figures},
            }
        )
        for swapper, columns in samples.items()
    ]
    with atomic_write(path) as part:
        pq.write_table(pa.concat_tables(tables), part)
