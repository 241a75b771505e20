"""The manifest: opened by columns, checked, and small in memory for millions of rows."""

import json
import subprocess
import sys

import numpy as np
import pytest

from simswap.data.manifest import COLUMNS, Manifest
from simswap.errors import InputError

MEASURE = """
import resource, sys, time
from simswap.data.manifest import Manifest
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
manifest = Manifest.open(sys.argv[1])
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(len(manifest), len(manifest.person_names), seconds, peak * 1024, before * 1024)
"""


def _row(path="", person="a", source="", status="ok", view="0"):
    return ",".join([path, person, source or f"{person}/x.jpg", status, "", view, "", *["1.5"] * 10])


def _write(root, rows, settings=None, header=COLUMNS):
    (root / "manifest.csv").write_text("\n".join([",".join(header), *rows]) + "\n", encoding="utf-8")
    settings = {"template": "simswap", "size": 112} if settings is None else settings
    (root / "prepare.json").write_text(json.dumps({"settings": settings}))
    return root


@pytest.fixture
def prepared(tmp_path):
    return _write(
        tmp_path,
        [
            _row("crops/zoë b/0001.png", "zoë b", view="2"),
            _row("", "skipped only", status="no_face", view=""),
            _row("crops/NA/x.y.png", "NA", view="4"),
            _row("", "NA", status="unreadable", view=""),
            _row("crops/train/zoë b/0001.png", "zoë b", view="0"),
        ],
    )


def test_only_aligned_rows_count(prepared):
    manifest = Manifest.open(prepared)
    assert len(manifest) == 3
    assert (manifest.template, manifest.crop_size, manifest.view_count) == ("simswap", 112, 5)
    assert manifest.person_names == ["NA", "zoë b"]
    np.testing.assert_array_equal(manifest.person, [1, 0, 1])
    np.testing.assert_array_equal(manifest.view, [2, 4, 0])
    assert (manifest.person.dtype, manifest.view.dtype) == (np.int32, np.int8)
    assert manifest.path(1) == prepared / "crops" / "NA" / "x.y.png"
    assert [manifest.name(row) for row in range(3)] == ["zoë b/0001", "NA/x.y", "train/zoë b/0001"]


def test_attributes_come_in_the_manifests_order(prepared):
    assert Manifest.open(prepared).attributes() is None
    (prepared / "attributes.csv").write_text("NAME_ID,yaw\nNA/x.y,-3.5\nnobody/1,9\nzoë b/0001,12\n", encoding="utf-8")
    table = Manifest.open(prepared).attributes()
    assert table is not None
    assert table["yaw"].to_pylist() == [12.0, -3.5, None]
    (prepared / "attributes.csv").write_text("name,yaw\nNA/x.y,-3.5\n")
    with pytest.raises(InputError, match="no column NAME_ID"):
        Manifest.open(prepared).attributes()


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "crops/../../x.png", ""])
def test_paths_outside_the_folder_are_refused(tmp_path, path):
    with pytest.raises(InputError, match="not inside"):
        Manifest.open(_write(tmp_path, [_row(path)])).path(0)


@pytest.mark.parametrize(
    ("rows", "settings", "header", "message"),
    [
        ([], None, COLUMNS, "no aligned crop"),
        ([_row("", status="no_face", view="")], None, COLUMNS, "no aligned crop"),
        ([_row("a.png")], None, ["file", *COLUMNS[1:]], "not the table"),
        ([_row("a.png")], {"template": "nonesuch", "size": 112}, COLUMNS, "template 'nonesuch'"),
        ([_row("a.png")], {"template": "arcface"}, COLUMNS, "size None"),
        ([_row("a.png", view="7")], None, COLUMNS, "view"),
        ([_row("a.png", view="")], None, COLUMNS, "view"),
        ([_row("a.png", view="left")], None, COLUMNS, "manifest.csv is not the table"),
        ([_row("a.png"), "cut,off"], None, COLUMNS, "not the table"),
    ],
)
def test_bad_content_gives_one_line(tmp_path, rows, settings, header, message):
    _write(tmp_path, rows, settings, header)
    with pytest.raises(InputError, match=message) as error:
        Manifest.open(tmp_path)
    assert "\n" not in str(error.value)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(InputError, match="make one with: simswap-prepare"):
        Manifest.open(tmp_path)
    _write(tmp_path, [_row("a.png")])
    (tmp_path / "prepare.json").write_text("{")
    with pytest.raises(InputError, match=r"prepare\.json cannot be read"):
        Manifest.open(tmp_path)
    (tmp_path / "prepare.json").unlink()
    with pytest.raises(InputError, match=r"no prepare\.json"):
        Manifest.open(tmp_path)
    _write(tmp_path, [])
    (tmp_path / "manifest.csv").unlink()
    with pytest.raises(InputError, match="not finished"):
        Manifest.open(tmp_path)


def _measure(root, rows):
    _write(root, [], {"template": "arcface", "size": 224})
    with open(root / "manifest.csv", "a") as stream:
        for number in range(rows):
            person, image = f"n{number // 360:06d}", f"{number % 360:04d}_01"
            points = ",".join(["101.125"] * 10)
            stream.write(f"crops/{person}/{image}.jpg,{person},train/{person}/{image}.jpg,ok,,0,0.8731,{points}\n")
    output = subprocess.run([sys.executable, "-c", MEASURE, root], check=True, capture_output=True, text=True).stdout
    return [float(value) for value in output.split()]


def test_memory_of_a_few_hundred_thousand_rows(tmp_path):
    count, persons, _, peak, before = _measure(tmp_path, 300_000)
    assert (count, persons) == (300_000, 834)
    # 1.5 GB for 3.3 million rows leaves 450 bytes a row; buffers of the reader are not proportional
    assert peak - before < 300e6


@pytest.mark.slow
def test_three_million_rows_open_in_seconds(tmp_path):
    count, persons, seconds, peak, _ = _measure(tmp_path, 3_300_000)
    assert (count, persons) == (3_300_000, 9167)
    assert seconds < 20
    assert peak < 1.5e9


def test_attributes_are_text_until_they_are_asked_for_as_numbers(prepared):
    content = "NAME_ID;code;yaw;side\nzoë b/0001;007;1.5;left\nNA/x.y;NA;;right\n"
    (prepared / "attributes.csv").write_text(content, encoding="utf-16")
    table = Manifest.open(prepared).attributes()
    assert table is not None
    assert table["NAME_ID"].to_pylist()[:2] == ["zoë b/0001", "NA/x.y"]
    assert table["yaw"].to_pylist() == [1.5, None, None]
    assert table["side"].to_pylist() == ["left", "right", None]
