"""Folders as people have them: names in every script, wrong tables, failing disks, and outputs in the wrong place."""

import errno
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from tests.data.photo_folders import CROPS, HEADER, POINTS, OneFace, landmark_table, prepare, rows_of, save_photo

from simswap.data import reading
from simswap.data.landmarks import LandmarkTable
from simswap.data.manifest import Manifest
from simswap.data.preparing import prepare_folder
from simswap.data.sources import crop_names
from simswap.errors import InputError
from simswap.launching.claims import claimed
from simswap.prepare import report


def _lines(points_of: dict[str, np.ndarray]) -> str:
    return HEADER + "".join(
        f"{name},{','.join(f'{v:.3f}' for v in points.reshape(-1))}\n" for name, points in points_of.items()
    )


# ---- names


@pytest.mark.parametrize(
    "name",
    ["at 1.01.11\u202fAM", "图片\u3000一", "no\u00a0break", "👩\u200d💻", "שלום\u200f", "می\u200cخواهم", "\ue000",
     "a\u2028b", "\U0001fae9", "'quote\" , comma'", "#1 = ~"],
)  # fmt: skip
def test_names_of_every_kind_are_taken(tmp_path, name):
    save_photo(tmp_path / "raw" / name / f"{name}.png")
    for _ in range(2):
        assert prepare(tmp_path, None, detector=OneFace()).counts == {"ok": 1}
    manifest = Manifest.open(tmp_path / "out")
    assert manifest.person_names == [name]
    assert manifest.path(0).is_file()


def test_control_characters_and_broken_utf8_are_listed(tmp_path):
    for name in ("a\x07", "b\x7f", "c\u0085"):
        save_photo(tmp_path / "raw" / "p" / f"{name}.png")
    save_photo(tmp_path / "raw" / "p" / "fine.png")
    assert prepare(tmp_path, None, detector=OneFace()).counts == {"ok": 1, "bad_name": 3}


@pytest.mark.parametrize("disk", ["NFC", "NFD"])
@pytest.mark.parametrize("table", ["NFC", "NFD"])
def test_composed_and_decomposed_names_are_the_same(tmp_path, disk, table):
    name = "José Müller/Übung 1"
    save_photo(tmp_path / "raw" / unicodedata.normalize(disk, f"{name}.png"))
    marks = landmark_table(tmp_path / "l.csv", [unicodedata.normalize(table, name)])
    summary = prepare(tmp_path, marks)
    assert (summary.aligned, summary.unused_landmark_rows) == (1, 0)
    assert Manifest.open(tmp_path / "out").person_names == ["José Müller"]


def test_two_folders_that_differ_in_the_form_alone_are_one_person(tmp_path):
    for form, images in (("NFC", ["1", "2"]), ("NFD", ["2", "3"])):
        for image in images:
            save_photo(tmp_path / "raw" / unicodedata.normalize(form, "Zoë") / f"{image}.png", int(image))
    summary = prepare(tmp_path, landmark_table(tmp_path / "l.csv", ["Zoë/1", "Zoë/2", "Zoë/3"]))
    assert (summary.persons, summary.counts) == (1, {"ok": 3, "bad_name": 1})  # whose the row of "2" is nobody knows
    manifest = Manifest.open(tmp_path / "out")
    assert manifest.person_names == ["Zoë"]
    assert len({manifest.path(row) for row in range(3)}) == 3


def test_one_folder_with_both_forms_of_a_name(tmp_path):
    for form in ("NFC", "NFD"):
        save_photo(tmp_path / "raw" / "p" / unicodedata.normalize(form, "é.png"))
    assert prepare(tmp_path, landmark_table(tmp_path / "l.csv", ["p/é"])).counts == {"ok": 1, "bad_name": 1}


def test_the_longest_names_are_taken(tmp_path):
    names = [f"{'a' * 251}.jpg", f"{'a' * 250}.webp", f"{'é' * 125}.jpg", f"{'b' * 251}.bmp"]
    for name in names:
        assert len(os.fsencode(name)) <= 255
        save_photo(tmp_path / "raw" / "p" / name)
    made = crop_names([f"{'a' * 250}.jpg", *names], {}, ".png")
    assert len({crop.lower() for crop in made.values()}) == 5
    assert all(len(os.fsencode(crop)) <= 255 for crop in made.values())
    assert prepare(tmp_path, None, detector=OneFace()).counts == {"ok": 4}


def test_persons_that_differ_in_case_keep_apart(tmp_path):
    for person in ("Ann", "ann", "ANN"):
        save_photo(tmp_path / "raw" / person / "1.png")
    for _ in range(2):
        assert prepare(tmp_path, landmark_table(tmp_path / "l.csv", ["Ann/1", "ann/1", "ANN/1"])).aligned == 3
    manifest = Manifest.open(tmp_path / "out")
    assert manifest.person_names == ["ANN", "Ann", "ann"]
    assert len({str(manifest.path(row)).lower() for row in range(3)}) == 3


# ---- wrong landmarks

MIXES = {
    "exchanged": (lambda p: p[[1, 0, 2, 4, 3]], "left and right are exchanged"),
    "axes": (lambda p: p[:, ::-1], "x and y are exchanged"),
    "normalized": (lambda p: p / [72, 64], "normalized to 0..1"),
    "scaled": (lambda p: p * 4, "another size"),
}


@pytest.mark.parametrize("mix", MIXES)
def test_a_wrong_table_of_a_few_photos_is_listed_and_guessed_and_mended(tmp_path, mix):
    mixed, guess = MIXES[mix]
    for number in range(4):
        save_photo(tmp_path / "raw" / "p" / f"{number}.png", number)
    names = [f"p/{number}" for number in range(4)]
    file = tmp_path / "l.csv"
    file.write_text(_lines({name: mixed(POINTS) for name in names}))
    with pytest.raises(InputError, match=rf"bad_landmarks in 4 of .*: it seems that .*{guess}"):
        prepare(tmp_path, LandmarkTable([file]))
    rows = rows_of(tmp_path / "out")
    assert all(row["status"] == "bad_landmarks" and row["detail"] for row in rows.values())
    file.write_text(_lines(dict.fromkeys(names, POINTS)))  # the table is mended: those images are tried anew
    assert prepare(tmp_path, LandmarkTable([file])).counts == {"ok": 4}
    assert {row["status"] for row in rows_of(tmp_path / "out").values()} == {"ok"}


def test_a_large_wrong_table_stops_before_anything_is_written(tmp_path):
    names = [f"p{number % 7}/{number}" for number in range(120)]
    save_photo(tmp_path / "one.png")
    for name in names:
        (tmp_path / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(tmp_path / "one.png", tmp_path / "raw" / f"{name}.png")
    file = tmp_path / "l.csv"
    wrong = {name: POINTS[:, ::-1] if number % 3 else POINTS for number, name in enumerate(names)}
    file.write_text(_lines(wrong))
    complaint = r"l\.csv: bad_landmarks in \d\d of the first 100 .*x and y are exchanged"
    with pytest.raises(InputError, match=complaint) as error:
        prepare(tmp_path, LandmarkTable([file]))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()
    few = {name: POINTS[:, ::-1] if number % 9 == 0 else POINTS for number, name in enumerate(names)}
    file.write_text(_lines(few))
    assert prepare(tmp_path, LandmarkTable([file])).counts == {"ok": 106, "bad_landmarks": 14}


@pytest.mark.parametrize("given", ["P/1", "photos/p/1", "p/ 1", "p/001"])
def test_names_that_nearly_match_are_shown(tmp_path, given):
    save_photo(tmp_path / "raw" / "p" / "1.png")
    save_photo(tmp_path / "raw" / "q" / "2.png")
    table = landmark_table(tmp_path / "l.csv", ["q/2", given, "zed/9"])
    summary = prepare(tmp_path, table)
    assert summary.counts == {"ok": 1, "no_landmarks": 1}
    words = report(summary, tmp_path / "out")
    assert "'p/1'" in words
    assert f"'{given}'" in words
    with pytest.raises(InputError, match="no row of the table is called 'p/1'"):
        prepare_folder(
            tmp_path / "raw", tmp_path / "out2", CROPS, {}, landmark_table(tmp_path / "m.csv", [given]), None, 0
        )


# ---- disks that fail


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN])
def test_an_error_that_passes_is_tried_again_at_once(tmp_path, monkeypatch, code):
    save_photo(tmp_path / "raw" / "p" / "1.png")
    left, read = [2], Path.read_bytes

    def failing(self):
        if self.suffix == ".png" and left[0]:
            left[0] -= 1
            raise OSError(code, os.strerror(code))
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", failing)
    monkeypatch.setattr(reading, "_WAITS", (0.0, 0.0))
    assert prepare(tmp_path, None, detector=OneFace()).counts == {"ok": 1}
    assert left == [0]


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOENT, errno.EACCES])
def test_an_image_that_could_not_be_opened_is_tried_anew_by_the_next_run(tmp_path, monkeypatch, code):
    for number in range(3):
        save_photo(tmp_path / "raw" / "p" / f"{number}.png", number)
    (tmp_path / "raw" / "p" / "text.png").write_text("no picture")
    read = Path.read_bytes

    def failing(self):
        if self.name in ("1.png", "2.png"):
            raise OSError(code, os.strerror(code))
        return read(self)

    monkeypatch.setattr(reading, "_WAITS", (0.0, 0.0))
    with monkeypatch.context() as broken:
        broken.setattr(Path, "read_bytes", failing)
        assert prepare(tmp_path, None, detector=OneFace()).counts == {"ok": 1, "unreadable": 3}
    (tmp_path / "raw" / "p" / "2.png").unlink()  # it is gone for good, and no longer listed
    summary = prepare(tmp_path, None, detector=OneFace())
    assert (summary.counts, summary.new) == ({"ok": 2, "unreadable": 1}, 1)
    assert sorted(rows_of(tmp_path / "out")) == ["p/0.png", "p/1.png", "p/text.png"]


# ---- where the output lies


@pytest.mark.parametrize("out", ["raw", "raw/out", "raw/p/../out", "link/out", "raw/p"])
def test_an_output_among_the_photos_is_refused(tmp_path, out):
    save_photo(tmp_path / "raw" / "p" / "1.png")
    (tmp_path / "link").symlink_to(tmp_path / "raw")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=r"out=.* lies in raw="):
        prepare_folder(tmp_path / "raw", tmp_path / out, CROPS, {}, None, OneFace(), 0)
    with pytest.raises(InputError, match=r"out=.* lies in raw="):
        prepare_folder(tmp_path / "link", tmp_path / out, CROPS, {}, None, OneFace(), 0)
    assert sorted(tmp_path.rglob("*")) == before


def test_crops_are_not_prepared_into_their_own_folder(tmp_path):
    save_photo(tmp_path / "raw" / "p" / "1.png")
    prepare(tmp_path, None, detector=OneFace())
    with pytest.raises(InputError, match="among its crops"):
        prepare_folder(tmp_path / "out" / "crops", tmp_path / "out", CROPS, {}, None, OneFace(), 0)


def test_a_second_prepare_into_the_same_folder_is_refused_while_the_first_lives(tmp_path):
    save_photo(tmp_path / "raw" / "p" / "1.png")
    with claimed(tmp_path / "out", "prepare"), pytest.raises(InputError, match="out is in use"):
        prepare(tmp_path, None, detector=OneFace())
    assert prepare(tmp_path, None, detector=OneFace()).aligned == 1


# ---- the small inputs


@pytest.mark.real
def test_the_tables_that_failed(shared, tmp_path):
    cases = shared / "cases"
    refused = {"normalised": "normalized",  # codespell:ignore normalised
               "yx": "x and y", "swapped_lr": "left and right", "scaled": "another size",
               "huge": "outside", "zeros": "coincide", "nan": "not a number", "empty": "is an empty file",
               "header_only": "no row", "ragged": "Expected 11 columns"}  # fmt: skip
    for file in sorted((cases / "tables").glob("*.csv")):
        out = tmp_path / file.stem
        run = lambda: prepare_folder(cases / "small", out, CROPS, {}, LandmarkTable([file]), None, 0)  # noqa: B023, E731
        if file.stem in refused:
            with pytest.raises(InputError, match=refused[file.stem]):
                run()
        else:
            summary = run()
            assert summary.counts == {"ok": 8}, file
            assert not summary.notes


@pytest.mark.real
@pytest.mark.parametrize(("folder", "counts"), [("shots", {"ok": 4}), ("nfd", {"ok": 2})])
def test_the_names_that_failed(shared, tmp_path, folder, counts):
    table = LandmarkTable([shared / "cases" / f"{folder}.csv"])
    summary = prepare_folder(shared / "cases" / folder, tmp_path / "out", CROPS, {}, table, None, 0)
    assert (summary.counts, summary.unused_landmark_rows) == (counts, 0)


@pytest.mark.real
def test_network_drives_and_phones(shared, tmp_path):
    cases = shared / "cases"
    summary = prepare_folder(cases / "nas", tmp_path / "nas", CROPS, {}, None, OneFace(), 0)
    assert (summary.images, summary.persons) == (4, 2)
    assert summary.passed_over.counts["system folder"] >= 3
    summary = prepare_folder(cases / "heic", tmp_path / "heic", CROPS, {}, None, OneFace(), 0)
    assert summary.images == 3
    assert "passed over 4 HEIC photos (save as JPEG or PNG to use)" in report(summary, tmp_path)
    summary = prepare_folder(cases / "long", tmp_path / "long", CROPS, {}, None, OneFace(), 0)
    assert summary.counts == {"ok": summary.images}
