"""Preparing folders: what becomes of each image, what a second run leaves alone, what a kill leaves behind."""

import json
import os
import shutil
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from tests.data.photo_folders import CROPS, HEADER, POINTS, OneFace, landmark_table, photo, prepare, rows_of, save_photo

from simswap.data.aligning import CropSettings
from simswap.data.landmarks import LandmarkTable
from simswap.data.manifest import Manifest
from simswap.data.preparing import prepare_folder
from simswap.data.sources import crop_names, find_person_folders
from simswap.errors import InputError


def test_crops_and_rows_of_a_plain_folder(tmp_path):
    raw = tmp_path / "raw"
    save_photo(raw / "train" / "a b" / "1.png", 1)
    save_photo(raw / "train" / "a" / "2.PNG", 2)
    save_photo(raw / "test" / "Zoë 微笑" / "3.bmp", 3)
    (raw / "train" / "a" / "notes.txt").write_text("no image")
    summary = prepare(tmp_path, landmark_table(tmp_path / "l.csv", ["a b/1", "a/2", "Zoë 微笑/3"]))
    assert (summary.images, summary.aligned, summary.persons, summary.unused_landmark_rows) == (3, 3, 3, 0)
    rows = rows_of(tmp_path / "out")
    assert list(rows) == sorted(rows) == ["test/Zoë 微笑/3.bmp", "train/a b/1.png", "train/a/2.PNG"]
    row = rows["train/a b/1.png"]
    assert (row["path"], row["person"], row["status"], row["view"]) == ("crops/a b/1.png", "a b", "ok", "0")
    assert float(row["x3"]) == pytest.approx(POINTS[2, 0], abs=1e-3)
    manifest = Manifest.open(tmp_path / "out")
    assert [manifest.name(row) for row in range(3)] == ["Zoë 微笑/3", "a b/1", "a/2"]
    # crop pixel c shows photo pixel (c * 112/32) * 0.5 + 4: at (8, 8) that is (18, 18)
    crop = cv2.imdecode(np.frombuffer(manifest.path(1).read_bytes(), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert crop.shape == (32, 32, 3)
    assert np.abs(crop[8, 8].astype(float) - photo(1)[17:20, 17:20].mean((0, 1))).max() < 6


def test_every_reason_is_listed(tmp_path):
    raw = tmp_path / "raw"
    for stem in ("good", "nan", "far", "flat", "missing"):
        save_photo(raw / "p" / f"{stem}.png")
    save_photo(raw / "p" / "cut.jpg")
    (raw / "p" / "cut.jpg").write_bytes((raw / "p" / "cut.jpg").read_bytes()[:-200])
    (raw / "p" / "text.jpg").write_text("hello")
    Image.new("RGB", (1, 1)).save(raw / "p" / "dot.png")
    save_photo(raw / "loose.png")
    extra = "p/nan,nan,1,2,3,4,5,6,7,8,9\n" + f"p/far{',900' * 10}\n" + f"p/flat{',20' * 10}\n" + f"q/gone{',1' * 10}\n"
    table = landmark_table(tmp_path / "l.csv", ["p/good", "p/cut", "p/text", "p/dot", "r/gone"], extra)
    summary = prepare(tmp_path, table)
    rows = rows_of(tmp_path / "out")
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
    save_photo(tmp_path / "raw" / "p" / "1.png")
    Image.new("RGB", (64, 64), "white").save(tmp_path / "raw" / "p" / "2.png")
    prepare(tmp_path, None, detector=OneFace())
    rows = rows_of(tmp_path / "out")
    assert (rows["p/1.png"]["status"], rows["p/1.png"]["score"]) == ("ok", "0.8765")
    assert float(rows["p/1.png"]["x1"]) == pytest.approx(POINTS[0, 0], abs=1e-3)
    assert rows["p/2.png"]["status"] == "no_face"


def test_papers_filter(tmp_path):
    save_photo(tmp_path / "raw" / "p" / "1.png")  # 72 x 64
    Image.fromarray(photo(0)).resize((100, 65)).save(tmp_path / "raw" / "p" / "2.png")
    crops = CropSettings("arcface", 32, "jpg", 90, min_side=65)
    prepare(tmp_path, landmark_table(tmp_path / "l.csv", ["p/1", "p/2"]), crops)
    rows = rows_of(tmp_path / "out")
    assert (rows["p/1.png"]["status"], rows["p/1.png"]["detail"]) == ("too_small", "72 x 64")
    assert rows["p/2.png"]["path"] == "crops/p/2.jpg"


def test_same_stems_and_same_persons_do_not_collide(tmp_path):
    for name in ("train/p/1.jpg", "train/p/1.png", "train/p/1.PNG", "test/p/1.jpg", "train/q/1.jpg"):
        save_photo(tmp_path / "raw" / name, len(name))
    table = landmark_table(tmp_path / "l.csv", ["train/p/1", "test/p/1", "q/1"])
    assert prepare(tmp_path, table).aligned == 5
    paths = {source: row["path"] for source, row in rows_of(tmp_path / "out").items()}
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
    save_photo(tmp_path / "raw" / "p" / "1.png")
    save_photo(tmp_path / "raw" / "p" / "x\ny.png")
    shutil.copy(tmp_path / "raw" / "p" / "1.png", os.fsencode(tmp_path / "raw" / "p") + b"/\xff.png")
    for _ in range(2):
        summary = prepare(tmp_path, landmark_table(tmp_path / "l.csv", ["p/1"]))
        assert summary.counts == {"ok": 1, "bad_name": 2}
    assert {row["source"] for row in rows_of(tmp_path / "out").values()} == {
        "p/1.png",
        r"p/x\ny.png",
        r"p/\udcff.png",
    }


def test_folders_that_cannot_be_prepared(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InputError, match="no folder"):
        find_person_folders(tmp_path / "none", out)
    raw = tmp_path / "raw"
    (raw / "empty").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no image"):
        find_person_folders(raw, out)
    save_photo(raw / "1.jpg")
    save_photo(raw / "2.jpg")
    with pytest.raises(InputError, match="2 loose images and no person's folder"):
        find_person_folders(raw, out)
    save_photo(raw / "p" / "1.jpg")
    (raw / "p" / "1.jpg").write_text("no image")
    (tmp_path / "file").write_text("")
    table = landmark_table(tmp_path / "l.csv", ["p/1"])
    with pytest.raises(InputError, match="Not a directory"):
        prepare_folder(raw, tmp_path / "file" / "out", CROPS, {}, table, None, 0)
    with pytest.raises(InputError, match="none of 3 images"):
        prepare(tmp_path, table)


def test_linked_folders_are_followed_and_links_make_no_loop(tmp_path):
    raw = tmp_path / "raw"
    save_photo(raw / "p" / "1.png")
    save_photo(tmp_path / "elsewhere" / "1.png")
    (raw / "linked").symlink_to(tmp_path / "elsewhere")
    (raw / "p" / "loop").symlink_to(raw)
    (raw / "crops").symlink_to(tmp_path / "out" / "crops")  # what was prepared is no photo
    table = landmark_table(tmp_path / "l.csv", ["p/1", "linked/1"])
    for _ in range(2):
        summary = prepare(tmp_path, table)
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
        landmark_table(tmp_path / name, rows, "b/1" + ",7" * 10 + "\n" if name == "a.csv" else "")
    table = LandmarkTable([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert len(table) == 7
    persons = {person: sorted(table.of_person(person)) for person in ("b", "a b", "ä", "b0", "b-c", "a", "c")}
    assert persons == {"b": ["1", "2"], "a b": ["1"], "ä": ["1"], "b0": ["9"], "b-c": ["1"], "a": [], "c": []}


def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    """Peak of Python's memory with 200, 1,400 and 2,600 images, in folders of 40."""
    save_photo(tmp_path / "one.png")
    peaks = []
    for count in (200, 1400, 2600):
        base = tmp_path / str(count)
        for number in range(count):
            file = base / "raw" / f"p{number // 40}" / f"{number % 40}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            os.link(tmp_path / "one.png", file)
        tracemalloc.start()
        assert prepare(base, None, detector=OneFace()).aligned == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # A manifest row takes about 200 bytes; a person's folder is all that is remembered of its 40 images.
    # The smaller step counts: where the interpreter's own table of names happens to double, one step shows 8 MB.
    assert min(peaks[1] - peaks[0], peaks[2] - peaks[1]) / 1200 < 60
