"""`prepare_folder` after an interruption or a fault, and given twice: it does only what is missing."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.data.photo_folders import CROPS, landmark_table, prepare, rows_of, save_photo, state_of
from tests.waiting import DEADLINE, group_is_alive, started, until

from simswap.data import aligning
from simswap.data.manifest import Manifest
from simswap.data.preparing import prepare_folder
from simswap.errors import InputError


def test_a_second_run_changes_nothing_and_does_only_what_is_new(tmp_path):
    save_photo(tmp_path / "raw" / "p" / "1.png", 1)
    (tmp_path / "raw" / "p" / "2.jpg").write_text("text")
    names = ["p/1", "p/2", "p/1b", "a/1"]
    prepare(tmp_path, landmark_table(tmp_path / "l.csv", names))
    before = state_of(tmp_path / "out")
    summary = prepare(tmp_path, landmark_table(tmp_path / "l.csv", names))
    assert (summary.new, summary.images) == (0, 2)
    assert state_of(tmp_path / "out") == before

    save_photo(tmp_path / "raw" / "p" / "1.bmp", 2)  # sorts before 1.png, whose crop's name it must not take
    save_photo(tmp_path / "raw" / "a" / "1.png", 3)
    summary = prepare(tmp_path, landmark_table(tmp_path / "l.csv", names))
    assert (summary.new, summary.images, summary.aligned) == (2, 4, 3)
    after = state_of(tmp_path / "out")
    assert after["crops/p/1.png"] == before["crops/p/1.png"]
    assert list(rows_of(tmp_path / "out")) == ["a/1.png", "p/1.bmp", "p/1.png", "p/2.jpg"]
    assert not [name for name in after if "partial" in name]


def test_other_settings_are_refused_by_name(tmp_path):
    save_photo(tmp_path / "raw" / "p" / "1.png")
    table = landmark_table(tmp_path / "l.csv", ["p/1"])
    prepare(tmp_path, table, record={"size": 32, "template": "arcface"})
    with pytest.raises(InputError, match=r"size \(was 32, now 64\); use the same") as error:
        prepare(tmp_path, table, record={"size": 64, "template": "arcface"})
    assert "template" not in str(error.value)


def test_a_torn_journal_line_is_done_again(tmp_path):
    """As a kill in the middle of a line leaves it: the manifest comes out as if nothing had happened."""
    for number in range(4):
        save_photo(tmp_path / "raw" / "p" / f"{number}.png", number)
    table = landmark_table(tmp_path / "l.csv", [f"p/{number}" for number in range(4)])
    prepare(tmp_path, table)
    whole = (tmp_path / "out" / "manifest.csv").read_bytes()
    journal = aligning.journal_path(tmp_path / "out", "p")
    journal.write_bytes(journal.read_bytes()[:-150])
    (tmp_path / "out" / "manifest.csv").unlink()
    assert prepare(tmp_path, table).new == 2
    assert (tmp_path / "out" / "manifest.csv").read_bytes() == whole


def test_full_disk_gives_one_line_and_leaves_no_half_crop(tmp_path, monkeypatch):
    for number in range(3):
        save_photo(tmp_path / "raw" / "p" / f"{number}.png", number)
    table = landmark_table(tmp_path / "l.csv", [f"p/{number}" for number in range(3)])
    write, calls = Path.write_bytes, []

    def fills_up(self, data):
        calls.append(self)
        if len(calls) == 3:  # settings, first crop, second crop
            write(self, data[:50])
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", fills_up)
    with pytest.raises(InputError, match=r"no space is left on the disk .*; finished images are kept"):
        prepare(tmp_path, table)
    monkeypatch.undo()
    assert [file.name for file in (tmp_path / "out" / "crops").rglob("*.png")] == ["0.png"]
    with pytest.raises(InputError, match="not finished"):
        Manifest.open(tmp_path / "out")
    assert prepare(tmp_path, table).new == 2


SCRIPT = """
import sys
from pathlib import Path
from simswap.data.aligning import CropSettings
from simswap.data.landmarks import LandmarkTable
from simswap.data.preparing import prepare_folder
if __name__ == "__main__":
    base = Path(sys.argv[1])
    crops = CropSettings("arcface", 32, "png", 95, 0)
    table = LandmarkTable([base / "l.csv"])
    print("start", flush=True)
    prepare_folder(base / "raw", base / "out", crops, {"size": 32}, table, None, 2)
"""


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGINT])
def test_a_run_ended_by_a_signal_keeps_its_work_and_goes_on(tmp_path, kind):
    """With signal 9 and with Ctrl-C, with worker processes: no worker stays, nothing is lost or half-written."""
    names = [f"p{person}/{number}" for person in range(6) for number in range(500)]
    save_photo(tmp_path / "raw" / "p0" / "0.png")
    for name in names[1:]:
        (tmp_path / "raw" / name).parent.mkdir(exist_ok=True)
        os.link(tmp_path / "raw" / "p0" / "0.png", tmp_path / "raw" / f"{name}.png")
    table = landmark_table(tmp_path / "l.csv", names)
    crops = tmp_path / "out" / "crops"
    with started(
        sys.executable,
        "-c",
        SCRIPT,
        tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"TMPDIR": str(tmp_path)},  # what a killed process can not remove any more
        # a suite that a shell started in the background ignores Ctrl-C, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        until(lambda: list(crops.rglob("*.png")), "the first crop", process)
        if kind == signal.SIGKILL:
            process.kill()  # the parent alone: the workers must notice
        else:
            os.killpg(process.pid, kind)  # as a terminal sends Ctrl-C: to all of them
        complaint = process.communicate(timeout=DEADLINE)[1]
        until(lambda: not group_is_alive(process.pid), "the end of all workers")
    if kind == signal.SIGINT:
        assert complaint.count("Traceback") <= 1  # the parent's own; a front door makes one line of it
        assert complaint.rstrip().endswith("KeyboardInterrupt")

    finished = {file: file.stat().st_mtime_ns for file in crops.rglob("*.png")}
    recorded = sum(len(aligning.read_journal(file)) for file in (tmp_path / "out" / ".prepare" / "rows").glob("*.csv"))
    assert 0 < recorded < len(names)
    assert len(finished) - 2 <= recorded <= len(finished)  # a worker may have died between crop and line
    summary = prepare_folder(tmp_path / "raw", tmp_path / "out", CROPS, {"size": 32}, table, None, 0)
    assert (summary.aligned, summary.new) == (len(names), len(names) - recorded)
    changed = [file for file, mtime in finished.items() if file.stat().st_mtime_ns != mtime]
    assert len(changed) <= 2
    assert len(rows_of(tmp_path / "out")) == len(names)
