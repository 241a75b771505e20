"""``simswap-prepare`` through its command line, good and bad input."""

import errno
import json
import multiprocessing.synchronize
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.csv as pacsv
import pytest
from PIL import Image

from simswap.data.manifest import Manifest
from simswap.faces.alignment import template_points
from simswap.prepare import main
from simswap.rendered.dataset import write_dataset
from tests.waiting import DEADLINE, started, until

HEADER = "NAME_ID,P1X,P1Y,P2X,P2Y,P3X,P3Y,P4X,P4Y,P5X,P5Y"


@pytest.fixture
def raw(tmp_path):
    """Two persons with two photos each, one of them a text file, and their table of landmarks."""
    points = ",".join(f"{value:.2f}" for value in template_points("ffhq", 64).reshape(-1))
    lines = [HEADER]
    for person in ("Ann", "Bo Ł"):
        (tmp_path / "raw" / person).mkdir(parents=True)
        for number in (1, 2):
            Image.new("RGB", (64, 64), (90, 120, 60 * number)).save(tmp_path / "raw" / person / f"{number}.png")
            lines.append(f"{person}/{number},{points}")
    (tmp_path / "raw" / "Bo Ł" / "2.png").write_text("no image")
    (tmp_path / "raw" / "marks.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "raw"


@pytest.fixture
def prepare(tmp_path, monkeypatch, capsys):
    """Run the front door in this process: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["simswap-prepare", "workers=0", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        return int(stop.value.code or 0), *capsys.readouterr()

    return call


def test_prepares_prints_the_table_and_leaves_nothing_beside(prepare, raw, tmp_path):
    command = ("raw=raw", "out=crops 1", "size=64", "template=ffhq", "landmarks=raw/marks.csv")
    code, printed, _ = prepare(*command)
    assert code == 0
    assert "aligned 3 of 4 images (75.00 %), 2 persons" in printed
    assert "skipped         1  unreadable" in printed
    assert "manifest: crops 1/manifest.csv" in printed
    manifest = Manifest.open(tmp_path / "crops 1")
    assert (manifest.template, manifest.crop_size, manifest.person_names) == ("ffhq", 64, ["Ann", "Bo Ł"])
    pixels = np.asarray(Image.open(manifest.path(1)))
    assert pixels.shape == (64, 64, 3)
    np.testing.assert_array_equal(pixels[32, 32], [90, 120, 120])
    assert sorted(os.listdir(tmp_path)) == ["crops 1", "raw"]

    code, printed, _ = prepare(*command)
    assert (code, "4 of them had been done before" in printed) == (0, True)
    code, _, error = prepare(*command[:2], "size=128", *command[3:])
    assert code == 2
    assert error == (
        "error: crops 1 was prepared with other settings: size (was 64, now 128); use the same ones or another out=\n"
    )


def test_attributes_are_joined_by_name(prepare, raw, tmp_path):
    (tmp_path / "a.csv").write_text("NAME_ID,glasses\nBo Ł/1,1\nAnn/2,0\n", encoding="utf-8")
    code, _, _ = prepare("raw=raw", "out=out", "size=32", "landmarks=[raw/marks.csv]", "attributes=a.csv", "format=jpg")
    assert code == 0
    table = Manifest.open(tmp_path / "out").attributes()
    assert table is not None
    assert table["glasses"].to_pylist() == [None, 0, 1]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["out=out"], "raw has no value: give raw=…, as in: simswap-prepare raw="),
        (["raw=raw", "out=out"], "nothing gives face positions"),
        (["raw=raw", "out=out", "landmarks=none.csv"], "none.csv is not there"),
        (["raw=none", "out=out", "landmarks=raw/marks.csv"], "raw=none is no folder"),
        (["raw=raw/Ann", "out=out", "landmarks=raw/marks.csv"], "2 loose images and no person's folder"),
        (["raw=empty", "out=out", "landmarks=raw/marks.csv"], "holds no image"),
        (["raw=raw", "out=out", "landmarks=columns.csv"], "columns.csv has the columns NAME_ID, left, right"),
        (["raw=raw", "out=out", "landmarks=raw/marks.csv", "attributes=list.csv"], "list.csv has no column NAME_ID"),
        (["raw=raw", "out=raw/marks.csv/out", "landmarks=raw/marks.csv"], "raw/marks.csv"),
        (["raw=raw", "out=out", "landmarks=raw/marks.csv", "template=celeb"], "choose one of arcface, simswap, ffhq"),
        (["raw=raw", "out=out", "landmarks=raw/marks.csv", "size=8"], "size is 8: it takes"),
        (["raw=raw", "out=out", "landmarks=raw/marks.csv", "size=big"], "size is 'big': it takes a whole number"),
        (["raw=raw", "out=out", "landmarks=raw/marks.csv", "format=gif"], "png or jpg"),
        (["raw=raw", "out=out", "landmarks=raw/marks.csv", "quality=0"], "quality is 0: it takes"),
        (["raw=raw", "out=out", "landmarks=raw/marks.csv", "min_side=-1"], "min_side is -1: it takes"),
        (["raw=raw", "out=out", "landmarks=raw/marks.csv", "workers=-1"], "workers is -1: it takes"),
        (["raw=raw", "out=out", "landmark=raw/marks.csv"], "did you mean landmarks?"),
        (["raw=raw", "out=out", "detector=insightfaces"], "did you mean insightface?"),
        (["raw=raw", "out=out", "detector=insightface"], "detector.pack has no value"),
        (["raw=raw", "out=out", "detector=insightface", "detector.pack=./none"], "no such folder; give a folder"),
        (
            ["raw=raw", "out=out", "landmarks=raw/marks.csv", "detector=insightface", "detector.pack=./none"],
            "both give face positions",
        ),
    ],
)
def test_bad_input_gives_one_line_and_exit_code_2(prepare, raw, tmp_path, arguments, complaint):
    (tmp_path / "empty").mkdir()
    (tmp_path / "columns.csv").write_text("NAME_ID,left,right\na/1,1,2\n")
    (tmp_path / "list.csv").write_text("name\na\n")
    code, _, error = prepare(*arguments)
    assert code == 2
    assert complaint in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_unwritable_output(prepare, raw):
    # /proc takes no new folder, not even from the administrator
    code, _, error = prepare("raw=raw", "out=/proc/simswap/out", "size=32", "landmarks=raw/marks.csv")
    assert code == 2
    assert error.startswith("error: /proc/simswap")
    assert error.count("\n") == 1


def test_no_room_for_the_locks_of_its_workers(raw, tmp_path, door, monkeypatch):
    """A full /dev/shm refuses a pool's first semaphore, and names no file."""

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(multiprocessing.synchronize._multiprocessing, "SemLock", full)
    code, _, errors = door(
        main,
        f"raw={raw}",
        f"out={tmp_path / 'out'}",
        "size=64",
        "template=ffhq",
        f"landmarks={raw}/marks.csv",
        "workers=2",
    )
    assert code == 2
    assert errors.count("\n") == 1
    assert errors.startswith("error: /dev/shm is full (")
    assert "workers=0" in errors
    assert "run the same command again" in errors


def test_rendered_faces_are_written_and_prepared(prepare, tmp_path):
    code, printed, error = prepare(
        "origin=rendered",
        "origin.persons=3",
        "origin.images=2",
        "origin.size=64",
        "origin.seed=5",
        "raw=faces",
        "out=crops",
        "size=48",
    )
    assert code == 0, error
    assert "aligned 6 of 6 images (100.00 %), 3 persons" in printed
    table = Manifest.open(tmp_path / "crops").attributes()
    assert table is not None
    assert (table.num_rows, table["yaw"].null_count) == (6, 0)
    rows = pacsv.read_csv(tmp_path / "crops" / "manifest.csv")
    assert rows["status"].to_pylist() == ["ok"] * 6


def test_ctrl_c_gives_one_line_and_exit_code_2(raw, tmp_path):
    """The installed command with worker processes, ended as a terminal ends it."""
    for number in range(2000):
        os.link(raw / "Ann" / "1.png", raw / "Ann" / f"x{number}.png")
    command = [sys.executable, "-m", "simswap.prepare", "raw=raw", "out=out", "size=32", "landmarks=raw/marks.csv"]
    with open(raw / "marks.csv", "a") as stream:
        points = ",".join(f"{value:.2f}" for value in template_points("ffhq", 64).reshape(-1))
        stream.writelines(f"Ann/x{number},{points}\n" for number in range(2000))
    crops = tmp_path / "out" / "crops"
    with started(*command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: list(crops.rglob("*.png")), "the first crop", process)
        os.killpg(process.pid, signal.SIGINT)
        complaint = process.communicate(timeout=DEADLINE)[1]
    assert process.returncode == 2
    assert complaint == "error: interrupted; what was finished is kept, run the same command again to resume\n"
    assert list(crops.rglob("*.png"))
    assert not (tmp_path / "out" / "manifest.csv").exists()


@pytest.mark.real
def test_real_faces_by_table_and_by_detector_agree(prepare, shared, tmp_path):
    """Sixty people of LFW both ways: all aligned, landmarks within 2 px."""
    people = sorted(os.listdir(shared / "lfw" / "images"))[:1200:20]
    for person in people:
        shutil.copytree(shared / "lfw" / "images" / person, tmp_path / "faces" / person)
    both = ("raw=faces", "size=112", "template=arcface")
    code, printed, _ = prepare(*both, "out=by_table", f"landmarks={shared}/lfw/loose_landmark.csv")
    assert (code, "(100.00 %), 60 persons" in printed) == (0, True)
    assert "rows of the landmark table belong to no image" in printed
    code, printed, _ = prepare(
        *both, "out=by_detector", "detector=insightface", f"detector.pack={shared}/models/lite", "detector.size=256"
    )
    assert (code, "(100.00 %), 60 persons" in printed) == (0, True)

    def landmarks(out: Path) -> np.ndarray:
        table = pacsv.read_csv(out / "manifest.csv")
        return np.stack([table[f"{axis}{number}"].to_numpy() for number in range(1, 6) for axis in "xy"], 1)

    difference = landmarks(tmp_path / "by_table") - landmarks(tmp_path / "by_detector")
    distance = np.linalg.norm(difference.reshape(-1, 5, 2), axis=2)
    assert (distance <= 2).mean() >= 0.99
    settings = json.loads((tmp_path / "by_detector" / "prepare.json").read_text())["settings"]
    assert settings["detector"]["size"] == 256


def test_dlib_finds_the_faces_without_a_table_or_a_pack(prepare, tmp_path):
    """Rendered photos by dlib's detector: all aligned, landmarks near the truth; its settings are recorded."""
    write_dataset("faces", 2, 2, 128, 4)
    code, printed, errors = prepare("raw=faces", "out=crops", "size=64", "detector=dlib")
    assert (code, errors) == (0, "")
    assert "aligned 4 of 4 images (100.00 %), 2 persons" in printed
    table, truth = (pacsv.read_csv(file) for file in ("crops/manifest.csv", "faces/loose_landmark.csv"))
    found = np.stack([table[f"{axis}{number}"].to_numpy() for number in range(1, 6) for axis in "xy"], 1)
    true = np.stack([truth[f"P{number}{axis}"].to_numpy() for number in range(1, 6) for axis in "XY"], 1)
    assert np.abs(found - true).mean() < 3
    settings = json.loads(Path("crops/prepare.json").read_text())["settings"]
    assert (settings["detector"]["upsample"], settings["detector"]["path"]) == (1, None)
    bad = ("detector=dlib", "detector.path=crops/prepare.json")
    code, _, errors = prepare("raw=faces", "out=crops 2", "size=64", *bad)
    assert code == 2
    assert "crops/prepare.json is" in errors
    assert not Path("crops 2").exists()


def test_reduced_decoding_follows_the_folder(prepare, raw, tmp_path):
    """A new folder of a landmark table begins with it; one begun without it goes on without it; true is refused."""
    command = ("raw=raw", "out=crops", "size=64", "template=ffhq", "landmarks=raw/marks.csv")
    file = tmp_path / "crops" / "prepare.json"
    assert prepare(*command)[0] == 0
    content = json.loads(file.read_text())
    assert content["settings"].pop("reduced_decoding") is True
    file.write_text(json.dumps(content))  # as an earlier version wrote it
    assert prepare(*command)[0] == 0
    assert json.loads(file.read_text())["settings"]["reduced_decoding"] is False
    code, _, error = prepare(*command, "reduced_decoding=true")
    assert (code, error.count("\n")) == (2, 1)
    assert "prepared with other settings: reduced_decoding (was False, now True)" in error
    code, _, error = prepare(*command, "reduced_decoding=4")
    assert (code, error) == (2, "error: reduced_decoding is 4: it takes true, false or auto\n")


def test_rendered_faces_are_decoded_in_full(prepare, tmp_path):
    command = ("origin=rendered", "origin.persons=1", "origin.images=1", "origin.size=64", "raw=faces", "size=16")
    assert prepare(*command, "out=crops")[0] == 0
    assert json.loads((tmp_path / "crops" / "prepare.json").read_text())["settings"]["reduced_decoding"] is False
