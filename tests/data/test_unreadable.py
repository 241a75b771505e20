"""Unreadable crops: each listed once whoever meets it, counted over a resume, and stopped by share or by rate."""

import csv
import logging

import pytest
from tests.waiting import side_by_side

from simswap.data.manifest import Manifest
from simswap.data.unreadable import UnreadableCrops
from simswap.errors import InputError


@pytest.fixture(scope="module")
def manifest(crops):
    return Manifest.open(crops)


def listed(file):
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_each_crop_is_listed_once_and_counted_as_often_as_it_was_asked_for(manifest, tmp_path, caplog):
    crops = UnreadableCrops(manifest, 1000, 0.5)
    crops.keep_list(tmp_path / "unreadable.csv")
    assert not (tmp_path / "unreadable.csv").exists()  # no list without a reason
    with caplog.at_level(logging.WARNING):
        crops.add([], 16)
        crops.add([(3, "empty file"), (7, 'broken: "x", y')], 18)
        crops.add([(3, "empty file")], 17)
    assert (crops.failed, crops.asked) == (3, 51)
    assert listed(tmp_path / "unreadable.csv") == [
        {"row": "3", "path": str(manifest.path(3)), "reason": "empty file"},
        {"row": "7", "path": str(manifest.path(7)), "reason": 'broken: "x", y'},
    ]
    assert len(caplog.records) == 2


def test_a_resumed_run_goes_on_with_its_list_and_mends_a_torn_line(manifest, tmp_path):
    file = tmp_path / "unreadable.csv"
    first = UnreadableCrops(manifest, 100, 0.02)
    first.keep_list(file)
    first.add([(3, "empty file")], 1000)
    with file.open("a") as stream:
        stream.write("5,/half/a/li")  # killed while writing
    second = UnreadableCrops(manifest, 100, 0.02)
    second.keep_list(file)
    assert second.reasons == {3: "empty file"}
    second.add([(3, "empty file"), (4, "no image")], 1000)
    assert [row["row"] for row in listed(file)] == ["3", "4"]
    with pytest.raises(InputError, match=r"3 of 100 training crops .*0\.02.* \(gone\); all are listed in .*csv"):
        second.add([(5, "gone")], 1000)
    assert [row["row"] for row in listed(file)] == ["3", "4", "5"]  # also the one that stopped it


def _add_forty(manifest, file, start):
    crops = UnreadableCrops(manifest, 10**6, 0.5)
    crops.keep_list(file)
    for row in range(start, start + 40):
        crops.add([(row % 12, f"from {start}")], 1000)


def test_two_ranks_share_one_list(manifest, tmp_path):
    file = tmp_path / "unreadable.csv"
    with side_by_side(_add_forty, (manifest, file, 0), (manifest, file, 6)):
        pass
    assert sorted(int(row["row"]) for row in listed(file)) == list(range(12))


def test_a_rate_far_above_the_share_stops_long_before_the_share_of_all_rows_is_known(manifest):
    """1 % of a million crops is 10,000: a set with every tenth crop gone is stopped after about a hundred."""
    crops = UnreadableCrops(manifest, 10**6, 0.01)
    for k in range(11):  # 11 - 3 * sqrt(11) = 1.05 and 1 % of 110 is 1.1
        crops.add([(k, "gone")], 10)
    with pytest.raises(InputError, match="12 of 120 crops asked for were unreadable"):
        crops.add([(0, "gone")], 10)  # 12 - 3 * sqrt(12) = 1.6 and 1 % of 120 is 1.2
    crops = UnreadableCrops(manifest, 10**6, 0.01)
    for k in range(500):  # 1 % exactly is not more than 1 %
        crops.add([(k % 12, "gone")], 100)


def test_a_share_of_zero_allows_none_and_of_one_all(manifest):
    with pytest.raises(InputError, match="1 of 100"):
        UnreadableCrops(manifest, 100, 0.0).add([(1, "gone")], 1000)
    UnreadableCrops(manifest, 3, 1.0).add([(1, "gone"), (2, "gone"), (3, "gone")], 3)


def test_a_list_that_cannot_be_kept_is_one_line(manifest, tmp_path):
    foreign = tmp_path / "unreadable.csv"
    foreign.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no list of unreadable crops"):
        UnreadableCrops(manifest, 10, 1.0).keep_list(foreign)
    assert foreign.read_text() == "a,b\n1,2\n"
    crops = UnreadableCrops(manifest, 10, 1.0)
    crops.keep_list(tmp_path / "nowhere" / "unreadable.csv")
    with pytest.raises(InputError, match="cannot be written"):
        crops.add([(1, "gone")], 10)


def test_what_a_failing_disk_hid_does_not_count_in_the_resumed_run(manifest, tmp_path):
    file = tmp_path / "unreadable.csv"
    first = UnreadableCrops(manifest, 100, 0.5)
    first.keep_list(file)
    first.add([(3, "cannot be opened: Input/output error"), (4, "empty file")], 1000)
    assert set(first.reasons) == {3, 4}
    second = UnreadableCrops(manifest, 100, 0.5)
    second.keep_list(file)
    assert second.reasons == {4: "empty file"}
    second.add([(3, "cannot be opened: Input/output error")], 1000)
    assert [row["row"] for row in listed(file)] == ["3", "4"]  # once
