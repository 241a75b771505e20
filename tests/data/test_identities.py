"""The table of identities: whole or not there, gone on with after a kill, and refused when it is another's."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from simswap.data.datamodule import SwapDataModule
from simswap.data.identities import TableParts, choose_folder, open_table, table_path
from simswap.data.manifest import Manifest
from simswap.errors import InputError

ROWS, CHUNK = 10, 4


def values(rows: np.ndarray) -> np.ndarray:
    return (rows[:, None] * 10 + np.arange(3)).astype(np.float32)


def test_a_table_is_put_together_from_what_each_rank_makes(tmp_path):
    path = tmp_path / "identities" / "x.npy"
    parts = TableParts(path, ROWS, CHUNK)
    assert [parts.rows_of(k).tolist() for k in range(parts.count)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    for rank, expected in ((0, [0, 2]), (1, [1])):
        assert list(parts.missing(rank, 2)) == expected
        for number in expected:
            parts.write(number, values(parts.rows_of(number)))
    assert not path.exists()
    parts.join()
    assert [p.name for p in path.parent.iterdir()] == ["x.npy"]
    table = open_table(path, ROWS)
    assert isinstance(table, np.memmap)
    assert np.array_equal(table, values(np.arange(ROWS)))
    assert not list(TableParts(path, ROWS, CHUNK).missing(0, 1))
    parts.join()  # another run made it at the same time: nothing happens


def test_a_killed_run_goes_on_with_the_missing_chunks(tmp_path):
    parts = TableParts(tmp_path / "x.npy", ROWS, CHUNK)
    parts.write(1, values(parts.rows_of(1)))
    (parts.folder / ".0000000.npy.123.part").write_bytes(b"half")
    assert list(TableParts(tmp_path / "x.npy", ROWS, CHUNK).missing(0, 1)) == [0, 2]
    with pytest.raises(InputError, match="lacks 2 of 3 parts"):
        parts.join()  # a chunk is not there: no table of two thirds
    assert not (tmp_path / "x.npy").exists()
    assert (parts.folder / "0000001.npy").is_file()


def test_a_damaged_table_is_one_line(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, values(np.arange(ROWS)))
    with pytest.raises(InputError, match="for 11 crops; delete it"):
        open_table(path, 11)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"cannot be read .* delete it"):
        open_table(path, ROWS)
    np.save(path, np.zeros((ROWS, 3)))
    with pytest.raises(InputError, match="float64"):
        open_table(path, ROWS)


def test_whatever_changes_the_identities_changes_the_name(crops, tmp_path):
    manifest = Manifest.open(crops)
    plain = table_path(manifest, "ab" * 32, "warp", 32)
    assert plain.parent == crops / "identities"
    others = [table_path(manifest, "cd" * 32, "warp", 32), table_path(manifest, "ab" * 32, "nearest", 32),
              table_path(manifest, "ab" * 32, "warp", 16)]  # fmt: skip
    for file in ("prepare.json", "manifest.csv"):
        (tmp_path / file).write_bytes((crops / file).read_bytes())
    lines = (tmp_path / "manifest.csv").read_text().splitlines()
    (tmp_path / "manifest.csv").write_text("\n".join(lines[:-1]) + "\n")
    others.append(crops / "identities" / table_path(Manifest.open(tmp_path), "ab" * 32, "warp", 32).name)
    assert len({plain, *others}) == 5


def copy_of(crops, place):
    shutil.copytree(crops, place)
    return Manifest.open(place)


def test_the_same_names_over_other_crops_are_another_table(crops, tmp_path):
    plain, same = (table_path(copy_of(crops, tmp_path / name), "ab" * 32, "warp", 32, tmp_path) for name in "ab")
    assert plain == same
    changed = copy_of(crops, tmp_path / "content")
    file = changed.path(0)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    settings = copy_of(crops, tmp_path / "settings")
    record = settings.root / "prepare.json"
    record.write_text(record.read_text().replace('"arcface"', '"ffhq"'))
    gone = copy_of(crops, tmp_path / "gone")
    gone.path(3).unlink()
    others = [table_path(manifest, "ab" * 32, "warp", 32, tmp_path) for manifest in (changed, settings, gone)]
    assert len({plain, *others}) == 4


def test_where_the_table_goes(tmp_path, monkeypatch):
    assert choose_folder(tmp_path, Path("there"), "t.npy") == (Path("there"), "")
    assert choose_folder(tmp_path, None, "t.npy") == (tmp_path / "identities", "")
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "identities").write_text("a file: nothing can be written below it")
    folder, line = choose_folder(blocked, None, "t.npy")
    assert folder == Path("outputs", "identities")
    assert "data.embeddings=" in line
    # a table that already exists is used from a disk that cannot be written to
    (tmp_path / "identities" / "t.npy").write_bytes(b"")
    monkeypatch.setattr("simswap.data.identities._is_writable", lambda folder: False)
    assert choose_folder(tmp_path, None, "t.npy") == (tmp_path / "identities", "")
    assert choose_folder(tmp_path, None, "other.npy")[0] == Path("outputs", "identities")


def test_batches_bring_the_rows_of_the_table_and_the_same_pairs_and_targets(crops, tmp_path):
    settings = {"batch_size": 6, "workers": 0, "seed": 3, "fractions": {"train": 1.0},
                "augmentation": {"flip": 0.5, "color": 0.2, "sources": False}}  # fmt: skip
    plain, cached = SwapDataModule(crops, **settings), SwapDataModule(crops, cache_embeddings=True, **settings)
    with pytest.raises(ValueError, match="not set"):
        cached.train_batches()
    np.save(tmp_path / "t.npy", values(np.arange(len(plain.manifest))))
    cached.prepare_training(identities=tmp_path / "t.npy")
    for iteration in range(4):
        one, other = plain.train_batches()[iteration], cached.train_batches()[iteration]
        assert set(one) ^ set(other) == {"source", "source_identity"}
        for name in set(one) & set(other) - {"unreadable"}:
            assert one[name].equal(other[name]), name
        assert other["source_identity"].numpy().tolist() == values(one["source_index"].numpy()).tolist()
        assert one["source"].equal(plain.load(one["source_index"].numpy()))  # not augmented
        assert not one["target"].equal(plain.load(one["target_index"].numpy()))


def test_a_source_without_an_identity_is_replaced_as_an_unreadable_one(crops, tmp_path):
    data = SwapDataModule(crops, batch_size=6, workers=0, fractions={"train": 1.0}, cache_embeddings=True)
    table = values(np.arange(len(data.manifest)))
    data.prepare_training(identities=tmp_path / "whole.npy")
    np.save(data.identities, table)
    whole = data.train_batches()[1]
    bad = int(whole["source_index"][2])
    table[bad] = np.nan
    data.prepare_training(identities=tmp_path / "gap.npy")
    np.save(data.identities, table)
    batches = data.train_batches()
    replaced = batches[1]
    assert batches.sampler.pair(1, 2 + 6)[:2] == (int(replaced["target_index"][2]), int(replaced["source_index"][2]))
    assert [row for row, _ in replaced["unreadable"]] == [bad]
    assert replaced["source_identity"].isfinite().all()
