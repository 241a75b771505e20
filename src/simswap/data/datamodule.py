"""Aligned crops as training batches and evaluation sets."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader

from simswap.data.augmentation import PairAugmentation
from simswap.data.batches import Iterations, PairBatches, SwapLoader
from simswap.data.crops import read_crop
from simswap.data.manifest import Manifest
from simswap.data.pairs import PairSampler, split_persons
from simswap.data.reading import UnreadableImage
from simswap.data.transfer import Copied, transfer_to
from simswap.data.unreadable import UnreadableCrops
from simswap.data.workers import leave_signals_to_the_run
from simswap.errors import InputError
from simswap.launching.system import keep_freed_memory
from simswap.precision import has_float64

FRACTIONS = {"train": 0.9, "val": 0.05, "test": 0.05}


class SwapDataModule(lightning.LightningDataModule):
    """Pairs of aligned crops of a prepared root; splits by person.

    `train_dataloader()` yields one SwapBatch per iteration, without end:

    - `target`, `source`: uint8 [B, 3, H, W] RGB; with cached identities `source_identity` float32 [B, E] for `source`,
      and `loss_identity/<name>` float32 [B, E] for each further recognizer of the loss
    - `same_identity`: bool [B]
    - `target_index`, `source_index`: int64 [B], rows of the manifest
    - `target_view`, `source_view`: int64 [B], view of the crop's template (after a flip)
    - `mix`: float64 [B] in [0, 1), interpolation weights of the gradient penalty

    B is this rank's part of the effective batch: rank r of W takes positions r*B/W .. (r+1)*B/W of the iteration's
    global batch, which depends on (seed, iteration) alone. With n `draws`, an item is n such batches, one after
    another, each with its own pairs.

    Args:
        root: folder that `simswap-prepare` wrote.
        batch_size: effective batch over all ranks and micro-batches.
        pairing: `alternate` (even iterations same person, odd different) or `mixed`.
        same_probability: share of same-person pairs of `mixed`.
        size: side of the crops in px; None takes the prepared size, another value resizes.
        workers: worker processes that decode; 0 decodes in the main process.
        seed: of pairs and augmentation.
        fractions: shares of persons by split name, summing to 1; one is called `train`.
        augmentation: keys `flip` (probability), `color` (strength), `sources` (whether they are augmented too) and
            `transforms` (photometric albumentations), see `PairAugmentation`.
        cache_embeddings: sources come as identity embeddings from the table given to `prepare_training`.
        embeddings: folder of that table; None puts it beside the manifest.
        cache_mb: budget in MiB a rank for decoded training crops, 0 is off; see `CropCache`.
        prefetch: batches that each worker holds ready.
        max_unreadable_share: more unreadable crops than this share stop the run, see `UnreadableCrops`.
        unreadable_list: CSV file for the unreadable training crops; None keeps no file.

    Raises:
        InputError: a missing root or manifest, settings out of range, a split without the pairs asked for.
    """

    def __init__(
        self,
        root: str | Path,
        batch_size: int,
        pairing: str = "alternate",
        same_probability: float = 0.5,
        size: int | None = None,
        workers: int = 2,
        seed: int = 0,
        fractions: Mapping[str, float] = FRACTIONS,
        augmentation: Mapping[str, Any] | None = None,
        cache_embeddings: bool = False,
        embeddings: str | None = None,
        cache_mb: int = 0,
        prefetch: int = 2,
        max_unreadable_share: float = 0.01,
        unreadable_list: Path | None = None,
    ) -> None:
        super().__init__()
        for key, value, least in (
            ("batch_size", batch_size, 1),
            ("size", 1 if size is None else size, 1),
            ("workers", workers, 0),
            ("cache_mb", cache_mb, 0),
            ("prefetch", prefetch, 1),
            ("max_unreadable_share", max_unreadable_share, 0),
        ):
            if value < least:
                raise InputError(f"data.{key}: {value} is not at least {least}")
        self.root, self.batch_size, self.workers, self.seed = Path(root), batch_size, workers, seed
        self.pairing, self.same_probability = pairing, same_probability
        self.cache_mb, self.prefetch, self.max_unreadable_share = cache_mb, prefetch, max_unreadable_share
        self.fractions = dict(fractions)
        self.augmentation = dict(augmentation or {})
        for key in self.augmentation:
            if key not in ("flip", "color", "sources", "transforms"):
                raise InputError(f"data.augmentation.{key}: unknown; there are flip, color, sources, transforms")
        checked = PairAugmentation(**self.augmentation)  # with the views of the crops it is built once they are known
        if cache_embeddings and checked.active and checked.sources:
            raise InputError(
                "data.cache_embeddings: the identity embedding of an augmented source differs each time; set "
                "data.augmentation.sources=false, or flip and color to 0 and no transforms"
            )
        self.cache_embeddings, self.embeddings = cache_embeddings, Path(embeddings) if embeddings else None
        self.unreadable_list, self._size = unreadable_list, size
        self._rows: dict[str, np.ndarray] = {}
        #: first iteration of the loader; None takes the trainer's global_step, so that a run resumes where it stopped
        self.start_iteration: int | None = None
        self.prepare_training()

    def prepare_training(
        self,
        draws: int = 1,
        identities: Path | None = None,
        validation_chunks: Sequence[np.ndarray] = (),
        loss_identities: Mapping[str, Path] | None = None,
    ) -> None:
        """Set what depends on the training, before the first loader is asked for.

        Args:
            draws: batches per iteration.
            identities: table of source embeddings, needed with `cache_embeddings`.
            validation_chunks: items of the validation loader, int64 [n] each.
            loss_identities: the same for further recognizers of the loss, by name.
        """
        self.draws, self.identities, self.validation_chunks = draws, identities, validation_chunks
        self.loss_identities = dict(loss_identities or {})

    @cached_property
    def manifest(self) -> Manifest:
        """The prepared root's manifest, opened at first use."""
        return Manifest.open(self.root)

    @cached_property
    def unreadable(self) -> UnreadableCrops:
        """The training crops that could not be read, in this process and before it was resumed."""
        found = UnreadableCrops(self.manifest, len(self.rows("train")), self.max_unreadable_share)
        if self.unreadable_list is not None:
            found.keep_list(self.unreadable_list)
        return found

    @property
    def size(self) -> int:
        """Side of the crops that batches hold, px."""
        return self.manifest.crop_size if self._size is None else self._size

    def setup(self, stage: str) -> None:
        """Open the manifest and the list of unreadable crops, so that bad input stops a run at its start."""
        _ = self.unreadable if stage == "fit" else self.manifest

    def rows(self, split: str) -> np.ndarray:
        """Manifest rows of a split's persons, ascending: int64 [n]; InputError where there is no such split."""
        if split not in self.fractions:
            raise InputError(f"data.fractions: no split {split!r}; there are {', '.join(self.fractions)}")
        if not self._rows:
            split_of_person = split_persons(self.manifest.person_names, self.fractions)
            split_of_row = split_of_person[self.manifest.person]
            self._rows = {name: np.flatnonzero(split_of_row == k) for k, name in enumerate(self.fractions)}
        return self._rows[split]

    def persons(self, split: str) -> np.ndarray:
        """Persons of a split that have a crop, as indices into `manifest.person_names`, ascending: int64 [p]."""
        return np.unique(self.manifest.person[self.rows(split)]).astype(np.int64)

    def load(self, rows: Sequence[int] | np.ndarray) -> torch.Tensor:
        """The crops of manifest rows, not augmented: uint8 [n, 3, H, W] RGB, n may be 0.

        Raises:
            InputError: an unreadable crop; figures over other faces than asked for would not be comparable.
        """
        images = np.empty((len(rows), 3, self.size, self.size), dtype=np.uint8)
        for place, row in enumerate(rows):
            try:
                images[place] = read_crop(self.manifest, int(row), self.size).transpose(2, 0, 1)
            except UnreadableImage as error:
                raise InputError(f"{self.manifest.path(int(row))}: {error}; run simswap-prepare again") from error
        return torch.from_numpy(images)

    def train_batches(self, rank: int = 0, world_size: int = 1) -> PairBatches:
        """Local batches of a rank, by iteration number.

        Raises:
            InputError: a batch size that the ranks do not divide; a split without the pairs asked for.
        """
        if self.batch_size % world_size:
            raise InputError(f"data.batch_size: {self.batch_size} does not divide by {world_size} ranks")
        if self.cache_embeddings and self.identities is None:
            raise ValueError("cache_embeddings: `identities` is not set; make the table first")
        rows = self.rows("train")
        sampler = PairSampler(
            self.manifest.person[rows],
            self.seed,
            self.batch_size,
            self.pairing,
            self.same_probability,
            what=f"{self.root}, split train",
        )
        augmentation = PairAugmentation(**self.augmentation, view_count=self.manifest.view_count)
        local = self.batch_size // world_size
        positions = (rank * local, (rank + 1) * local)
        return PairBatches(
            self.manifest,
            rows,
            sampler,
            positions,
            self.size,
            augmentation,
            self.cache_mb,
            self.identities,
            self.draws,
            self.loss_identities,
        )

    def train_dataloader(self) -> SwapLoader:
        """SwapBatches of this rank from the next iteration on, without end."""
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        transfer = transfer_to(self.trainer.strategy.root_device) if self.trainer else None
        loader: DataLoader = DataLoader(
            self.train_batches(rank, world_size),  # type: ignore[arg-type]
            batch_size=None,
            sampler=Iterations(self._next_iteration),
            num_workers=self.workers,
            prefetch_factor=self.prefetch if self.workers else None,
            pin_memory=transfer is not None,
            worker_init_fn=_set_up_worker,
        )
        return SwapLoader(loader, self.unreadable.add, transfer)

    def val_dataloader(self) -> DataLoader:
        """The `validation_chunks`, one at a time: int64 [n] each."""
        return DataLoader(self.validation_chunks, batch_size=None)  # type: ignore[arg-type]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """The batch on the device; float64 becomes float32 where the device has none."""
        if isinstance(batch, Copied):
            return batch.take()
        if isinstance(batch, dict) and not has_float64(device):
            batch = {name: value.float() if value.dtype == torch.float64 else value for name, value in batch.items()}
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def _next_iteration(self) -> int:
        if self.start_iteration is not None:
            return self.start_iteration
        return self.trainer.global_step if self.trainer else 0


def one_thread(worker: int) -> None:
    """Keep a worker to one thread.

    Workers decode one image at a time: their threads would only compete, and OpenCV's own pool does not survive the
    fork.
    """
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _set_up_worker(worker: int) -> None:
    one_thread(worker)
    keep_freed_memory()
    leave_signals_to_the_run()
