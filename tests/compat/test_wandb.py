"""The private interfaces of wandb that `simswap.compat.wandb` depends on still do what it needs.

Where a test fails after an upgrade, the library has changed: adapt the function of `simswap.compat` that it names.
"""

import struct

import pytest

from simswap.compat import wandb as of_wandb


def test_history_rows_are_read_from_wandbs_records(tmp_path):
    from wandb.proto.wandb_internal_pb2 import Record

    rows = [Record(), Record(), Record()]
    for key, value in (("loss", "0.5"), ("_step", "3")):
        item = rows[0].history.item.add()
        item.key, item.value_json = key, value
    item = rows[1].history.item.add()
    item.nested_key.extend(["val", "id"])
    item.value_json = "1.0"
    rows[2].exit.exit_code = 0
    content = b"".join(struct.pack("<IHB", 0, len(data), 1) + data for data in (r.SerializeToString() for r in rows))
    (tmp_path / "run.wandb").write_bytes(b":W&B\0\0\0" + content + struct.pack("<IHB", 0, 99, 1) + b"cut off")
    found = list(of_wandb.history_rows(tmp_path / "run.wandb"))
    assert found == [{"loss": "0.5", "_step": "3"}, {"val/id": "1.0"}], "compat.wandb: W&B's records have changed"


def test_wandb_refuses_a_setting_that_it_cannot_take(monkeypatch):
    of_wandb.take_setting("WANDB_INIT_TIMEOUT", "20")
    with pytest.raises(Exception, match=r"init_timeout|number"):
        of_wandb.take_setting("WANDB_INIT_TIMEOUT", "soon")


def test_an_entry_of_an_artifact_is_named_by_its_hash_alone():
    import wandb

    made = [wandb.Artifact("data", type="dataset") for _ in range(3)]
    for artifact, digest in zip(made, ("a" * 64, "a" * 64, "b" * 64), strict=True):
        of_wandb.add_hashed_reference(artifact, "manifest", f"data://{digest}", digest)
    entry = made[0].manifest.entries["manifest"]
    assert (entry.digest, entry.ref) == ("a" * 64, f"data://{'a' * 64}"), "compat.wandb: entries have changed"
    assert made[0].manifest.digest() == made[1].manifest.digest() != made[2].manifest.digest()


def test_wandb_hashes_files_as_its_entries_say(tmp_path):
    import wandb

    (tmp_path / "a").write_bytes(b"hello")
    artifact = wandb.Artifact("a", type="b")
    artifact.add_file(str(tmp_path / "a"), name="a", policy="immutable", skip_cache=True)
    entry = artifact.manifest.entries["a"]
    assert of_wandb.has_digest(entry, tmp_path / "a"), "compat.wandb: the hash of files has changed"
    (tmp_path / "a").write_bytes(b"hellp")
    assert not of_wandb.has_digest(entry, tmp_path / "a")


def test_wandbs_cache_is_where_its_variable_says(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    assert of_wandb.cache_folder() == tmp_path / "cache", "compat.wandb: the cache's folder has changed"
