"""Files of torch.save: legal forms are read as torch reads them; hostile ones are refused before torch sees them."""

import collections
import io
import pickle
import tarfile
import time
import warnings
import zipfile

import pytest
import torch
from tests.hostile_files import HOSTILE, archive
from torch import nn

from simswap.models.torch_files import load_data, look_through

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int16,
          torch.int8, torch.uint8, torch.bool, torch.complex64, torch.uint16, torch.float8_e4m3fn]  # fmt: skip


def trained():
    """Network, optimizer and schedule after two steps, as a training checkpoint keeps them."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2))
    optimizer = torch.optim.Adam(network.parameters(), betas=(0.5, 0.9), amsgrad=True)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 5])
    for _ in range(2):
        network(torch.rand(2, 3, 8, 8)).sum().backward()
        optimizer.step()
        schedule.step()
    return network, optimizer, schedule


def legal():
    network, optimizer, schedule = trained()
    whole = torch.arange(24.0).view(4, 6)
    marked = torch.ones(3)
    marked.note = "kept"
    return {
        "state_dict": network.state_dict(),
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [schedule.state_dict()],
        "parameter": nn.Parameter(whole),
        "marked": marked,
        "all kinds": [torch.zeros(2, 2).to(dtype) for dtype in DTYPES[:11]],
        "views": [whole.T, whole[1:3, ::2], whole[0], torch.tensor(3), torch.zeros(0, 4), torch.ones(1).expand(300)],
        "plain": [None, True, 1, 2**70, -1.5, "ü", (1, (2,)), {1, 2}, {"a": {0: [torch.Size([2]), 1 + 2j]}}, b"\xff"],
        "dtype": torch.float16,
        "device": torch.device("cpu"),
        "counted": collections.Counter("abca"),
        "rng": torch.get_rng_state(),
        "pytorch-lightning_version": "2.6.6",
    }


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    else:
        assert a == b


@pytest.mark.parametrize("legacy", [False, True])
def test_what_trainings_keep_is_read(tmp_path, legacy):
    content = legal()
    torch.save(content, tmp_path / "a.ckpt", _use_new_zipfile_serialization=not legacy)
    assert_same(load_data(tmp_path / "a.ckpt"), content)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_each_kind_of_values_is_read(tmp_path, dtype):
    torch.save({"a": torch.ones(3).to(dtype)}, tmp_path / "a.pth")
    read = load_data(tmp_path / "a.pth")["a"]
    assert read.dtype == dtype
    assert torch.equal(read.to(torch.complex64), torch.ones(3, dtype=torch.complex64))


@pytest.mark.parametrize("name", HOSTILE)
def test_endless_work_is_refused_before_torch_reads_it(tmp_path, name):
    (tmp_path / "a.ckpt").write_bytes(HOSTILE[name])
    with pytest.raises(pickle.UnpicklingError) as refused:
        look_through(tmp_path / "a.ckpt")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


def test_what_is_broken_is_refused(tmp_path):
    torch.save({"a": torch.ones(400)}, tmp_path / "whole.pth", _use_new_zipfile_serialization=False)
    torch.save({"a": torch.ones(400)}, tmp_path / "new.pth")
    old, new = (tmp_path / "whole.pth").read_bytes(), (tmp_path / "new.pth").read_bytes()
    with tarfile.open(tmp_path / "tar.pth", "w") as tar:
        tar.add(tmp_path / "new.pth", "pickle")
    broken = [b"", b"text", old[:300], new[:300], old[:-200], (tmp_path / "tar.pth").read_bytes(), b"PK\x03\x04"]
    for content in broken:
        (tmp_path / "broken.pth").write_bytes(content)
        reasons = r"cut off|values (are|of .* are) missing|tar archive|torch's format|asks for"
        with pytest.raises(pickle.UnpicklingError, match=reasons):
            look_through(tmp_path / "broken.pth")


def test_both_readers_must_see_the_same_program(tmp_path):
    """Python's reader of zip files takes the last of two equal names, torch's the first, and ignores case."""
    for twin in ("archive/data.pkl", "archive/DATA.pkl"):
        content = io.BytesIO(archive(b"}.", folder="archive"))
        with warnings.catch_warnings(), zipfile.ZipFile(content, "a") as file:
            warnings.simplefilter("ignore")  # Python's, of the second name
            file.writestr(twin, b"N.")
        (tmp_path / "a.ckpt").write_bytes(content.getvalue())
        with pytest.raises(pickle.UnpicklingError, match="its parts are not those"):
            look_through(tmp_path / "a.ckpt")


def test_the_look_takes_a_small_part_of_the_reading(tmp_path):
    """Only the pickle is read, not the values: a part of the file that does not grow with them."""
    content = {f"layer.{k}.{part}": torch.ones(100, 100) for k in range(1500) for part in ("weight", "bias")}
    torch.save(content, tmp_path / "big.pth")

    def best(work):
        times = []
        for _ in range(3):
            begun = time.process_time()
            work(tmp_path / "big.pth")
            times.append(time.process_time() - begun)
        return min(times)

    assert best(look_through) < 3 * best(lambda path: torch.load(path, weights_only=True)) + 1
