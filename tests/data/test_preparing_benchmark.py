"""The benchmark of simswap-prepare: its photos can be prepared, its shares add up, its patches are taken back."""

import time

import cv2
import numpy as np
from benchmarks.preparing import PARTS, REST, Shares, Side, compare, write_photos

from simswap.data.cropping import reduction
from simswap.faces.alignment import align


def test_the_table_of_a_few_photos(tmp_path):
    table = write_photos(tmp_path, 500, [], 3)
    assert reduction(align(table.of_person("p0")["0000"].reshape(5, 2), "simswap", 224)) == 2
    before = [getattr(owner, name) for owner, name, _ in PARTS]
    lines = compare(tmp_path, table, [Side("full", False, None), Side("reduced", True, None)], "jpg", 1)
    assert [line.split()[0] for line in lines] == ["full", "reduced"]
    assert " 1.00 " in lines[0]
    assert all("decoding" in line and "encoding" in line for line in lines)
    assert [getattr(owner, name) for owner, name, _ in PARTS] == before
    assert len(list((tmp_path / "out0" / "crops").rglob("*.jpg"))) == 3


def test_a_part_within_a_part_counts_once(monkeypatch):
    clock = iter([0.0, 1.0, 3.0, 4.0, 6.0, 6.5])
    monkeypatch.setattr(time, "process_time", lambda: next(clock))
    shares = Shares()
    # rest: 0 to 1 and 6 to 6.5; outer: 1 to 3 and 4 to 6; inner: 3 to 4
    with shares.timed(REST), shares.timed("outer"), shares.timed("inner"):
        pass
    assert shares.seconds == {REST: 1.5, "outer": 4.0, "inner": 1.0}
    assert shares.lines()[0] == ("outer", 4 / 6.5)


def test_points_of_given_photos_grow_with_them(tmp_path):
    small = tmp_path / "small.jpg"
    cv2.imwrite(str(small), np.zeros((50, 100, 3), np.uint8))
    table = write_photos(tmp_path / "large", 300, [(small, np.full((5, 2), 9.5))], 1)
    np.testing.assert_allclose(table.of_person("p0")["0000"], 29.5)  # (9.5 + 0.5) * 3 - 0.5
    assert cv2.imread(str(tmp_path / "large" / "raw" / "p0" / "0000.jpg")).shape == (150, 300, 3)
