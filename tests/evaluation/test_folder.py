"""``protocol=folder``: finished swaps of anybody, by the command line."""

import csv
import json
import shutil
import unicodedata

import cv2
import numpy as np
import pytest
from pyarrow import parquet
from tests.models.test_features import write_features
from tests.test_train import one_line

from simswap.evaluate import main
from simswap.rendered.dataset import LANDMARK_COLUMNS, photo

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
    return [
        *INSTRUMENTS,
        f"protocol.pairs={folder / 'pairs.csv'}",
        f"protocol.root={folder / 'results'}",
        f"protocol.landmarks={folder / 'landmarks.csv'}",
        f"out={folder / 'out'}",
        *more,
    ]


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
    [(["../x.png", "1/0.png", "0/0.png", "1"], "is not inside"), (["/etc/hosts", "a", "b", "c"], "is not inside")],
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


def rewrite(folder, header, rows, encoding="utf-8", delimiter=","):
    with open(folder / "pairs.csv", "w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])


def copies_of_sources(swaps, names):
    """Three perfect swaps: each result is its source, bit for bit; rows of result, source, target, source's person and
    target's, where the three persons bear these names."""
    rows = []
    for k, (target, source) in enumerate([("0/0", "1/0"), ("1/1", "2/0"), ("2/1", "0/1")]):
        (swaps / "results" / f"{k:07d}.png").write_bytes((swaps / "results" / f"{source}.png").read_bytes())
        rows.append([f"{k:07d}.png", f"{source}.png", f"{target}.png", names[int(source[0])], names[int(target[0])]])
    return rows


COLUMNS = ["result", "source", "target", "source_person", "target_person"]


@pytest.mark.parametrize(
    ("names", "options"),
    [
        (["0000001", "01", "1"], {}), (["NA", "null", "None"], {"delimiter": ";"}), (["nan", "TRUE", "true"], {}),
        (["1e3", "1000", "1000.0"], {"encoding": "utf-16"}), (["", "", ""], {"delimiter": "\t"}),
        (["", "Ann", ""], {"encoding": "utf-8-sig"}),
    ],
)  # fmt: skip
def test_persons_are_what_is_written_and_perfect_swaps_are_perfect(swaps, door, names, options):
    rewrite(swaps, COLUMNS, copies_of_sources(swaps, names), **options)
    code, _, errors = door(main, *arguments(swaps))
    assert code == 0, errors
    content = json.loads((swaps / "out" / "evaluation.json").read_text())
    assert content["results"]["results"]["id_retrieval"]["value"] == 1
    # Six pictures: with persons named, two of a person; without, each picture counts as a person of its own.
    assert content["protocol"]["gallery_persons"] == {0: 3, 2: 5, 3: 6}[names.count("")]


def test_names_match_in_either_unicode_form(swaps, door):
    rows = copies_of_sources(swaps, ["a", "b", "c"])
    content = (swaps / "results" / rows[0][0]).read_bytes()
    composed, decomposed = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    (swaps / "results" / f"{decomposed}.png").write_bytes(content)
    rows[0] = [f"{composed}.png", *rows[0][1:3], composed, "a"]
    rows[1] = [*rows[1][:4], decomposed]  # the same person of the other form, as the target of another row
    rewrite(swaps, COLUMNS, rows)
    code, _, errors = door(main, *arguments(swaps))
    assert code == 0, errors
    assert json.loads((swaps / "out" / "evaluation.json").read_text())["protocol"]["gallery_persons"] == 3


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda rows: [*rows, [*rows[0][:3], "z", "a"]], "is already in row 1"),
        (lambda rows: [*rows, ["r0.png", *rows[0][1:3], "z", "a"]], "shows the person 'z', and in a row above 'b'"),
        (lambda rows: [["", *rows[0][1:]]], "row 1: the column result is empty"),
        (lambda rows: [rows[0][:3]], "Expected 5 columns, got 3"),
    ],
)
def test_tables_that_contradict_themselves_are_refused(swaps, door, change, complaint):
    rewrite(swaps, COLUMNS, change(copies_of_sources(swaps, ["a", "b", "c"])))
    code, _, errors = door(main, *arguments(swaps))
    assert code == 2
    assert complaint in one_line(errors)
    assert not (swaps / "out" / "evaluation.json").exists()


def test_a_gallery_that_names_other_persons_is_refused_and_system_folders_are_no_persons(swaps, door):
    for person in "012":
        shutil.copytree(swaps / "results" / person, swaps / "results" / "g" / person)
    shutil.copytree(swaps / "results" / "1", swaps / "results" / "g" / "@eaDir")
    text = (swaps / "landmarks.csv").read_text().splitlines()
    (swaps / "landmarks.csv").write_text("\n".join([*text, *(f"g/{line}" for line in text[1:])]))

    def start(names):
        rows = copies_of_sources(swaps, names)
        rewrite(swaps, COLUMNS, [[row[0], f"g/{row[1]}", f"g/{row[2]}", *row[3:]] for row in rows])
        return door(main, *arguments(swaps, f"protocol.gallery={swaps / 'results' / 'g'}"))

    code, _, errors = start(["0", "1", "2"])
    assert code == 0, errors
    facts = json.loads((swaps / "out" / "evaluation.json").read_text())["protocol"]
    assert (facts["gallery_persons"], facts["gallery_images"]) == (3, 6)
    code, _, errors = start(["0", "1", "other"])
    assert code == 2
    assert "shows the person 'other', and in protocol.gallery it is in the folder '2'" in one_line(errors)


def test_landmarks_that_can_be_no_face_are_said(swaps, door):
    text = (swaps / "landmarks.csv").read_text().splitlines()
    rows = [line.split(",") for line in text[1:]]
    mixed = [[row[0], *(row[1 + place] for place in (2, 3, 0, 1, 4, 5, 8, 9, 6, 7))] for row in rows]
    (swaps / "landmarks.csv").write_text("\n".join([text[0], *(",".join(row) for row in mixed)]))
    code, _, errors = door(main, *arguments(swaps))
    assert code == 2
    assert "the eyes are on exchanged sides" in one_line(errors)
