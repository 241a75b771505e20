"""``protocol=folder``: finished swaps of anybody, by the command line."""

import csv
import json

import cv2
import numpy as np
import pytest
from pyarrow import parquet
from tests.models.test_features import write_features
from tests.test_train import one_line

from simswap.evaluate import main
from simswap.faces.rendered_dataset import LANDMARK_COLUMNS, photo

INSTRUMENTS = ["checkpoint=null", "protocol=folder", "judge=builtin", "pose=builtin"]


@pytest.fixture
def swaps(tmp_path):
    """Photos of three persons, two each, and 'swaps' that copy the source or the target, with their table."""
    root, rows = tmp_path / "results", []
    for person in range(3):
        for image in range(2):
            shown = photo(4, person, image, 96)[0]
            name = f"{person}/{image}"
            (root / f"{person}").mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / f"{name}.png"), shown.image[..., ::-1])
            rows.append([name, *shown.landmarks.ravel()])
    pairs = [("0/0", "1/0"), ("1/1", "2/0"), ("2/1", "0/1"), ("0/1", "2/1")]
    for k, (target, source) in enumerate(pairs):
        copied = source if k == 3 else target  # the last one copies the source
        content = (root / f"{copied}.png").read_bytes()
        (root / f"r{k}.png").write_bytes(content)
    with open(tmp_path / "landmarks.csv", "w", newline="") as file:
        csv.writer(file).writerows([["NAME_ID", *LANDMARK_COLUMNS], *rows])
    write(tmp_path, pairs)
    return tmp_path


def write(folder, pairs, extra=()):
    lines = [["result", "source", "target", "source_person"]]
    lines += [[f"r{k}.png", f"{s}.png", f"{t}.png", s[0]] for k, (t, s) in enumerate(pairs)]
    with open(folder / "pairs.csv", "w", newline="") as file:
        csv.writer(file).writerows([*lines, *extra])


def arguments(folder, *more):
    return [*INSTRUMENTS, f"protocol.pairs={folder / 'pairs.csv'}", f"protocol.root={folder / 'results'}",
            f"protocol.landmarks={folder / 'landmarks.csv'}", f"out={folder / 'out'}", *more]  # fmt: skip


def test_results_are_measured_without_a_network_of_ours(swaps, door):
    code, text, errors = door(main, *arguments(swaps, "protocol.method=theirs", "baselines=[classical]"))
    assert code == 0, errors
    content = json.loads((swaps / "out" / "evaluation.json").read_text())
    table = parquet.read_table(swaps / "out" / "evaluation_pairs.parquet").to_pydict()
    theirs = [k for k, name in enumerate(table["swapper"]) if name == "theirs"]
    assert [table["target"][k] for k in theirs] == ["0/0.png", "1/1.png", "2/1.png", "0/1.png"]
    assert [table["source_person"][k] for k in theirs] == ["1", "2", "0", "2"]
    # Three results are their targets, bit for bit: no pose error, and the target is what is nearest.
    assert [table["pose_error_deg"][k] for k in theirs][:3] == [0, 0, 0]
    assert [table["target_similarity"][k] for k in theirs][:3] == pytest.approx([1, 1, 1], abs=1e-5)
    assert [table["id_retrieval"][k] for k in theirs][:3] == [0, 0, 0]
    assert content["results"]["theirs"]["self_reconstruction_l1"]["value"] is None
    assert content["results"]["classical"]["kind"] == "other"
    assert content["results"]["classical"]["self_reconstruction_l1"]["value"] == pytest.approx(0, abs=1e-3)
    assert content["protocol"]["result_windows"] == "4 in the target's window, 0 where their own face is"
    assert content["protocol"]["gallery_images"] == 6
    assert "theirs" in text


def test_finished_crops_need_no_detector(swaps, door):
    features = write_features(swaps / "features.onnx")
    aligned = ["protocol.aligned=true", "protocol.landmarks=null", "protocol.size=64"]
    code, text, errors = door(main, *arguments(swaps, *aligned, "fid=onnx", f"fid.path={features}"))
    assert code == 0, errors
    content = json.loads((swaps / "out" / "evaluation.json").read_text())
    assert content["protocol"]["image_size"] == 64
    assert content["results"]["copy_source"]["id_retrieval"]["value"] == 1
    # A feature network was given: the controls say what its figure is worth.
    assert content["protocol"]["fid"]["name"] == "features, 16 px"
    assert content["results"]["do_nothing"]["fid"]["value"] == pytest.approx(0, abs=1e-6)
    assert content["results"]["results"]["fid"]["value"] > 0
    assert "FID" in text


def test_what_cannot_be_used_is_counted_and_listed(swaps, door):
    (swaps / "results" / "broken.png").write_bytes(b"no picture")
    wide = cv2.imread(str(swaps / "results" / "0" / "0.png"))
    cv2.imwrite(str(swaps / "results" / "wide.png"), np.hstack([wide, wide]))
    extra = [["nowhere.png", "1/0.png", "0/0.png", "1"], ["broken.png", "1/0.png", "0/0.png", "1"],
             ["wide.png", "1/0.png", "0/0.png", "1"]]  # fmt: skip
    write(swaps, [("0/0", "1/0"), ("1/1", "2/0")], extra)
    code, _, errors = door(main, *arguments(swaps))
    assert code == 2
    assert "3 of 5 entries cannot be used" in one_line(errors)
    assert door(main, *arguments(swaps, "protocol.max_skipped_share=0.7"))[0] == 0
    listed = (swaps / "out" / "evaluation_skipped.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in listed] == ["what", "nowhere.png", "broken.png", "wide.png"]
    assert listed[3] == "wide.png,no face"
    content = json.loads((swaps / "out" / "evaluation.json").read_text())
    assert (content["protocol"]["pairs"], content["protocol"]["skipped"]) == (2, 3)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [(["../x.png", "1/0.png", "0/0.png", "1"], "does not lie inside"), (["/etc/hosts", "a", "b", "c"], "does not lie")],
)
def test_paths_stay_inside(swaps, door, row, complaint):
    write(swaps, [], [row])
    code, _, errors = door(main, *arguments(swaps))
    assert code == 2
    assert complaint in one_line(errors)


def test_a_table_without_its_columns(swaps, door):
    (swaps / "pairs.csv").write_text("result,source\na,b\n")
    code, _, errors = door(main, *arguments(swaps))
    assert code == 2
    assert "has no column target" in one_line(errors)
