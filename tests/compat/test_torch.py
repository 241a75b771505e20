"""The private interfaces of torch that `simswap.compat.torch` depends on still do what it needs.

Where a test fails after an upgrade, the library has changed: adapt the function of `simswap.compat` that it names.
"""

import threading
import zipfile
from pathlib import Path

import torch

from simswap.compat import torch as of_torch


def test_an_unlocked_save_writes_what_torch_writes(tmp_path):
    tensors = [torch.arange(50000.0), torch.ones(3, 2).t(), torch.empty(0), torch.ones(2, dtype=torch.bfloat16)]
    content = {"tensors": tensors, "same": tensors[0][1:], "text": "ä", "n": {1: (2.5, None)}}
    of_torch.save_unlocked(content, tmp_path / "a.pt")
    torch.save(content, tmp_path / "b.pt")
    changed = "compat.torch.save_unlocked: torch.serialization._save or its file format has changed"
    records = []
    for name in ("a.pt", "b.pt"):
        with zipfile.ZipFile(tmp_path / name) as file:
            assert file.testzip() is None
            records.append(
                {Path(info.filename).relative_to(Path(info.filename).parts[0]): info for info in file.filelist}
            )
    ours, theirs = records
    assert theirs.keys() - ours.keys() <= {Path(".data/serialization_id")}, changed
    for name in ours.keys() & theirs.keys():
        assert (ours[name].CRC, ours[name].file_size) == (theirs[name].CRC, theirs[name].file_size), changed
        assert len(ours[name].extra) <= 68
    for options in ({}, {"mmap": True}):
        read = torch.load(tmp_path / "a.pt", weights_only=True, **options)
        assert [torch.equal(a, b) for a, b in zip(read["tensors"], tensors, strict=True)] == [True] * 4, changed
        assert read["same"].untyped_storage().data_ptr() == read["tensors"][0].untyped_storage().data_ptr()
        assert read["tensors"][0].data_ptr() % 64 == 0
        assert (read["text"], read["n"]) == ("ä", {1: (2.5, None)})


def test_other_threads_run_while_an_unlocked_save_writes(tmp_path):
    content, waits = [torch.zeros(1 << 22) for _ in range(6)], []
    thread = threading.Thread(target=of_torch.save_unlocked, args=(content, tmp_path / "a.pt"))
    thread.start()
    waits.append(thread.is_alive())  # torch.save would have ended by now
    thread.join()
    assert waits == [True], "compat.torch.save_unlocked: torch.serialization._save holds the lock while it writes"
