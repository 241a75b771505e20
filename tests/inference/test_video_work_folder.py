"""Where a video's unfinished result lies, and which targets can be named by their content."""

import os
from pathlib import Path

import pytest

from simswap.errors import InputError
from simswap.inference.folder_job import job_digest
from simswap.inference.video import segments
from simswap.inference.video import work_folder as work_folder_module
from simswap.inference.video.settings import VideoSettings
from simswap.inference.video.work_folder import part_file, work_folder
from simswap.inference.video_job import swap_video
from tests.inference.clips import swapper_for, write_clip, write_photo_of


def test_names_beside_the_result_fit_on_every_disk_and_differ_as_results_do():
    assert work_folder(Path("a/b.mp4")) == Path("a/.b.mp4.swap")
    assert part_file(Path("a/b.mp4")) == Path("a/b.part.mp4")
    long = [Path("a") / f"{'ä' * 120}{end}.mp4" for end in ("1", "2")]  # 245 bytes
    for made in (work_folder, part_file):
        names = [made(out).name for out in long]
        assert all(len(os.fsencode(name)) <= 255 for name in names)
        assert names[0] != names[1]


def test_a_full_disk_leaves_nothing_or_what_the_next_start_needs(tmp_path, monkeypatch):
    def full(*given, **more):
        raise InputError("the disk is full")

    clip = write_clip(tmp_path / "clip.mkv", 6)
    source, out = write_photo_of("eve", tmp_path / "eve.png", clip.detector), tmp_path / "outs" / "b.mkv"
    job = (swapper_for(clip.detector), source, clip.path, out, VideoSettings(codec="ffv1"))
    for place, name, left in ((work_folder_module, "atomic_write", 0), (segments, "VideoWriter", 1)):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, full)
            with pytest.raises(InputError, match="the disk is full"):
                swap_video(*job)
        assert len(list(out.parent.iterdir())) == left
    asked = clip.detector.asked
    assert swap_video(*job).finished
    assert clip.detector.asked == asked + 1  # for the source alone: the faces of the video are known
    assert [path.name for path in out.parent.iterdir()] == ["b.mkv"]


def test_a_target_without_an_end_is_one_line(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    for name in ("pipe.mp4", "none.mp4"):
        with pytest.raises(InputError, match=f"{name}: no such file"):
            job_digest({}, tmp_path / name)
    (tmp_path / "a.mp4").write_bytes(b"a")
    assert job_digest({}, tmp_path / "a.mp4").startswith("sha256:")
