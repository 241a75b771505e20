"""One item is one iteration's local batch: drawn, decoded and augmented in a worker, the same in every worker."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from simswap.data.augmentation import PairAugmentation
from simswap.data.crops import CropCache, read_crop
from simswap.data.manifest import Manifest
from simswap.data.pairs import AUGMENTATION_PURPOSE, PairSampler, random_words
from simswap.data.reading import UnreadableImage
from simswap.data.unreadable import Unreadable
from simswap.errors import InputError

# So many replacements in a row mean that the crops are gone, not that one is damaged.
MAX_REPLACEMENTS = 20

Pair = tuple[int, int, bool]  # target, source (indices into the split's rows), same person


class PairBatches(Dataset):
    """Local batches by iteration number: a function of the iteration and the rank's range of positions.

    A pair with an unreadable crop is replaced by the pair that the sampler draws at position + batch_size of the same
    iteration, then at position + 2 * batch_size, ...: positions that no batch uses otherwise, so the replacement is the
    same on any number of ranks and workers and leaves its neighbours as they were.

    Args:
        manifest: of the prepared root.
        rows: manifest rows of the split, int64 [N], in the order of `sampler`'s rows.
        sampler: draws pairs among these rows.
        positions: the rank's part of the batch, first and past-the-last position.
        size: side of the crops, px.
        augmentation: applied where active.
        cache_mb: budget for decoded crops.
    """

    def __init__(
        self,
        manifest: Manifest,
        rows: np.ndarray,
        sampler: PairSampler,
        positions: tuple[int, int],
        size: int,
        augmentation: PairAugmentation,
        cache_mb: int = 0,
    ) -> None:
        self.manifest, self.rows, self.sampler, self.positions = manifest, rows, sampler, positions
        self.size, self.augmentation = size, augmentation
        self.cache = CropCache(len(rows), size, cache_mb)

    def __getitem__(self, iteration: int) -> dict[str, Any]:
        """The iteration's SwapBatch (see `SwapDataModule`) and `unreadable`: a list of (manifest row, reason).

        Bad input is handed over as the one key `failure` with its message: torch would wrap an exception of a worker
        in a stack trace.
        """
        try:
            return self._batch(iteration)
        except InputError as error:
            return {"failure": str(error)}

    def _batch(self, iteration: int) -> dict[str, Any]:
        start, stop = self.positions
        count = stop - start
        images = np.empty((2, count, 3, self.size, self.size), dtype=np.uint8)
        index = np.empty((2, count), dtype=np.int64)
        view = np.empty((2, count), dtype=np.int64)
        same = np.empty(count, dtype=bool)
        words = random_words(self.sampler.seed, AUGMENTATION_PURPOSE, iteration, start, stop)
        drawn = self.sampler.pairs(iteration, start, stop)
        unreadable: Unreadable = []
        for item in range(count):
            pair = int(drawn.target[item]), int(drawn.source[item]), bool(drawn.same[item])
            pair, target, source = self._readable(iteration, start + item, pair, unreadable)
            index[:, item] = self.rows[list(pair[:2])]
            same[item] = pair[2]
            target_view, source_view = (int(self.manifest.view[row]) for row in index[:, item])
            if self.augmentation.active:
                target, source, target_view, source_view = self.augmentation(
                    target, source, target_view, source_view, pair[2], words[item]
                )
            images[0, item], images[1, item] = target.transpose(2, 0, 1), source.transpose(2, 0, 1)
            view[:, item] = target_view, source_view
        return {
            "target": torch.from_numpy(images[0]),  # [B, 3, H, W]
            "source": torch.from_numpy(images[1]),
            "same_identity": torch.from_numpy(same),  # [B]
            "target_index": torch.from_numpy(index[0]),
            "source_index": torch.from_numpy(index[1]),
            "target_view": torch.from_numpy(view[0]),
            "source_view": torch.from_numpy(view[1]),
            "unreadable": unreadable,
        }

    def _readable(
        self, iteration: int, position: int, pair: Pair, unreadable: Unreadable
    ) -> tuple[Pair, np.ndarray, np.ndarray]:
        for replacement in range(1, MAX_REPLACEMENTS + 1):
            try:
                return pair, self._crop(pair[0], unreadable), self._crop(pair[1], unreadable)
            except UnreadableImage:
                pair = self.sampler.pair(iteration, position + replacement * self.sampler.batch_size)
        row, reason = unreadable[-1]
        raise InputError(
            f"{self.manifest.root}: {MAX_REPLACEMENTS} pairs in a row have an unreadable crop, the last "
            f"{self.manifest.path(row)} ({reason}); run simswap-prepare again"
        )

    def _crop(self, row: int, unreadable: Unreadable) -> np.ndarray:
        crop = self.cache.get(row)
        if crop is None:
            try:
                crop = read_crop(self.manifest, int(self.rows[row]), self.size)
            except UnreadableImage as error:
                unreadable.append((int(self.rows[row]), str(error)))
                raise
            self.cache.put(row, crop)
        return crop


class Iterations(Sampler[int]):
    """start(), start() + 1, ... without end; `start` is asked whenever an iteration over the loader begins."""

    def __init__(self, start: Callable[[], int]) -> None:
        self.start = start

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.start())


class SwapLoader:
    """SwapBatches without end; what a batch says about unreadable crops goes to `report`, in the main process.

    report: takes the list of (manifest row, reason) and the number of crops that the batch asked for.

    Not a DataLoader itself, so that Lightning does not put a DistributedSampler in the place of ours.
    """

    def __init__(self, loader: DataLoader, report: Callable[[Unreadable, int], None]) -> None:
        self.loader, self.report = loader, report

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        for batch in self.loader:
            if "failure" in batch:
                raise InputError(batch["failure"])
            unreadable = batch.pop("unreadable")
            self.report(unreadable, 2 * len(batch["target"]) + len(unreadable))
            yield batch
