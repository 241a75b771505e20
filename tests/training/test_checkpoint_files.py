import os
import threading

import pytest
import torch

from simswap.errors import InputError
from simswap.launching import stops
from simswap.training import checkpoint_files
from simswap.training.checkpoint_files import CheckpointWriter


@pytest.fixture
def gate(monkeypatch):
    """No file is written before this event is set."""
    gate, write = threading.Event(), checkpoint_files.write_checkpoint

    def wait_and_write(content, path):
        assert gate.wait(60)
        write(content, path)

    monkeypatch.setattr(checkpoint_files, "write_checkpoint", wait_and_write)
    yield gate
    gate.set()


def test_training_goes_on_while_a_file_of_that_moment_is_written(tmp_path, gate):
    weight, said = torch.zeros(3), []
    with CheckpointWriter(tmp_path) as writer:
        writer.write("a.ckpt", {"weight": weight}, lambda: said.append(sorted(os.listdir(tmp_path / "checkpoints"))))
        weight += 1
        assert not (tmp_path / "checkpoints").exists()
        assert stops._state.saving == 1
        gate.set()
    assert torch.load(tmp_path / "checkpoints" / "a.ckpt", weights_only=True)["weight"].tolist() == [0, 0, 0]
    assert said == [["a.ckpt"]]
    assert stops._state.saving == 0


def test_one_file_is_written_at_a_time_and_in_order(tmp_path, gate):
    order, writer = [], CheckpointWriter(tmp_path)
    writer.write("a.ckpt", {"n": torch.tensor(1)}, lambda: order.append("a"))
    threading.Timer(0.1, gate.set).start()
    writer.write("a.ckpt", {"n": torch.tensor(2)}, lambda: order.append("b"))
    assert order[0] == "a"  # the second call waited for the first file
    writer.wait()
    assert order == ["a", "b"]
    assert int(torch.load(tmp_path / "checkpoints" / "a.ckpt", weights_only=True)["n"]) == 2
    assert [thread.name for thread in threading.enumerate() if thread.name == "checkpoint writer"] == []


@pytest.mark.parametrize("kept", [True, False])
def test_an_error_is_raised_once_at_the_next_file_with_the_checkpoint_to_resume_from(tmp_path, kept):
    (tmp_path / "checkpoints").mkdir()
    if kept:
        (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"")
    (tmp_path / "checkpoints" / "a.ckpt").mkdir()  # a folder cannot be replaced by a file
    (tmp_path / "checkpoints" / "a.ckpt" / "in the way").touch()
    writer = CheckpointWriter(tmp_path)
    writer.write("a.ckpt", {})
    how = "last.ckpt is complete: resume from it with simswap-train resume=" if kept else "there is no checkpoint yet"
    with pytest.raises(InputError, match=f"a.ckpt cannot be written .*; .*{how}"):
        writer.write("b.ckpt", {})
    writer.wait()
    assert not (tmp_path / "checkpoints" / "b.ckpt").exists()


def test_an_error_of_the_last_file_is_raised_at_the_end(tmp_path):
    def fail():
        raise OSError("no such luck")

    with pytest.raises(OSError, match="no such luck"), CheckpointWriter(tmp_path) as writer:
        writer.write("a.ckpt", {}, fail)


def test_what_ended_a_run_comes_before_an_error_of_its_file(tmp_path):
    def fail():
        raise OSError("no such luck")

    def run():
        with CheckpointWriter(tmp_path) as writer:
            writer.write("a.ckpt", {}, fail)
            raise KeyError

    with pytest.raises(KeyError):
        run()


def test_the_process_does_not_fork_while_a_file_is_written(tmp_path, gate):
    writer = CheckpointWriter(tmp_path)
    writer.write("a.ckpt", {})
    threading.Timer(0.1, gate.set).start()
    child = os.fork()
    if child == 0:
        os._exit(0 if (tmp_path / "checkpoints" / "a.ckpt").is_file() else 1)
    writing = writer.is_writing()
    writer.wait()
    # Other threads may run: those of libraries that other tests have loaded.
    assert os.waitpid(child, 0)[1] == 0
    assert not writing
