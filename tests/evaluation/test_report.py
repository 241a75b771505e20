"""evaluation.json and the table, letter by letter."""

import copy
import io
import json
import math

import pytest

from simswap.errors import InputError
from simswap.evaluation.report import print_table, table_text, write_evaluation
from simswap.tracking.evaluation_format import FORMAT
from simswap.tracking.runs import read_evaluation

PROTOCOL = {
    "name": "persons",
    "pairs": 1000,
    "gallery_images": 500,
    "gallery_persons": 100,
    "gallery_rule": "all images",
    "chance": 0.01,
    "recognizer": {"name": "one", "sha256": "1" * 64},
    "judge": {"name": "two", "sha256": "2" * 64, "same_network": False},
    "pose": {"name": "pnp", "sha256": "3" * 64, "noise_floor_deg": 1.25},
    "data": "crops",
    "split": "test",
    "seed": 0,
    "image_size": 128,
    "template": "arcface",
    "targets": 636,
    "source_persons": 100,
    "target_persons": 100,
}


def figures(kind: str, *values: tuple[float, float, float]) -> dict:
    names = ("id_retrieval", "id_similarity", "target_similarity", "pose_error_deg", "self_reconstruction_l1")
    return {
        "kind": kind,
        **{
            name: dict(zip(("value", "low", "high"), value, strict=True))
            for name, value in zip(names, values, strict=True)
        },
    }


NAN = math.nan
RESULTS = {
    "trained": figures(
        "trained", (0.5831, 0.55, 0.61), (0.41, 0.39, 0.43), (0.2, 0.18, 0.22), (4.0, 3.5, 4.5), (0.031, 0.03, 0.032)
    ),
    "do_nothing": figures("control", (0, 0, 0), (-0.02, -0.03, -0.01), (1, 1, 1), (0, 0, 0), (0, 0, 0)),
    "copy_source": figures("control", (1, 1, 1), (1, 1, 1), (-0.02, -0.03, -0.01), (24.0, 23.04, 25.06), (0, NAN, NAN)),
}

TABLE = """\
protocol   persons: 1,000 swaps, split test of crops, 128 px arcface crops, seed
           0
gallery    500 images of 100 persons: all images
chance     1 % retrieval by a blind draw from the gallery
trained by one (sha256 11111111)
judge      two (sha256 22222222), another network than the one trained with
pose       pnp (sha256 33333333); noise floor 1.2 degrees, the error of a single
           reading (means are told apart by their intervals)
intervals  95 %, clustered by persons as sources and as targets
self-recon over 636 distinct targets, each counted once

                 identity        cosine        cosine  pose error   self-recon-
swapper       retrieval %     to source     to target     degrees  struction L1
-------------------------------------------------------------------------------
trained              58.3          0.41          0.20         4.0         0.031
 (trained)     55.0..61.0    0.39..0.43    0.18..0.22    3.5..4.5  0.030..0.032
do_nothing            0.0         -0.02          1.00         0.0         0.000
 (control)       0.0..0.0  -0.03..-0.01    1.00..1.00    0.0..0.0  0.000..0.000
copy_source         100.0          1.00         -0.02        24.0         0.000
 (control)   100.0..100.0    1.00..1.00  -0.03..-0.01  23.0..25.1             -"""


def test_table_is_worked_out_and_fits_the_terminal():
    text = table_text(PROTOCOL, RESULTS)
    assert text == TABLE
    assert max(map(len, text.splitlines())) <= 80
    assert text.isascii()


def test_the_list_of_what_was_left_out_has_the_name_of_its_evaluation(capsys):
    protocol = {**PROTOCOL, "skipped": 3}
    assert "3 entries could not be used, and are listed in evaluation_skipped.csv" in table_text(protocol, RESULTS)
    print_table(protocol, RESULTS, stem="six")
    assert "are listed in six_skipped.csv" in capsys.readouterr().out


JUDGED = """\
by judges.second
                identity  retrieval %      identity  agrees with  kappa with
swapper      retrieval %    no source       share %  1st judge %   1st judge
----------------------------------------------------------------------------
trained             40.0            -          25.0         80.0        0.61
 (trained)    35.0..45.0            -    20.0..30.0   75.0..85.0           -
do_nothing           0.0            -           0.0        100.0           -
 (control)      0.0..1.0            -      0.0..0.0  99.0..100.0           -
copy_source        100.0            -         100.0        100.0           -
 (control)   99.0..100.0            -  100.0..100.0  99.0..100.0           -"""


def of_two_judges():
    """The protocol and the results above with a second judge, which misses 40 pairs of the first row."""
    protocol = {**PROTOCOL, "judges": [{"key": "second", "name": "three", "sha256": "4" * 64, "same_network": False,
                                        "chance": 0.02}]}  # fmt: skip
    values = {
        "trained": ((0.4, 0.35, 0.45), (0.25, 0.2, 0.3), (0.8, 0.75, 0.85), (0.61, NAN, NAN)),
        "do_nothing": ((0, 0, 0.01), (0, 0, 0), (1, 0.99, 1), (NAN, NAN, NAN)),
        "copy_source": ((1, 0.99, 1), (1, 1, 1), (1, 0.99, 1), (NAN, NAN, NAN)),
    }
    results = copy.deepcopy(RESULTS)
    for swapper, found in values.items():
        names = ("id_retrieval", "identity_share", "judges_agree", "judges_kappa")
        figures = {
            name: dict(zip(("value", "low", "high"), value, strict=True))
            for name, value in zip(names, found, strict=True)
        }
        results[swapper]["judges"] = {"second": {**figures, "missed_results": 40 * (swapper == "trained")}}
    return protocol, results


def test_a_second_judge_has_a_table_of_its_own(tmp_path):
    protocol, results = of_two_judges()
    text = table_text(protocol, results)
    assert text.startswith(TABLE.split("pose ")[0])
    assert JUDGED in text
    assert max(map(len, text.splitlines())) <= 80
    words = " ".join(text.split())
    assert "judges.second: three (sha256 44444444), another network than the one trained with; chance 2 %" in words
    assert "trained: judges.second can measure 960 of 1,000 pairs; its figures are over these" in words
    write_evaluation(tmp_path / "evaluation.json", protocol, results)
    read = read_evaluation(tmp_path)
    assert read["protocol"]["judge"] == PROTOCOL["judge"]
    assert read["results"]["trained"]["judges"]["second"]["identity_share"]["value"] == 0.25


def test_contradictions_about_a_second_judge_are_refused():
    protocol, results = of_two_judges()
    del results["trained"]["judges"]["second"]
    with pytest.raises(ValueError, match=r"results.trained.judges lacks second"):
        table_text(protocol, results)
    protocol, results = of_two_judges()
    protocol["judges"][0]["sha256"] = "1" * 64
    with pytest.raises(ValueError, match=r"protocol.judges.second.same_network is False, but the hashes say True"):
        table_text(protocol, results)


def test_slices_and_missed_poses_stand_below():
    results = copy.deepcopy(RESULTS)
    results["trained"]["missed_poses"] = 3
    results["trained"]["slices"] = {
        "glasses >= 0.5": {**RESULTS["copy_source"], "pairs": 120, "source_persons": 60, "target_persons": 12}
    }
    stream = io.StringIO()
    print_table(PROTOCOL, results, stream)
    text = stream.getvalue()
    assert text.startswith(TABLE)
    assert "no pose    trained: no face found in 3 of 1,000 pairs; its pose error is over\n" in text
    below = text[text.index("targets with glasses") :].splitlines()
    assert below[:2] == ["targets with glasses >= 0.5: 120 pairs", "intervals approximate: 12 persons, fewer than 30"]
    assert below[5].split() == ["trained", "100.0", "1.00", "-0.02", "24.0", "0.000"]
    assert below[6].startswith(" (trained)")


def test_same_network_is_said_in_words():
    protocol = {**PROTOCOL, "judge": {**PROTOCOL["recognizer"], "same_network": True}}
    assert "judge      same network as the one trained with (one (sha256 11111111))" in table_text(protocol, RESULTS)
    protocol["judge"]["same_network"] = False
    with pytest.raises(ValueError, match="same_network is False, but the hashes say True"):
        table_text(protocol, RESULTS)


def test_what_is_not_known_is_said():
    protocol = {**PROTOCOL, "chance": NAN, "pose": {"name": "pnp", "sha256": None, "noise_floor_deg": None}}
    text = table_text(protocol, RESULTS)
    assert "pose       pnp (no file); noise floor not known" in text
    assert "chance     not known" in text


def test_few_persons_are_said():
    text = table_text({**PROTOCOL, "target_persons": 9, "groups": "videos"}, RESULTS)
    assert "intervals  95 %, clustered by videos as sources and as targets; approximate: 9\n" in text
    assert "videos, fewer than 30\n" in text
    newer = ("targets", "source_persons", "target_persons")
    older = {key: value for key, value in PROTOCOL.items() if key not in newer}
    assert "approximate" not in table_text(older, RESULTS)
    assert "self-recon over" not in table_text(older, RESULTS)
    assert "; approximate: 12\n" in table_text({**older, "gallery_persons": 12}, RESULTS)


def test_long_names_do_not_widen_the_table():
    text = table_text(PROTOCOL, {"a swapper of somebody else": {**RESULTS["trained"], "kind": "other"}, **RESULTS})
    assert "a swapper .." in text
    assert max(map(len, text.splitlines())) <= 80


def test_json_is_read_back_with_null_for_nan(tmp_path):
    write_evaluation(tmp_path / "run" / "evaluation.json", PROTOCOL, RESULTS)
    text = (tmp_path / "run" / "evaluation.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["results"]["copy_source"]["self_reconstruction_l1"] == {
        "value": 0,
        "low": None,
        "high": None,
    }
    content = read_evaluation(tmp_path / "run")
    assert content["format"] == FORMAT
    assert content["results"]["trained"] == RESULTS["trained"]
    assert table_text(content["protocol"], content["results"]) == TABLE


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (("protocol", "chance"), "protocol lacks chance"),
        (("protocol", "pose", "noise_floor_deg"), "protocol.pose lacks noise_floor_deg"),
        (("results", "do_nothing"), "results lacks do_nothing"),
        (("results", "trained", "kind"), "results.trained.kind is None"),
        (("results", "trained", "pose_error_deg"), "results.trained lacks pose_error_deg"),
        (("results", "trained", "pose_error_deg", "high"), "results.trained.pose_error_deg lacks high"),
        (("results", "trained", "slices", "yaw >= 25", "pairs"), "results.trained.slices.yaw >= 25 lacks pairs"),
        (("results", "trained", "slices", "yaw >= 25", "id_similarity"), "slices.yaw >= 25 lacks id_similarity"),
    ],
)
def test_what_is_missing_is_named_and_nothing_written(tmp_path, path, message):
    content = copy.deepcopy({"protocol": PROTOCOL, "results": RESULTS})
    content["results"]["trained"]["slices"] = {"yaw >= 25": {**RESULTS["trained"], "pairs": 10}}
    write_evaluation(tmp_path / "whole.json", **content)
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    with pytest.raises(ValueError, match=message):
        write_evaluation(tmp_path / "evaluation.json", **content)
    assert not (tmp_path / "evaluation.json").exists()


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_evaluation(tmp_path / "file" / "evaluation.json", PROTOCOL, RESULTS)
