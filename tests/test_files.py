"""Files are whole or not there; a folder is held by one process at a time."""

import errno
import json
import os
import subprocess
import sys
import time

import pytest

from simswap.errors import InputError
from simswap.files import atomic_write
from simswap.launching import claims, ranks
from simswap.launching.claims import claimed


def test_the_name_appears_when_the_file_is_whole(tmp_path):
    path = tmp_path / "new folder" / "a.txt"
    with atomic_write(path) as part:
        part.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.txt"]


def test_ctrl_c_leaves_the_former_file_and_no_part(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")

    def interrupted() -> None:
        with atomic_write(path) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_path_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written") as caught, atomic_write(tmp_path / "file" / "a.txt"):
        pass
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_one_clear_line(tmp_path):
    def fill() -> None:
        with atomic_write(tmp_path / "a.txt"), open("/dev/full", "w") as full:
            full.write("x" * 100_000)

    with pytest.raises(InputError, match="No space left"):
        fill()
    assert not list(tmp_path.iterdir())


HOLDER = """
import os, sys, time
from pathlib import Path
from simswap.launching.claims import claimed
with claimed(Path(sys.argv[1]), "training"):
    child = os.fork() if sys.argv[2:] == ["fork"] else 1
    if child == 0:
        time.sleep(600)
    Path(sys.argv[1], "held").write_text(str(child))
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """``holder("fork", **environment)``: a process that claims tmp_path; it is killed at the end."""
    started: list[subprocess.Popen] = []

    def start(*arguments: str, **environment: str) -> subprocess.Popen:
        command = [sys.executable, "-c", HOLDER, str(tmp_path), *arguments]
        started.append(subprocess.Popen(command, env=os.environ | environment))
        deadline = time.monotonic() + 120
        while not (tmp_path / "held").is_file() or not (tmp_path / "held").read_text():
            assert started[-1].poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_folder_is_one_process_alone_and_free_when_that_was_killed(tmp_path, holder, monkeypatch):
    process = holder()
    monkeypatch.setattr(claims, "HELD_AGAIN_SECONDS", 0.2)
    with (
        pytest.raises(InputError, match=rf"is in use: training by process {process.pid} on .+ since 20") as refused,
        claimed(tmp_path, "training"),
    ):
        pass
    assert "\n" not in str(refused.value)
    with claimed(tmp_path, "evaluation"):  # other work goes on beside it
        pass
    process.kill()
    process.wait()
    with claimed(tmp_path, "training"):
        assert json.loads((tmp_path / ".training.holder.json").read_text())["pid"] == os.getpid()
    assert not (tmp_path / ".training.holder.json").exists()


def test_a_forked_worker_does_not_hold_its_killed_parents_folder(tmp_path, holder):
    process = holder("fork")
    worker = int((tmp_path / "held").read_text())
    try:
        process.kill()
        process.wait()
        with claimed(tmp_path, "training"):
            os.kill(worker, 0)  # it lives
    finally:
        os.kill(worker, 9)


def test_ranks_that_outlive_their_parent_hold_the_folder(tmp_path, holder, monkeypatch):
    monkeypatch.setattr(claims, "HELD_AGAIN_SECONDS", 0.2)
    with claimed(tmp_path, "training"):  # the parent; its first rank comes in beside it
        holder(**{ranks.HANDOFF: str(tmp_path), "RANK": "0", "WORLD_SIZE": "2"})
    with pytest.raises(InputError, match="is in use"), claimed(tmp_path, "training"):
        pass


def test_other_ranks_claim_nothing(tmp_path, monkeypatch):
    for name, value in {ranks.HANDOFF: str(tmp_path), "RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with claimed(tmp_path / "new", "training"):
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_drive_without_locks_is_held_by_a_file(number, tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "HELD_AGAIN_SECONDS", 0.2)

    def no_locks(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", no_locks)
    with claimed(tmp_path, "training"):
        lines = (tmp_path / ".training.lock.held").read_text()
        assert str(os.getpid()) in lines  # whoever finds it of a process that is gone takes over
        with pytest.raises(InputError, match="is in use"), claimed(tmp_path, "training"):
            pass
    with claimed(tmp_path, "training"):
        pass


def test_a_claim_left_by_another_machine_is_told(tmp_path, caplog):
    holder = tmp_path / ".training.holder.json"
    holder.write_text('{"pid": 7, "host": "elsewhere", "since": "2026-11-25 12:00:00"}')
    with claimed(tmp_path, "training"):
        pass
    assert "by process 7 on elsewhere since 2026-11-25 12:00:00, which did not end normally" in caplog.text


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match=r"file/run cannot be written to \(Not a directory\)"),
        claimed(tmp_path / "file" / "run", "training"),
    ):
        pass


@pytest.mark.parametrize("name", ["a" * 251 + ".png", "é" * 125 + ".png"])
def test_the_longest_names_that_a_disk_takes_are_written(tmp_path, name):
    with atomic_write(tmp_path / name) as part:
        part.write_text("content")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "content"
