"""Folders of pictures: their order, what belongs to a system, and what is said of the rest."""

import os
from pathlib import Path

import pytest

from simswap.data.listing import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    PassedOver,
    is_image_name,
    is_system_name,
    list_images,
    natural_key,
    walk_images,
)
from simswap.video.containers import CONTAINERS


def _touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


@pytest.mark.parametrize(
    "ordered",
    [
        ["1.png", "2.png", "10.png", "100.png"],
        ["frame9.jpg", "frame10.jpg", "frame11.jpg"],
        ["a2b9", "a2b10", "a10b1"],
        ["001.png", "01.png", "1.png", "2.png"],  # equal numbers: as text, so that the order is always the same
        ["v1 frame 9", "v1 frame 10", "v2 frame 1"],
        ["7", "a", "x²", "x³"],  # raised digits are digits to Python, but no numbers
    ],
)
def test_numbers_in_names_count_as_numbers(ordered):
    shuffled = [*ordered[1::2], *ordered[::2]]
    assert sorted(shuffled, key=natural_key) == ordered


@pytest.mark.parametrize(
    "name",
    ["@eaDir", "__MACOSX", ".AppleDouble", "#snapshot", "#recycle", "$RECYCLE.BIN", "System Volume Information",
     "lost+found", ".Trashes", ".DS_Store", "Thumbs.db", "THUMBS.DB", "._photo.jpg", ".nfs00000123", ".snapshot",
     ".zfs", ".git", "@Recycle", "~snapshot", "found.000", "SYNOPHOTO_THUMB_M.jpg", ".@__thumb", "desktop.ini"],
)  # fmt: skip
def test_what_systems_leave_is_known(name):
    assert is_system_name(name)
    assert not is_image_name(f"{name}.jpg" if name.startswith(".") else name)


@pytest.mark.parametrize("name", ["@handle", "#1 fan", "lost", "snapshot", "eaDir", "MACOSX", "foundling.000"])
def test_persons_are_not_taken_for_systems(name):
    assert not is_system_name(name)


def test_system_folders_are_not_entered_and_all_is_counted(tmp_path):
    _touch(
        tmp_path,
        "p/10.jpg",
        "p/9.jpg",
        "p/@eaDir/9.jpg/SYNOPHOTO_THUMB_M.jpg",
        "__MACOSX/p/._9.jpg",
        "q/1.PNG",
        "#snapshot/daily/p/9.jpg",
        "p/._9.jpg",
        "p/IMG_1.HEIC",
        "p/IMG_2.heif",
        "q/a.avif",
        "q/b.CR2",
        "q/c.mp4",
        "q/clip.M2TS",
        "q/notes.txt",
        "q/README",
        "q/more.txt",
        "q/d.jxl",
    )
    passed = PassedOver()
    assert dict(walk_images(tmp_path, passed=passed)) == {"p": ["9.jpg", "10.jpg"], "q": ["1.PNG"]}
    assert passed.counts == {
        "system folder": 3,
        "system file": 1,
        "HEIC photo": 2,
        "AVIF photo": 1,
        "RAW photo": 1,
        "video": 2,
        "other file": 3,
        "picture of another type": 1,
    }
    lines = passed.lines()
    assert "2 HEIC photos (save as JPEG or PNG to use)" in lines
    assert "3 system folders" in lines
    assert any(line.startswith("3 other files (") and ".txt" in line and "no ending" in line for line in lines)


def test_every_video_that_is_written_is_found_again_and_is_no_image():
    assert set(CONTAINERS) < VIDEO_SUFFIXES
    assert not VIDEO_SUFFIXES & IMAGE_SUFFIXES


def test_a_root_inside_a_system_folder_is_walked(tmp_path):
    root = tmp_path / ".hidden" / "@eaDir"
    _touch(root, "p/1.jpg")
    assert dict(walk_images(root)) == {"p": ["1.jpg"]}
    assert list_images(root / "p") == ["1.jpg"]


def test_links_are_followed_once_and_the_output_is_left_out(tmp_path):
    _touch(tmp_path, "raw/p/1.jpg", "raw/out/q/2.jpg")
    os.symlink(tmp_path / "raw", tmp_path / "raw" / "p" / "loop")
    assert dict(walk_images(tmp_path / "raw", leave_out=tmp_path / "raw" / "out")) == {"p": ["1.jpg"]}
