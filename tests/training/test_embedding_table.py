"""Cached source identities: the same training, the same table from any number of ranks, nothing computed twice."""

import shutil
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch

from simswap.data.datamodule import SwapDataModule
from simswap.data.identities import TableParts, open_table, table_path
from simswap.models.embedder import Embedder
from simswap.train import main
from simswap.training.embedding_table import embedding_table, fill
from simswap.training.module import SimSwapModule
from tests.training.runs import SMALL
from tests.training.tiny import tiny_module, tiny_recognizer


@pytest.fixture
def own_crops(crops, tmp_path) -> Path:
    """A copy of the crops: a table beside the shared ones would be found by other tests."""
    shutil.copytree(crops, tmp_path / "crops")
    return tmp_path / "crops"


class NoValidation:
    def prepare(self, *_) -> list[np.ndarray]:
        """Nothing is validated here."""
        return []


def train(root: Path, cached: bool, steps: int = 4, workers: int = 0) -> tuple[SimSwapModule, SwapDataModule]:
    module = tiny_module()
    module.validation = NoValidation()  # type: ignore[assignment]
    data = SwapDataModule(
        root,
        batch_size=4,
        workers=workers,
        fractions={"train": 1.0},
        cache_embeddings=cached,
        augmentation={"flip": 0.5, "sources": False},
    )
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=steps,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        check_val_every_n_epoch=None,
    )
    trainer.fit(module, datamodule=data)
    return module, data


def test_training_from_the_table_is_training_with_the_recognizer(own_crops):
    plain, _ = train(own_crops, cached=False)
    assert not (own_crops / "identities").exists()
    cached, data = train(own_crops, cached=True, workers=1)
    table = open_table(data.identities, len(data.manifest))
    rows = np.arange(0, len(table), 7)
    expected = cached.embedder.identity(data.load(rows).float() / 255, torch.zeros(len(rows), dtype=torch.int64))
    assert np.abs(table[rows] - expected.numpy()).max() < 1e-6
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(cached.state_dict()[name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_a_table_that_is_there_is_used_and_the_recognizer_never_sees_a_source(own_crops, monkeypatch):
    _, data = train(own_crops, cached=True, steps=1)
    written = data.identities.stat().st_mtime_ns
    monkeypatch.setattr(Embedder, "identity", None)  # what would embed the sources
    _, again = train(own_crops, cached=True, steps=2)
    assert again.identities == data.identities
    assert data.identities.stat().st_mtime_ns == written


def test_ranks_share_the_work_bit_for_bit_and_a_killed_one_goes_on(own_crops, monkeypatch):
    embedder = Embedder(tiny_recognizer(), "arcface", 32)
    data = SwapDataModule(own_crops, batch_size=1, workers=0)
    (data.manifest.path(11)).write_bytes(b"no picture")
    seen = []
    monkeypatch.setattr(Embedder, "forward", _counting(Embedder.forward, seen))

    def made(name: str, ranks: int) -> np.ndarray:
        parts = TableParts(own_crops / name, len(data.manifest), 50)
        for rank in range(ranks):
            fill(parts, data, embedder, rank, ranks)
        parts.join()
        return open_table(own_crops / name, len(data.manifest))

    alone = made("one.npy", 1)
    assert sum(seen) == len(data.manifest) == 120
    assert np.isnan(alone).all(1).nonzero()[0].tolist() == [11]
    assert np.array_equal(made("two.npy", 2), alone, equal_nan=True)
    # Killed after the first of three chunks: the next run makes the two that are missing.
    parts = TableParts(own_crops / "three.npy", len(data.manifest), 50)
    parts.write(0, alone[:50])
    seen.clear()
    assert np.array_equal(made("three.npy", 1), alone, equal_nan=True)
    assert sum(seen) == 70


def _counting(forward, seen: list[int]):
    def counted(self, images, view):
        seen.append(len(images))
        return forward(self, images, view)

    return counted


def _rank(rank: int, root: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{root}/meet", rank=rank, world_size=2)
    module = tiny_module()
    data = SwapDataModule(
        root, batch_size=4, workers=0, fractions={"train": 1.0}, cache_embeddings=True, augmentation={"sources": False}
    )

    class Strategy:
        root_device = torch.device("cpu")
        barrier = staticmethod(lambda name: torch.distributed.barrier())

        @staticmethod
        def broadcast(value):
            shared = [value]
            torch.distributed.broadcast_object_list(shared, src=0)
            return shared[0]

    class Trainer:
        strategy, global_rank, world_size, is_global_zero = Strategy, rank, 2, rank == 0

    table = embedding_table(Trainer, data, module.embedder)  # type: ignore[arg-type]
    # Both see a whole table as soon as the function returns.
    open_table.cache_clear()
    torch.save(torch.from_numpy(np.array(open_table(table, len(data.manifest)))), f"{root}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_wait_for_the_whole_table(own_crops):
    torch.multiprocessing.start_processes(_rank, args=(str(own_crops),), nprocs=2, start_method="fork")
    first, second = (torch.load(own_crops / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert torch.equal(first, second)
    assert first.isfinite().all()
    data = SwapDataModule(own_crops, batch_size=1)
    path = table_path(data.manifest, tiny_recognizer().sha256, "warp", 32)
    assert [p.name for p in (own_crops / "identities").iterdir()] == [path.name]


@pytest.mark.parametrize("given", [True, False])
def test_a_data_folder_that_cannot_be_written_to(crops, tmp_path, door, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    root = tmp_path / "data"
    shutil.copytree(crops, root, ignore=shutil.ignore_patterns("identities"))
    (root / "identities").write_text("a file, so that no folder of this name can be made")
    code, _, errors = door(
        main,
        *SMALL,
        f"data.root={root}",
        f"hydra.run.dir={tmp_path}/run",
        "trainer.max_steps=2",
        "data.cache_embeddings=true",
        "data.augmentation.sources=false",
        *(["data.embeddings=~/tables"] if given else []),
    )
    assert code == 0, errors
    place = Path.home() / "tables" if given else tmp_path / "outputs" / "identities"
    assert len(list(place.glob("*.npy"))) == 1
    line = "cannot be written to: the table of identities goes to outputs/identities"
    assert (line in (tmp_path / "run" / "train.log").read_text()) is not given
