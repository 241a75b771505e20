"""The page's own folder: random names, deletion by age, at the end, and after a killed process."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from simswap.app.shelf import Shelf, remove_leftovers


@pytest.fixture
def shelf():
    made = Shelf(60)
    yield made
    made.close()


def token_of(address):
    return address.split("/")[2]


def test_a_made_file_is_found_by_its_random_name(shelf):
    first, second = shelf.keep("a b.png", b"1"), shelf.keep("a b.png", b"2")
    assert first != second
    assert first.endswith("/a%20b.png")
    assert [shelf.find(token_of(each)).path.read_bytes() for each in (first, second)] == [b"1", b"2"]
    assert shelf.find(token_of(first)).name == "a b.png"
    for token in ("", "..", "../uploads", "x"):
        assert shelf.find(token) is None
    address, path = shelf.new_file("later.mp4")
    assert shelf.find(token_of(address)) is None  # not yet written
    path.write_bytes(b"3")
    assert shelf.find(token_of(address)).path == path


def test_old_files_go_and_young_ones_stay(shelf):
    old = shelf.keep("old.png", b"1")
    for name in ("a/old.png", "b/young.png"):
        (shelf.uploads / name).parent.mkdir()
        (shelf.uploads / name).write_bytes(b"12")
    past = time.time() - 100
    for path in (shelf.uploads / "a" / "old.png", shelf.uploads / "a"):
        os.utime(path, (past, past))
    assert shelf.uploaded() == (2, 4)
    shelf.tidy()
    assert shelf.uploaded() == (1, 2)
    assert shelf.find(token_of(old)) is not None
    shelf.tidy(time.time() + 61)
    assert shelf.find(token_of(old)) is None
    assert shelf.uploaded() == (0, 0)


def test_the_folder_goes_at_the_end_and_is_the_users_alone():
    shelf = Shelf(60)
    assert shelf.folder.stat().st_mode & 0o077 == 0
    shelf.close()
    assert not shelf.folder.exists()
    shelf.close()


def test_what_a_killed_process_left_is_removed():
    ended = subprocess.Popen(["true"])
    ended.wait()
    place = Path(tempfile.mkdtemp())
    try:
        kept = [place / f"simswap-app-{os.getpid()}-x", place / "simswap-app-notes", place / "other"]
        left = place / f"simswap-app-{ended.pid}-y"
        for folder in (*kept, left):
            folder.mkdir()
        link = place / f"simswap-app-{ended.pid}-z"
        link.symlink_to(kept[2], target_is_directory=True)
        remove_leftovers(place)
        assert not left.exists()
        assert all(folder.is_dir() for folder in kept)
    finally:
        link.unlink()
        for folder in kept:
            folder.rmdir()
        place.rmdir()
