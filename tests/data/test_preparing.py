"""Preparing folders: what becomes of each image, what a second run leaves alone, what a kill leaves behind."""

import csv
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from tests.waiting import DEADLINE, group_is_alive, started, until

from simswap.data import aligning
from simswap.data.aligning import CropSettings
from simswap.data.landmarks import LandmarkTable
from simswap.data.manifest import Manifest
from simswap.data.preparing import prepare_folder
from simswap.data.sources import crop_names, find_person_folders
from simswap.errors import InputError
from simswap.faces.alignment import template_points
from simswap.faces.detection import Face

CROPS = CropSettings(template="arcface", size=32, image_format="png", quality=95, min_side=0)
HEADER = "NAME_ID,P1X,P1Y,P2X,P2Y,P3X,P3Y,P4X,P4Y,P5X,P5Y\n"
POINTS = template_points("arcface", 112) * 0.5 + 4  # the crop at 112 is the photo, shifted by 4 px, twice as large


def _photo(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (64, 72, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 3)


def _save(file: Path, seed: int = 0, **options) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(_photo(seed)).save(file, **options)


def _table(file: Path, names: list[str], extra: str = "") -> LandmarkTable:
    line = ",".join(f"{value:.3f}" for value in POINTS.reshape(-1))
    file.write_text(HEADER + "".join(f"{name},{line}\n" for name in names) + extra, encoding="utf-8")
    return LandmarkTable([file])


def _rows(out: Path) -> dict[str, dict[str, str]]:
    with open(out / "manifest.csv", encoding="utf-8", newline="") as stream:
        return {row["source"]: row for row in csv.DictReader(stream)}


def _prepare(tmp_path: Path, table: LandmarkTable | None, crops=CROPS, detector=None, workers=0, record=None):
    return prepare_folder(
        tmp_path / "raw",
        tmp_path / "out",
        crops,
        record or {"template": crops.template, "size": crops.size},
        table,
        detector,
        workers,
    )


def _state(out: Path) -> dict[str, tuple[int, bytes]]:
    files = [file for file in out.rglob("*") if file.is_file()]
    return {str(file.relative_to(out)): (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


class OneFace:
    """A detector that finds the same two faces in every image, and none in images that are mostly white."""

    def detect(self, image):
        if image.mean() > 250:
            return []
        small = Face(np.array([0.0, 0, 5, 5]), POINTS + 100, 0.99)
        return [small, Face(np.array([10.0, 10, 60, 60]), POINTS, 0.8765)]


def test_crops_and_rows_of_a_plain_folder(tmp_path):
    raw = tmp_path / "raw"
    _save(raw / "train" / "a b" / "1.png", 1)
    _save(raw / "train" / "a" / "2.PNG", 2)
    _save(raw / "test" / "Zoë 微笑" / "3.bmp", 3)
    (raw / "train" / "a" / "notes.txt").write_text("no image")
    summary = _prepare(tmp_path, _table(tmp_path / "l.csv", ["a b/1", "a/2", "Zoë 微笑/3"]))
    assert (summary.images, summary.aligned, summary.persons, summary.unused_landmark_rows) == (3, 3, 3, 0)
    rows = _rows(tmp_path / "out")
    assert list(rows) == sorted(rows) == ["test/Zoë 微笑/3.bmp", "train/a b/1.png", "train/a/2.PNG"]
    row = rows["train/a b/1.png"]
    assert (row["path"], row["person"], row["status"], row["view"]) == ("crops/a b/1.png", "a b", "ok", "0")
    assert float(row["x3"]) == pytest.approx(POINTS[2, 0], abs=1e-3)
    manifest = Manifest.open(tmp_path / "out")
    assert [manifest.name(row) for row in range(3)] == ["Zoë 微笑/3", "a b/1", "a/2"]
    # crop pixel c shows photo pixel (c * 112/32) * 0.5 + 4: at (8, 8) that is (18, 18)
    crop = cv2.imdecode(np.frombuffer(manifest.path(1).read_bytes(), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert crop.shape == (32, 32, 3)
    assert np.abs(crop[8, 8].astype(float) - _photo(1)[17:20, 17:20].mean((0, 1))).max() < 6


def test_every_reason_is_listed(tmp_path):
    raw = tmp_path / "raw"
    for stem in ("good", "nan", "far", "flat", "missing"):
        _save(raw / "p" / f"{stem}.png")
    _save(raw / "p" / "cut.jpg")
    (raw / "p" / "cut.jpg").write_bytes((raw / "p" / "cut.jpg").read_bytes()[:-200])
    (raw / "p" / "text.jpg").write_text("hello")
    Image.new("RGB", (1, 1)).save(raw / "p" / "dot.png")
    _save(raw / "loose.png")
    extra = "p/nan,nan,1,2,3,4,5,6,7,8,9\n" + f"p/far{',900' * 10}\n" + f"p/flat{',20' * 10}\n" + f"q/gone{',1' * 10}\n"
    table = _table(tmp_path / "l.csv", ["p/good", "p/cut", "p/text", "p/dot", "r/gone"], extra)
    summary = _prepare(tmp_path, table)
    rows = _rows(tmp_path / "out")
    assert {Path(name).stem: row["status"] for name, row in rows.items()} == {
        "good": "ok",
        "nan": "bad_landmarks",
        "far": "bad_landmarks",
        "flat": "bad_landmarks",
        "missing": "no_landmarks",
        "cut": "unreadable",
        "text": "unreadable",
        "dot": "too_small",
        "loose": "no_person",
    }
    assert all(row["detail"] and not row["path"] for row in rows.values() if row["status"] != "ok")
    assert "truncated" in rows["p/cut.jpg"]["detail"]
    assert "coincide" in rows["p/flat.png"]["detail"]
    assert summary.unused_landmark_rows == 2
    counts = json.loads((tmp_path / "out" / "prepare.json").read_text())["counts"]
    assert counts["images"] == 9
    assert counts["bad_landmarks"] == 3


def test_detector_takes_the_main_face_and_lists_the_faceless(tmp_path):
    _save(tmp_path / "raw" / "p" / "1.png")
    Image.new("RGB", (64, 64), "white").save(tmp_path / "raw" / "p" / "2.png")
    _prepare(tmp_path, None, detector=OneFace())
    rows = _rows(tmp_path / "out")
    assert (rows["p/1.png"]["status"], rows["p/1.png"]["score"]) == ("ok", "0.8765")
    assert float(rows["p/1.png"]["x1"]) == pytest.approx(POINTS[0, 0], abs=1e-3)
    assert rows["p/2.png"]["status"] == "no_face"


def test_papers_filter(tmp_path):
    _save(tmp_path / "raw" / "p" / "1.png")  # 72 x 64
    Image.fromarray(_photo(0)).resize((100, 65)).save(tmp_path / "raw" / "p" / "2.png")
    crops = CropSettings("arcface", 32, "jpg", 90, min_side=65)
    _prepare(tmp_path, _table(tmp_path / "l.csv", ["p/1", "p/2"]), crops)
    rows = _rows(tmp_path / "out")
    assert (rows["p/1.png"]["status"], rows["p/1.png"]["detail"]) == ("too_small", "72 x 64")
    assert rows["p/2.png"]["path"] == "crops/p/2.jpg"


def test_same_stems_and_same_persons_do_not_collide(tmp_path):
    for name in ("train/p/1.jpg", "train/p/1.png", "train/p/1.PNG", "test/p/1.jpg", "train/q/1.jpg"):
        _save(tmp_path / "raw" / name, len(name))
    table = _table(tmp_path / "l.csv", ["train/p/1", "test/p/1", "q/1"])
    assert _prepare(tmp_path, table).aligned == 5
    paths = {source: row["path"] for source, row in _rows(tmp_path / "out").items()}
    assert paths == {
        "test/p/1.jpg": "crops/test/p/1.png",
        "train/p/1.PNG": "crops/train/p/1.png",
        "train/p/1.jpg": "crops/train/p/1.jpg.png",
        "train/p/1.png": "crops/train/p/1.png.png",
        "train/q/1.jpg": "crops/q/1.png",
    }
    assert Manifest.open(tmp_path / "out").person_names == ["p", "q"]
    assert crop_names(["a.jpg", "a.png", "A.bmp"], {"a.png": "a.png"}, ".png") == {
        "a.png": "a.png",
        "a.jpg": "a.jpg.png",
        "A.bmp": "A.bmp.png",
    }


def test_names_that_fit_no_line_are_listed(tmp_path):
    _save(tmp_path / "raw" / "p" / "1.png")
    _save(tmp_path / "raw" / "p" / "x\ny.png")
    shutil.copy(tmp_path / "raw" / "p" / "1.png", os.fsencode(tmp_path / "raw" / "p") + b"/\xff.png")
    for _ in range(2):
        summary = _prepare(tmp_path, _table(tmp_path / "l.csv", ["p/1"]))
        assert summary.counts == {"ok": 1, "bad_name": 2}
    assert {row["source"] for row in _rows(tmp_path / "out").values()} == {
        "p/1.png",
        r"p/x\ny.png",
        r"p/\udcff.png",
    }


def test_a_second_run_changes_nothing_and_does_only_what_is_new(tmp_path):
    _save(tmp_path / "raw" / "p" / "1.png", 1)
    (tmp_path / "raw" / "p" / "2.jpg").write_text("text")
    names = ["p/1", "p/2", "p/1b", "a/1"]
    _prepare(tmp_path, _table(tmp_path / "l.csv", names))
    before = _state(tmp_path / "out")
    summary = _prepare(tmp_path, _table(tmp_path / "l.csv", names))
    assert (summary.new, summary.images) == (0, 2)
    assert _state(tmp_path / "out") == before

    _save(tmp_path / "raw" / "p" / "1.bmp", 2)  # sorts before 1.png, whose crop's name it must not take
    _save(tmp_path / "raw" / "a" / "1.png", 3)
    summary = _prepare(tmp_path, _table(tmp_path / "l.csv", names))
    assert (summary.new, summary.images, summary.aligned) == (2, 4, 3)
    after = _state(tmp_path / "out")
    assert after["crops/p/1.png"] == before["crops/p/1.png"]
    assert list(_rows(tmp_path / "out")) == ["a/1.png", "p/1.bmp", "p/1.png", "p/2.jpg"]
    assert not [name for name in after if "partial" in name]


def test_other_settings_are_refused_by_name(tmp_path):
    _save(tmp_path / "raw" / "p" / "1.png")
    table = _table(tmp_path / "l.csv", ["p/1"])
    _prepare(tmp_path, table, record={"size": 32, "template": "arcface"})
    with pytest.raises(InputError, match=r"size \(was 32, now 64\); use the same") as error:
        _prepare(tmp_path, table, record={"size": 64, "template": "arcface"})
    assert "template" not in str(error.value)


def test_a_torn_journal_line_is_done_again(tmp_path):
    """As a kill in the middle of a line leaves it: the manifest comes out as if nothing had happened."""
    for number in range(4):
        _save(tmp_path / "raw" / "p" / f"{number}.png", number)
    table = _table(tmp_path / "l.csv", [f"p/{number}" for number in range(4)])
    _prepare(tmp_path, table)
    whole = (tmp_path / "out" / "manifest.csv").read_bytes()
    journal = aligning.journal_path(tmp_path / "out", "p")
    journal.write_bytes(journal.read_bytes()[:-150])
    (tmp_path / "out" / "manifest.csv").unlink()
    assert _prepare(tmp_path, table).new == 2
    assert (tmp_path / "out" / "manifest.csv").read_bytes() == whole


def test_full_disk_gives_one_line_and_leaves_no_half_crop(tmp_path, monkeypatch):
    for number in range(3):
        _save(tmp_path / "raw" / "p" / f"{number}.png", number)
    table = _table(tmp_path / "l.csv", [f"p/{number}" for number in range(3)])
    write, calls = Path.write_bytes, []

    def fills_up(self, data):
        calls.append(self)
        if len(calls) == 3:  # settings, first crop, second crop
            write(self, data[:50])
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", fills_up)
    with pytest.raises(InputError, match=r"no space is left on the disk .*; what is done is kept"):
        _prepare(tmp_path, table)
    monkeypatch.undo()
    assert [file.name for file in (tmp_path / "out" / "crops").rglob("*.png")] == ["0.png"]
    with pytest.raises(InputError, match="not finished"):
        Manifest.open(tmp_path / "out")
    assert _prepare(tmp_path, table).new == 2


def test_folders_that_cannot_be_prepared(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InputError, match="no folder"):
        find_person_folders(tmp_path / "none", out)
    raw = tmp_path / "raw"
    (raw / "empty").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no image"):
        find_person_folders(raw, out)
    _save(raw / "1.jpg")
    _save(raw / "2.jpg")
    with pytest.raises(InputError, match="2 loose images and no person's folder"):
        find_person_folders(raw, out)
    _save(raw / "p" / "1.jpg")
    (raw / "p" / "1.jpg").write_text("no image")
    (tmp_path / "file").write_text("")
    table = _table(tmp_path / "l.csv", ["p/1"])
    with pytest.raises(InputError, match="Not a directory"):
        prepare_folder(raw, tmp_path / "file" / "out", CROPS, {}, table, None, 0)
    with pytest.raises(InputError, match="none of 3 images"):
        _prepare(tmp_path, table)


def test_linked_folders_are_followed_and_links_make_no_loop(tmp_path):
    raw = tmp_path / "raw"
    _save(raw / "p" / "1.png")
    _save(tmp_path / "elsewhere" / "1.png")
    (raw / "linked").symlink_to(tmp_path / "elsewhere")
    (raw / "p" / "loop").symlink_to(raw)
    (raw / "crops").symlink_to(tmp_path / "out" / "crops")  # what was prepared is no photo
    table = _table(tmp_path / "l.csv", ["p/1", "linked/1"])
    for _ in range(2):
        summary = _prepare(tmp_path, table)
        assert (summary.images, summary.aligned) == (2, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("NAME_ID,X1\na/1,2\n", "has the columns NAME_ID, X1; a landmark table has NAME_ID, P1X"),
        (HEADER + "a/1,left,1,1,1,1,1,1,1,1,1\n", "not the table"),
        (HEADER + "a/1,1\n", "not the table"),
        ("", "is an empty file, not a table"),
    ],
)
def test_bad_landmark_tables_name_the_file(tmp_path, text, message):
    file = tmp_path / "marks.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        LandmarkTable([file])
    assert "marks.csv" in str(error.value)
    assert "\n" not in str(error.value)


def test_landmarks_are_found_by_person(tmp_path):
    for name, rows in (("a.csv", ["b/2", "a b/1", "b/1"]), ("b.csv", ["b-c/1", "ä/1", "b0/9"])):
        _table(tmp_path / name, rows, "b/1" + ",7" * 10 + "\n" if name == "a.csv" else "")
    table = LandmarkTable([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert len(table) == 7
    persons = {person: sorted(table.of_person(person)) for person in ("b", "a b", "ä", "b0", "b-c", "a", "c")}
    assert persons == {"b": ["1", "2"], "a b": ["1"], "ä": ["1"], "b0": ["9"], "b-c": ["1"], "a": [], "c": []}


def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    """Peak of Python's memory with 200, 1,400 and 2,600 images, in folders of 40."""
    _save(tmp_path / "one.png")
    peaks = []
    for count in (200, 1400, 2600):
        base = tmp_path / str(count)
        for number in range(count):
            file = base / "raw" / f"p{number // 40}" / f"{number % 40}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            os.link(tmp_path / "one.png", file)
        tracemalloc.start()
        assert _prepare(base, None, detector=OneFace()).aligned == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # A manifest row takes about 200 bytes; a person's folder is all that is remembered of its 40 images.
    # The smaller step counts: where the interpreter's own table of names happens to double, one step shows 8 MB.
    assert min(peaks[1] - peaks[0], peaks[2] - peaks[1]) / 1200 < 60


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
    _save(tmp_path / "raw" / "p0" / "0.png")
    for name in names[1:]:
        (tmp_path / "raw" / name).parent.mkdir(exist_ok=True)
        os.link(tmp_path / "raw" / "p0" / "0.png", tmp_path / "raw" / f"{name}.png")
    table = _table(tmp_path / "l.csv", names)
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
    assert len(_rows(tmp_path / "out")) == len(names)
