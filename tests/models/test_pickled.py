"""Pickled modules are read as data: real ones in both of torch's forms, and hostile ones that must not run."""

import builtins
import io
import os
import pickle
import sys
import types
import zipfile

import pytest
import torch
from torch import nn

from simswap.errors import InputError
from simswap.models.pickle_machine import Record
from simswap.models.pickled import read_pickled_module


@pytest.fixture
def module_file(tmp_path, monkeypatch):
    """Pickle a module of a class that is not there when it is read: (path, state dict)."""

    def write(name, legacy, build):
        package, inner = types.ModuleType("models"), types.ModuleType("models.arcface_models")
        monkeypatch.setitem(sys.modules, "models", package)
        monkeypatch.setitem(sys.modules, "models.arcface_models", inner)
        kind = type("ResNet", (nn.Module,), {"__module__": "models.arcface_models"})
        inner.ResNet = kind
        network = kind()
        build(network)
        path = tmp_path / name
        torch.save(network, path, _use_new_zipfile_serialization=not legacy)
        monkeypatch.delitem(sys.modules, "models.arcface_models")
        monkeypatch.delitem(sys.modules, "models")
        return path, network.state_dict()

    return write


def small(network):
    network.conv = nn.Conv2d(3, 4, 3)
    network.body = nn.Sequential(nn.BatchNorm2d(4), nn.PReLU(), nn.Linear(4, 2).half())
    network.shared = network.conv.weight  # the same values under two names


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source")
@pytest.mark.parametrize("legacy", [False, True])
def test_a_module_of_unknown_classes_gives_its_state_dict(module_file, legacy):
    path, state = module_file("net.tar", legacy, small)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    found = read_pickled_module(path)
    assert set(found) == set(state)
    for name, value in state.items():
        torch.testing.assert_close(found[name], value.detach(), rtol=0, atol=0)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_plain_state_dict_and_views(tmp_path, legacy):
    whole = torch.arange(24.0).view(4, 6)
    state = {"turned": whole.T, "part": whole[1:3, ::2], "scalar": torch.tensor(3)}
    torch.save(state, tmp_path / "state.pth", _use_new_zipfile_serialization=not legacy)
    found = read_pickled_module(tmp_path / "state.pth")
    for name, value in state.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0)


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


HOSTILE = {
    "posix.system": Calls(os.system, "touch was-run"),
    "builtins.eval": Calls(builtins.eval, "open('was-run', 'w')"),
    "builtins.exec": Calls(builtins.exec, "open('was-run', 'w')"),
    "builtins.getattr": Calls(getattr, "text", "upper"),
    "_io.open": Calls(io.open, "was-run", "w"),
    "torch.serialization.load": Calls(torch.load, "other.pth"),
    "torch.hub.load": Calls(torch.hub.load, "owner/name"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("legacy", [False, True])
def test_hostile_pickles_are_refused_by_name_and_do_nothing(tmp_path, monkeypatch, name, legacy):
    monkeypatch.chdir(tmp_path)
    content = {"conv.weight": torch.ones(2), "x": HOSTILE[name]}
    torch.save(content, "hostile.pth", _use_new_zipfile_serialization=not legacy)
    asked = name.rpartition(".")[2]
    with pytest.raises(InputError, match=f"is refused: it asks for .*{asked}.*none of its code was run"):
        read_pickled_module(tmp_path / "hostile.pth")
    assert os.listdir(tmp_path) == ["hostile.pth"]


def test_a_lambda_by_its_module_is_refused(tmp_path):
    program = b"cos\nsystem\n(S'touch was-run'\ntR."
    with zipfile.ZipFile(tmp_path / "net.pth", "w") as archive:
        archive.writestr("archive/data.pkl", program)
    with pytest.raises(InputError, match=r"it asks for os\.system"):
        read_pickled_module(tmp_path / "net.pth")


def archived(tmp_path, program: bytes):
    with zipfile.ZipFile(tmp_path / "net.pth", "w") as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/data/0", bytes(16))
    return tmp_path / "net.pth"


def doubled(times: int, pair: bytes) -> bytes:
    """A value that holds the one before it twice, ``times`` times: 2^times parts if it is ever walked through."""
    return b"\x80\x02N" + b"".join(b"q" + bytes([k]) + b"h" + bytes([k]) + pair for k in range(times))


MODULES = b"".join(b"q%c0}(X\x01\x00\x00\x00ah%cX\x01\x00\x00\x00bh%cu" % (k, k, k) for k in range(45))
LONG_LIST = b"](" + b"N" * 3000 + b"eq\x00"
ENDLESS = {
    "a key of nested pairs": b"}" + doubled(60, b"\x86")[2:] + b"Ns.",
    "a set of nested pairs": b"\x8f(" + doubled(60, b"\x86")[2:] + b"\x90.",
    "a set called for": b"cbuiltins\nset\n](" + doubled(60, b"\x86")[2:] + b"e\x85R.",
    "an ordered dict": b"ccollections\nOrderedDict\n](" + doubled(60, b"\x86")[2:] + b"N\x86e\x85R.",
    "a dict of nested pairs": b"(" + doubled(60, b"\x86")[2:] + b"Nd.",
    "a storage's name": b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\n" + doubled(60, b"\x86")[2:] + b"tQ.",
    "modules in modules, each twice": b"}" + MODULES + b".",
    "copies of a long list": LONG_LIST + b"ctorch\nSize\nq\x01" + b"h\x01h\x00\x85R0" * 3000 + b".",
    "attributes over and over": b"cmodels\nNet\n)\x81}(" + b"".join(
        b"X\x03\x00\x00\x00%03dN" % k for k in range(999)) + b"uq\x00b" + b"h\x00b" * 3000 + b".",
    "a restored state that is a call": b"cmodels\nNet\n)\x81}X\x0c\x00\x00\x00__setstate__"
        b"ccollections\nOrderedDict\nsb](" + doubled(60, b"\x86")[2:] + b"N\x86eb.",
    "an array of gigabytes": b"\x96" + (2**34).to_bytes(8, "little") + b".",
    "numbers that collide": b"}(" + b"".join(
        b"\x8a\x0a" + (k * (2**61 - 1)).to_bytes(10, "little") + b"N" for k in range(1, 20000)) + b"u.",
    "a class that is changed": b"cmodels\nNet\n(N}X\x0b\x00\x00\x00_parametersNstb.",
    "an old instruction": b"(imodels\nNet\n.",
}  # fmt: skip


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_work_is_refused_before_it_begins(tmp_path, name):
    path = archived(tmp_path, ENDLESS[name])
    with pytest.raises(InputError, match=r"net\.pth is (refused: .*none of its code was run|not a pickled network)"):
        read_pickled_module(path)
    assert not hasattr(Record, "_parameters")
    (tmp_path / "old.pth").write_bytes(ENDLESS[name])
    with pytest.raises(InputError, match=r"old\.pth is (refused|not a pickled network|a text file)"):
        read_pickled_module(tmp_path / "old.pth")


def test_a_memo_number_reserves_no_memory(tmp_path):
    path = archived(tmp_path, b"}r\xff\xff\xff\x7f.")
    with pytest.raises(InputError, match="holds no weights of a network"):
        read_pickled_module(path)


@pytest.mark.parametrize("form", [(10**12, 0), (2**40, 0), (4, 1, 1, 1, 1, 1, 1, 1, 1)])
def test_a_tensor_shows_no_value_twice(tmp_path, form):
    """Strides of 0 would make a petabyte out of four values."""
    size = form[:1] if form[-1] == 0 else form
    tensor = torch.zeros(4).as_strided(size, (form[-1],) * len(size))
    torch.save({"a": tensor}, tmp_path / "wide.pth")
    with pytest.raises(InputError, match=r"exceeds its values|an impossible shape"):
        read_pickled_module(tmp_path / "wide.pth")


def test_packed_archives_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"}.")
        archive.writestr("archive/data/0", bytes(10**7))
    assert (tmp_path / "bomb.pth").stat().st_size < 20_000
    with pytest.raises(InputError, match="it is compressed or its parts overlap"):
        read_pickled_module(tmp_path / "bomb.pth")


def test_tensors_stay_inside_their_values(tmp_path):
    torch.save({"a": torch.ones(4)}, tmp_path / "good.pth")
    with zipfile.ZipFile(tmp_path / "good.pth") as good, zipfile.ZipFile(tmp_path / "bad.pth", "w") as bad:
        for name in good.namelist():
            content = good.read(name)
            bad.writestr(name, content[:8] if name.endswith("data/0") else content)
    with pytest.raises(InputError, match="a tensor exceeds its values"):
        read_pickled_module(tmp_path / "bad.pth")


def test_broken_files_are_one_line(tmp_path):
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"a": torch.ones(400)}, tmp_path / "whole.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:300])
    torch.save([1, 2], tmp_path / "list.pth")
    for name, complaint in {
        "text": "is a text file .no weights., not a",
        "cut": "not a pickled network|refused",
        "list": "holds no weights of a network",
        "none": "there is no such file",
    }.items():
        with pytest.raises(InputError, match=complaint):
            read_pickled_module(tmp_path / f"{name}.pth")
