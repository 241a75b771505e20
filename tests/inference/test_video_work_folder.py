"""Where a video's unfinished result lies, and which targets can be named by their content."""

import os
from pathlib import Path

import pytest

from simswap.errors import InputError
from simswap.inference.folder_job import job_digest
from simswap.inference.video.work_folder import part_file, work_folder


def test_names_beside_the_result_fit_on_every_disk_and_differ_as_results_do():
    assert work_folder(Path("a/b.mp4")) == Path("a/.b.mp4.swap")
    assert part_file(Path("a/b.mp4")) == Path("a/b.part.mp4")
    long = [Path("a") / f"{'ä' * 120}{end}.mp4" for end in ("1", "2")]  # 245 bytes
    for made in (work_folder, part_file):
        names = [made(out).name for out in long]
        assert all(len(os.fsencode(name)) <= 255 for name in names)
        assert names[0] != names[1]


def test_a_target_without_an_end_is_one_line(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    for name in ("pipe.mp4", "none.mp4"):
        with pytest.raises(InputError, match=f"{name}: no such file"):
            job_digest({}, tmp_path / name)
    (tmp_path / "a.mp4").write_bytes(b"a")
    assert job_digest({}, tmp_path / "a.mp4").startswith("sha256:")
