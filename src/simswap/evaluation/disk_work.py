"""The stages of an evaluation as chunks on disk, so that it can be resumed and shared by several processes.

A chunk's result depends only on the chunk, which is the same for any number of processes, and every process reads all
results back in order. So one process, two processes, and a resumed process compute the same figures, bit for bit.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from simswap.errors import InputError
from simswap.files import atomic_write
from simswap.launching.evaluation_ranks import EvaluationRanks
from simswap.measuring.predictions import Predictions
from simswap.measuring.stage import THERE, results_of
from simswap.measuring.transfer import Arrays, to_host
from simswap.models.described import digest

FORMAT = 2  # increased when a stage computes something else, so that cached chunks are not used


class DiskWork:
    """`measuring.evaluator.Work` that stores every chunk's result in a folder.

    Args:
        folder: The folder.
        ranks: The processes that share the work.
        settings: Plain values that determine the results.
    """

    def __init__(self, folder: Path, ranks: EvaluationRanks, settings: Any) -> None:
        self.folder, self.ranks, self.settings = folder, ranks, settings

    def __call__(
        self, name: str, chunks: Sequence[np.ndarray], compute: Callable[[np.ndarray], Predictions]
    ) -> list[Predictions]:
        """Compute the missing chunks, wait for the other processes, and read all chunks."""
        folder = self.folder / digest([FORMAT, self.settings, name])

        def make(places: Sequence[int]) -> Iterator[Arrays]:
            for arrays in to_host(results_of(compute, [chunks[place] for place in places])):
                there = arrays.pop(THERE, slice(None))
                yield {key: values[there] for key, values in arrays.items()}

        files = [folder / f"{place:06d}.npz" for place in range(len(chunks))]
        share(files, make, self.ranks, f"measuring {name.split()[0]}", "batch")
        return [{key: torch.from_numpy(values) for key, values in load(file).items()} for file in files]


def share(
    files: Sequence[Path],
    make: Callable[[Sequence[int]], Iterator[Arrays]],
    ranks: EvaluationRanks,
    what: str,
    unit: str,
) -> None:
    """Make the missing files, each process its own part, and wait for the other processes.

    Args:
        files: All files.
        make: Places of files → the arrays of each, in order.
        ranks: The processes.
        what: The label of the progress bar.
        unit: What a file stands for in the progress bar.
    """
    mine = [place for place in range(ranks.rank, len(files), ranks.size) if not files[place].is_file()]
    made = zip(mine, make(mine), strict=True)
    for place, arrays in tqdm(made, what, len(mine), unit=unit, disable=None if ranks.rank == 0 else True, leave=False):
        with atomic_write(files[place]) as part, open(part, "wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
    ranks.wait()


def load(file: Path) -> Arrays:
    """The arrays of a file. Raises InputError if it is damaged."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise InputError(
            f"{file}: this part of an earlier evaluation cannot be read ({type(error).__name__}); delete "
            "it and run the same command again"
        ) from error
