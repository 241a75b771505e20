"""One item is one iteration's local batch: drawn, decoded and augmented in a worker, the same in every worker."""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from simswap.data.augmentation import PairAugmentation
from simswap.data.crops import CropCache, into_planes, read_crop
from simswap.data.identities import open_table
from simswap.data.manifest import Manifest
from simswap.data.pairs import AUGMENTATION_PURPOSE, PairSampler, mixing_weights, random_words
from simswap.data.reading import UnreadableImage
from simswap.data.transfer import Copied, Transfer
from simswap.data.unreadable import Unreadable
from simswap.data.workers import into_shared_memory
from simswap.errors import InputError
from simswap.launching.stops import WaitOver, interruptible

# This many replacements in a row mean that the crops are gone, not that one is damaged.
MAX_REPLACEMENTS = 20

LOSS_IDENTITY = "loss_identity/"
"""Before the name of a recognizer of the loss: the key of its embeddings of the sources in a batch."""

Pair = tuple[int, int, bool]  # target, source (indices into the split's rows), same person


class PairBatches(Dataset):
    """Local batches by iteration number: a function of the iteration and the rank's range of positions.

    A pair with an unreadable crop is replaced by the pair that the sampler draws at position + batch_size of the same
    iteration, then at position + 2 * batch_size, ...: positions that no batch uses otherwise, so the replacement is the
    same on any number of ranks and workers and leaves its neighbors as they were.

    Further draws of one iteration come from positions that neither the batch nor its replacements use.

    Args:
        manifest: of the prepared root.
        rows: manifest rows of the split, int64 [N], in the order of `sampler`'s rows.
        sampler: draws pairs among these rows.
        positions: the rank's part of the batch, first and past-the-last position.
        size: side of the crops, px.
        augmentation: applied where active.
        cache_mb: budget for decoded crops.
        identities: table of the crops' identity embeddings; then source images are not read, and a batch holds
            `source_identity`.
        loss_identities: further tables, by the name of the loss's recognizer; a batch holds `loss_identity/<name>`.
        draws: batches per iteration; an item holds them one after another.
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
        identities: Path | None = None,
        draws: int = 1,
        loss_identities: Mapping[str, Path] | None = None,
    ) -> None:
        self.manifest, self.rows, self.sampler, self.positions = manifest, rows, sampler, positions
        self.draws = draws
        self.size, self.augmentation = size, augmentation
        self.cache = CropCache(len(rows), size, cache_mb)
        # Key of the batch → table; empty where sources are images.
        further = {f"{LOSS_IDENTITY}{name}": path for name, path in (loss_identities or {}).items()}
        self.tables = {} if identities is None else {"source_identity": identities} | further

    def __getitem__(self, iteration: int) -> dict[str, Any]:
        """The iteration's SwapBatch (see `SwapDataModule`) and `unreadable`: a list of (manifest row, reason).

        Bad input is returned as the single key `failure` with its message: torch would wrap a worker's exception in a
        stack trace.
        """
        try:
            batch = self._batch(iteration)
            into_shared_memory(*(value for value in batch.values() if isinstance(value, torch.Tensor)))
            return batch
        except InputError as error:
            return {"failure": str(error)}

    def _batch(self, iteration: int) -> dict[str, Any]:
        reach = (MAX_REPLACEMENTS + 1) * self.sampler.batch_size  # of one draw and its replacements
        start, stop = self.positions
        drawn = []
        for draw in range(self.draws):
            batch = self._draw(iteration, start + draw * reach, stop + draw * reach)
            first = start + draw * self.sampler.batch_size
            batch["mix"] = torch.from_numpy(mixing_weights(self.sampler.seed, iteration, first, first + stop - start))
            drawn.append(batch)
        if len(drawn) == 1:
            return drawn[0]
        joined = {name: torch.cat([batch[name] for batch in drawn]) for name in drawn[0] if name != "unreadable"}
        return joined | {"unreadable": [entry for batch in drawn for entry in batch["unreadable"]]}

    def _draw(self, iteration: int, start: int, stop: int) -> dict[str, Any]:
        count = stop - start
        targets: list[np.ndarray] = []
        sources: list[np.ndarray] = []
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
            targets.append(target)
            sources.append(source)
            view[:, item] = target_view, source_view
        brought = self._split(torch.from_numpy(np.stack(sources))) if self.tables else {"source": _stacked(sources)}
        return {
            "target": _stacked(targets),  # [B, 3, H, W]
            **brought,
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
                return pair, self._crop(pair[0], unreadable), self._source(pair[1], unreadable)
            except UnreadableImage:
                pair = self.sampler.pair(iteration, position + replacement * self.sampler.batch_size)
        row, reason = unreadable[-1]
        raise InputError(
            f"{self.manifest.root}: {MAX_REPLACEMENTS} pairs in a row have an unreadable crop, the last "
            f"{self.manifest.path(row)} ({reason}); run simswap-prepare again"
        )

    def _source(self, row: int, unreadable: Unreadable) -> np.ndarray:
        """The crop, or its identity embeddings, one after another, if there are tables of them."""
        if not self.tables:
            return self._crop(row, unreadable)
        count, place = len(self.manifest), self.rows[row]
        identity = np.concatenate([open_table(path, count)[place] for path in self.tables.values()])
        if np.isnan(identity).any():
            # The file itself gives the reason; if it has been repaired since, the pair is still replaced.
            self._crop(row, unreadable)
            reason = "has no identity embedding: it was unreadable when the table was computed"
            unreadable.append((int(self.rows[row]), reason))
            raise UnreadableImage(reason)
        return identity

    def _split(self, identities: torch.Tensor) -> dict[str, torch.Tensor]:
        """Each table's part [B, E] of embeddings that `_source` put one after another."""
        sizes = [open_table(path, len(self.manifest)).shape[1] for path in self.tables.values()]
        parts = identities.split(sizes, dim=1)
        return {name: part.contiguous() for name, part in zip(self.tables, parts, strict=True)}

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


def _stacked(images: list[np.ndarray]) -> torch.Tensor:
    """uint8 [H, W, 3] each → [B, 3, H, W]."""
    batch = np.empty((len(images), 3, *images[0].shape[:2]), dtype=np.uint8)
    for item, image in enumerate(images):
        into_planes(image, batch[item])
    return torch.from_numpy(batch)


class Iterations(Sampler[int]):
    """start(), start() + 1, ... without end; `start` is called when an iteration over the loader begins."""

    def __init__(self, start: Callable[[], int]) -> None:
        self.start = start

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.start())


class SwapLoader:
    """SwapBatches without end; unreadable crops of a batch go to `report`, in the main process.

    Not a DataLoader itself, so that Lightning does not replace our sampler by a DistributedSampler.

    Attributes:
        waited: seconds spent waiting for batches so far.
        report: takes the list of (manifest row, reason) and the number of crops that the batch read.
        transfer: begins the copy of each batch to a GPU; None hands the batches over as they are.
    """

    def __init__(
        self, loader: DataLoader, report: Callable[[Unreadable, int], None], transfer: Transfer | None = None
    ) -> None:
        self.loader, self.report, self.transfer = loader, report, transfer
        self.waited = 0.0
        self._stopped: object = None

    def __iter__(self) -> Iterator[dict[str, torch.Tensor] | Copied]:
        batches = iter(self.loader)
        while True:
            start = time.monotonic()
            try:
                with interruptible():
                    batch = next(batches)
            except WaitOver:
                # A stop: no more batches. The iterator is kept, or its end would wait for the workers before the run
                # is saved.
                self._stopped = batches
                return
            self.waited += time.monotonic() - start
            if "failure" in batch:
                raise InputError(batch["failure"])
            unreadable = batch.pop("unreadable")
            self.report(unreadable, len(batch["target_index"]) + len(batch["source_index"]) + len(unreadable))
            yield batch if self.transfer is None else self.transfer.begin(batch)
