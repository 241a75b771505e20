"""Source embeddings, computed once per image instead of once per pair (``data.cache_embeddings``)."""

import logging
from collections.abc import Mapping
from pathlib import Path

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from simswap import pixels
from simswap.data.crops import RowCrops
from simswap.data.datamodule import SwapDataModule, one_thread
from simswap.data.identities import TableParts, choose_folder, table_path
from simswap.errors import InputError
from simswap.models.embedder import Embedder
from simswap.precision import full_precision

log = logging.getLogger(__name__)

CHUNK, BATCH = 4096, 64  # rows per file, and crops per batch of the recognizer


def embedding_table(trainer: L.Trainer, data: SwapDataModule, embedder: Embedder) -> Path | None:
    """The table of source embeddings, computed first if it does not exist; None unless ``data.cache_embeddings``.

    The recognizer is frozen and sources are not augmented, so a source's embedding never changes. Each rank computes
    its share. The files are cut the same way for any number of ranks, so the table is the same, bit for bit.

    Raises:
        InputError: the disk is full, or the folder is not shared by all nodes.
    """
    if not data.cache_embeddings:
        return None
    path = table_path(data.manifest, embedder.recognizer.sha256, embedder.view.how, data.size)
    folder, line = choose_folder(data.manifest.root, data.embeddings, path.name)
    folder, line = trainer.strategy.broadcast((folder, line))  # one place for all ranks
    path = folder / path.name
    if line and trainer.is_global_zero:
        log.info("%s", line)
    parts = TableParts(path, len(data.manifest), CHUNK)
    fill(parts, data, embedder.to(trainer.strategy.root_device), trainer.global_rank, trainer.world_size)
    trainer.strategy.barrier("identities")
    if trainer.is_global_zero:
        parts.join()
    trainer.strategy.barrier("identities joined")
    if not path.is_file():
        raise InputError(
            f"{path} is not visible to every process: it must be one folder for all nodes; set data.embeddings=<folder>"
        )
    return path


def embedding_tables(trainer: L.Trainer, data: SwapDataModule, embedders: Mapping[str, Embedder]) -> dict[str, Path]:
    """`embedding_table` of each of these embedders, by name; empty unless ``data.cache_embeddings``."""
    found = {name: embedding_table(trainer, data, embedder) for name, embedder in embedders.items()}
    return {name: path for name, path in found.items() if path is not None}


@torch.no_grad()
def fill(parts: TableParts, data: SwapDataModule, embedder: Embedder, rank: int, world_size: int) -> None:
    """Compute this rank's missing chunks; an unreadable crop gets NaN.

    Raises:
        InputError: the disk is full.
    """
    device = embedder.view.matrices.device
    missing = list(parts.missing(rank, world_size))
    if not missing:
        return
    total = sum(len(parts.rows_of(number)) for number in missing)
    with tqdm(total=total, desc="source identities", unit="crop", disable=True if rank else None) as bar:
        for number in missing:
            rows = parts.rows_of(number)
            crops = RowCrops(data.manifest, np.array_split(rows, -(-len(rows) // BATCH)), data.size)
            loader: DataLoader = DataLoader(
                crops, batch_size=None, num_workers=min(data.workers, len(crops)), worker_init_fn=one_thread
            )
            found = []
            for images, view, readable in loader:
                with full_precision():
                    identity = embedder(pixels.from_uint8(images.to(device), "unit"), view.to(device)).float().cpu()
                identity[~readable] = torch.nan
                found.append(identity.numpy())
                bar.update(len(identity))
            parts.write(number, np.concatenate(found))
