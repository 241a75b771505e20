"""Checkpoints out of W&B, by the public API against a stand-in for the server on the loopback."""

import hashlib
import shutil
from pathlib import Path

import pytest
import torch

from simswap import checkpoint, wandb_files
from simswap.checkpoint.__main__ import main as make_slim
from simswap.errors import InputError
from simswap.launching.folders import evaluation_folder
from simswap.settings.paths import read_arguments
from simswap.training.warm_start import start_from
from simswap.wandb_files import Reference, fetched, is_reference, local_file, parsed
from tests.wandb_server import StandIn, Version, served

SLIM = Path(wandb_files.__file__).parent / "weights" / "demo.ckpt"
NAME = "wandb:me/p/checkpoint-abc"


@pytest.fixture(scope="module")
def server():
    content = SLIM.read_bytes()
    facts = {"sha256": hashlib.sha256(content).hexdigest()}
    versions = [
        Version("checkpoint-abc", "model", 0, ["iteration-5"], {"checkpoint.ckpt": content}, facts),
        Version("checkpoint-abc", "model", 1, ["best", "latest"], {"checkpoint.ckpt": content, "b.txt": b"b"}, facts),
        Version("checkpoint-abc", "model", 2, ["wrong"], {"checkpoint.ckpt": content}, {"sha256": "0" * 64}),
        Version("checkpoint-abc", "model", 3, ["other"], {"checkpoint.ckpt": content}, {},
                {"checkpoint.ckpt": "AAAAAAAAAAAAAAAAAAAAAA=="}),
        Version("checkpoint-abc", "model", 4, ["two"], {"a.ckpt": b"a", "b.ckpt": b"b"}),
        Version("data-abc", "dataset", 0, ["latest"], {"data.json": b"{}"}),
    ]  # fmt: skip
    content_of_server = StandIn(versions=versions)
    with served(content_of_server):
        yield content_of_server


@pytest.fixture
def online(server, monkeypatch, tmp_path):
    """W&B's variables for the stand-in, an empty cache, and a list of what is asked from now on."""
    folders = {"WANDB_CACHE_DIR": str(tmp_path / "cache"), "WANDB_DATA_DIR": str(tmp_path / "data")}
    login = {"WANDB_BASE_URL": server.address, "WANDB_API_KEY": "0123456789" * 4, "WANDB_MODE": "online"}
    for name, value in (folders | login).items():
        monkeypatch.setenv(name, value)
    fetched.cache_clear()
    server.asked.clear()
    yield server
    fetched.cache_clear()


def test_a_reference_has_four_parts():
    assert parsed("wandb:me/p/checkpoint-abc:best") == Reference("me", "p", "checkpoint-abc", "best")
    assert is_reference("wandb:x")
    assert not is_reference("outputs/wandb/last.ckpt")
    for wrong in ("wandb:me/p/name", "wandb:p/name:best", "wandb:me/p/name:", "wandb:me/p/a/name:best", "wandb:"):
        with pytest.raises(InputError, match="name an artifact in W&B as wandb:<entity>/<project>/<name>:<alias>"):
            parsed(wrong)
    assert local_file("a/b.ckpt") == Path("a/b.ckpt")
    assert read_arguments(["checkpoint=wandb:me/p/a:best"]) == ["checkpoint='wandb:me/p/a:best'"]
    assert evaluation_folder(f"{NAME}:best", "mine") == "mine"


def test_a_checkpoint_is_downloaded_once_and_read_as_data(online, capsys):
    loaded = checkpoint.load(f"{NAME}:best")
    assert loaded.sha256 == hashlib.sha256(SLIM.read_bytes()).hexdigest()
    assert loaded.path.read_bytes() == SLIM.read_bytes()
    assert not (loaded.path.parent / "b.txt").exists()
    assert f"{NAME}:best is v1 (downloaded, " in capsys.readouterr().err
    assert checkpoint.read(f"{NAME}:best")[checkpoint.KEY] == checkpoint.read(SLIM)[checkpoint.KEY]
    assert online.asked.count("file") == 1
    assert online.asked.count("ArtifactMembershipByName") == 1  # an alias keeps its meaning in a process
    fetched.cache_clear()
    assert local_file(f"{NAME}:v1") == loaded.path
    assert "v1 (cached): " in capsys.readouterr().err
    assert online.asked.count("file") == 1
    assert online.strange == []


def test_a_file_with_another_hash_is_refused(online):
    for alias in ("wrong", "other"):
        with pytest.raises(InputError, match="the file does not have the stated hash, and is deleted"):
            fetched(f"{NAME}:{alias}")
    file = fetched(f"{NAME}:iteration-5")
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    fetched.cache_clear()
    with pytest.raises(InputError, match="the cached file was changed, and is deleted; run the command again"):
        fetched(f"{NAME}:iteration-5")
    assert fetched(f"{NAME}:iteration-5").read_bytes() == SLIM.read_bytes()


def test_what_is_not_there_is_one_line(online, monkeypatch):
    with pytest.raises(InputError, match=r"is no artifact with one checkpoint: it has a\.ckpt, b.ckpt; give a run's"):
        fetched(f"{NAME}:two")
    with pytest.raises(InputError, match=r"is no artifact with one checkpoint: it has data\.json; give a run's"):
        fetched("wandb:me/p/data-abc:latest")
    with pytest.raises(InputError, match=r"gone: .*not found.*; check the name, the login"):
        fetched(f"{NAME}:gone")
    monkeypatch.setenv("WANDB_MODE", "offline")
    with pytest.raises(InputError, match="needs W&B's server, but its variables in the environment say offline"):
        fetched(f"{NAME}:best")


def test_without_a_login_it_is_one_line(monkeypatch, tmp_path):
    import wandb

    def refuse(**_):
        raise wandb.errors.UsageError("No API key configured.")

    fetched.cache_clear()
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setattr(wandb, "Api", refuse)
    with pytest.raises(InputError, match="best: No API key configured; check the name, the login"):
        fetched(f"{NAME}:best")


def test_every_command_takes_one(monkeypatch, tmp_path, door):
    from simswap.export import main as export

    shutil.copy(SLIM, tmp_path / "cached.ckpt")
    monkeypatch.setattr(wandb_files, "fetched", lambda _: tmp_path / "cached.ckpt")
    out = tmp_path / "made.safetensors"
    code, _, errors = door(export, f"checkpoint={NAME}:best", f"out={out}")
    assert (code, out.is_file()) == (0, True), errors
    checkpoint.write_slim(Path(f"{NAME}:best"), tmp_path / "slim.ckpt")
    assert checkpoint.load(tmp_path / "slim.ckpt").iteration == checkpoint.load(SLIM).iteration
    monkeypatch.setattr("sys.argv", ["checkpoint", f"{NAME}:best", str(tmp_path / "again.ckpt"), "--note", "a=b"])
    make_slim()
    assert torch.load(tmp_path / "again.ckpt", weights_only=True)[checkpoint.KEY]["notes"] == {"a": "b"}

    class Module:
        description = checkpoint.read(SLIM)[checkpoint.KEY]

        def load_state_dict(self, state):
            raise KeyError("discriminators")

    with pytest.raises(InputError, match=rf"start_from={NAME}:best: the weights of generator, average and discrim"):
        start_from(Module(), f"{NAME}:best")
