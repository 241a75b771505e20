"""TorchScript archives are read as data: their tensors, never their program."""

import io
import os
import pickle
import zipfile

import pytest
import torch
from torch import nn

from simswap.errors import InputError
from simswap.models.scripted import read_scripted_module

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit")  # deprecated, and what the archive was made with


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.padding = [1, 2]
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(nn.functional.pad(x, self.padding))


@pytest.fixture
def archive(tmp_path):
    """(path, state dict) of a scripted module."""
    network = nn.Sequential(Inner(), nn.BatchNorm2d(4))
    torch.jit.script(network).save(str(tmp_path / "net.pt"))
    return tmp_path / "net.pt", network.state_dict()


def rewritten(path, name, data, compression=zipfile.ZIP_STORED):
    """The archive with other content of one member."""
    with zipfile.ZipFile(path) as old:
        members = [(part, old.read(part)) for part in old.infolist()]
    with zipfile.ZipFile(path, "w") as new:
        for part, content in members:
            wanted = part.filename.endswith(name)
            new.writestr(part.filename, data if wanted and data is not None else content,
                         compress_type=compression if wanted else part.compress_type)  # fmt: skip


def test_its_tensors_are_read_without_its_program(archive, monkeypatch):
    path, state = archive

    def refused(*arguments, **settings):
        raise AssertionError("an archive's program was loaded")

    monkeypatch.setattr(torch.jit, "load", refused)
    monkeypatch.setattr(torch, "load", refused)
    found = read_scripted_module(path)
    assert list(found) == list(state)
    for name, value in state.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0)


class Calls:
    def __reduce__(self):
        return os.system, ("touch was-run",)


def test_an_archive_that_asks_for_more_is_refused(archive, tmp_path, monkeypatch):
    path, _ = archive
    monkeypatch.chdir(tmp_path)
    rewritten(path, "/data.pkl", pickle.dumps(Calls(), protocol=2))
    with pytest.raises(InputError, match=r"net\.pt is refused: it asks for posix\.system, .* none of its code was run"):
        read_scripted_module(path)
    assert not (tmp_path / "was-run").exists()


def test_damaged_and_other_archives_are_refused(archive, tmp_path):
    path, _ = archive
    whole = path.read_bytes()
    with pytest.raises(InputError, match="there is no such file of weights"):
        read_scripted_module(tmp_path / "none.pt")
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut off"):
        read_scripted_module(path)
    path.write_bytes(whole)
    rewritten(path, "/data/0", None, zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="its tensors are compressed or overlap"):
        read_scripted_module(path)
    path.write_bytes(whole)
    rewritten(path, "/data/0", b"\0\0\0\0")
    with pytest.raises(InputError, match="a tensor exceeds its values"):
        read_scripted_module(path)
    torch.jit.script(nn.ReLU()).save(str(tmp_path / "empty.pt"))
    with pytest.raises(InputError, match="holds no weights of a network"):
        read_scripted_module(tmp_path / "empty.pt")
    stream = io.BytesIO()
    torch.save({"a": torch.ones(2)}, stream)
    (tmp_path / "plain.pt").write_bytes(stream.getvalue())
    assert read_scripted_module(tmp_path / "plain.pt")["a"].tolist() == [1, 1]
