"""``simswap-swap`` with videos through its command line: folders of frames with a table of landmarks, and bad input."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from simswap.video.joining import read_metadata
from simswap.video.reader import Frame, read_video
from simswap.video.writer import VideoWriter
from tests.inference.clips import info
from tests.test_swap import checkpoint, faces, folder, photo, swap

__all__ = ["checkpoint", "faces", "folder", "swap"]  # fixtures


@pytest.fixture
def video(tmp_path):
    """A video of three gray frames."""
    path = tmp_path / "gray.mp4"
    with VideoWriter(path, info(64, 48)) as writer:
        for number in range(3):
            writer.write(Frame(number, Fraction(number, 10), np.full((48, 64, 3), 90, np.uint8)))
    return path


def test_frames_become_a_video_and_pictures_and_both_are_done_once(swap, faces, tmp_path, folder):
    out, pictures = tmp_path / "b.mkv", tmp_path / "out"
    job = [f"source={photo(faces, 0, 0)}", f"target={folder}", "mark=false"]
    code, said, errors = swap(*job, f"out={out}", "video.codec=ffv1", "video.rate=5")
    assert (code, errors) == (0, "")
    assert f"{out}: faces swapped on 2 of 2 frames" in said
    assert "swapped 1 of 1 video" in said
    shown = list(read_video(out))
    assert [float(frame.time) for frame in shown] == [0, 0.2]
    assert read_metadata(out)["job"].startswith("sha256:")
    for frame, name in zip(shown, sorted(path.name for path in folder.iterdir()), strict=True):
        with Image.open(folder / name) as image:
            moved = np.abs(np.asarray(image.convert("RGB")).astype(int) - frame.pixels).max(-1)
        assert 0.02 < (moved > 20).mean() < 0.6
    code, said, _ = swap(*job, f"out={out}", "video.codec=ffv1", "video.rate=5")
    assert (code, "1 video is done already" in said) == (0, True)
    code, _, errors = swap(*job, f"out={out}", "video.codec=ffv1", "video.rate=6")
    assert code == 2
    assert "already exists and was not made by this command" in errors
    code, said, errors = swap(*job, f"out={pictures}", "video.frames=true")
    assert (code, errors) == (0, "")
    assert sorted(path.name for path in pictures.iterdir()) == ["0000_01.png", "0001_01.png"]


def test_a_folder_may_hold_photos_and_videos(swap, faces, tmp_path, folder, video):
    video.rename(folder / video.name)
    code, said, errors = swap(f"source={photo(faces, 0, 0)}", f"target={folder}", f"out={tmp_path / 'out'}")
    assert code == 0, errors
    assert "swapped 2 of 2 photos and 1 video:" in said
    assert "gray.mp4: a table of landmarks names pictures" in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0000_01.png", "0001_01.png"]


@pytest.mark.parametrize(
    ("kind", "arguments", "words"),
    [
        ("video", [], "a table of landmarks names pictures, and this is a video file; choose a detector"),
        ("text", [], "cannot be opened as a video"),
        ("sound", [], "no such file"),
        ("video", ["out=c.gif"], "videos are written as .mp4"),
        ("video", ["video.codec=vp9", "out=c.mov"], "vp9 is written as"),
        ("video", ["video.start=3", "video.end=2"], "video.end=2 must be after video.start=3"),
        ("video", ["video.every=0"], "video.every is 0: it takes a whole number"),
        ("video", ["video.codec=mpeg"], "codec=mpeg"),
        ("video", ["faces=two"], "choose largest or all"),
        ("empty", [], "holds no pictures"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(swap, faces, tmp_path, monkeypatch, video, kind, arguments, words):
    monkeypatch.chdir(tmp_path)
    target = {"video": video, "text": tmp_path / "text.mp4", "sound": tmp_path / "none.mp4", "empty": tmp_path / "e"}
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "e").mkdir()
    before = sorted(tmp_path.rglob("*"))
    code, _, errors = swap(f"source={photo(faces, 0, 0)}", f"target={target[kind]}", "out=c.mp4", *arguments)
    assert code == 2
    assert words in errors
    assert errors.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
