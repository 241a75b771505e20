"""The FaceForensics++ protocol on incomplete and on wrong input."""

import json
import shutil

import pytest
from tests.evaluation.lookalike import command, write_lookalike
from tests.test_train import one_line

from simswap.evaluate import main

NAMES = ("000", "001", "002", "003")


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_lookalike(tmp_path_factory.mktemp("ff"))


def test_bad_videos_are_counted_and_listed(videos, tmp_path, door):
    root = tmp_path / "ff"
    shutil.copytree(videos, root)
    original = root / "original_sequences/youtube/c23/videos"
    (original / "003.mp4").write_bytes(b"")
    lines = (root / "landmarks.csv").read_text().splitlines()
    (root / "landmarks.csv").write_text("\n".join(line for line in lines if not line.startswith("001/3,")) + "\n")
    (root / "manipulated_sequences/Rendered/c23/videos/000_001.mp4").unlink()
    out = tmp_path / "out"
    code, _, errors = door(main, *command(root, out))
    assert code == 2
    assert "frames cannot be used, more than protocol.max_skipped_share=0.1" in one_line(errors)
    code, text, errors = door(
        main, *command(root, out, "protocol.max_skipped_share=0.5", "checkpoint=null", "judge=builtin", "pose=builtin")
    )
    assert code == 0, errors
    listed = (out / "evaluation_skipped.csv").read_text()
    assert '"video 001, frame 3",no face' in listed
    assert "video 003,is an empty file and no video" in listed
    assert "pair 002_003,one of its videos has no usable face" in listed
    assert '"Rendered, video 000_001",is not there' in listed
    content = json.loads((out / "evaluation.json").read_text())
    assert content["protocol"]["pairs"] == 5  # three frames of 000 and two of 001
    assert content["protocol"]["recognizer"] is None
    assert content["results"]["Rendered"]["missed_results"] == 3
    assert "Rendered: 3 of 5 pairs have no usable result" in text
    assert "no checkpoint of ours" in text


@pytest.mark.parametrize(
    ("change", "arguments", "complaint"),
    [
        (None, ["protocol.landmarks=null"], "nothing gives face positions"),
        (None, ["protocol.gallery=some"], "it takes all or pairs"),
        ("missing", [], "the pairs name 1 videos that are not in"),
        ("list", [], "is not a pair of video names"),
        (None, ["protocol.swaps=nowhere"], "nowhere does not exist"),
        (None, ["checkpoint=null"], "judge=of_training takes the judge from a checkpoint, and there is none"),
        (None, ["checkpoint=null", "judge=builtin"], "pose=of_training takes the pose estimator from a checkpoint"),
        (None, ["checkpoint=null", "judge=none", "pose=builtin"], "no checkpoint whose recognizer could judge"),
        (None, ["protocol.size=32"], "prepare the images with"),
        (None, ["baselines=[clasical]"], "did you mean classical?"),
    ],
)
def test_bad_input_is_one_line(videos, tmp_path, door, change, arguments, complaint):
    root = videos
    if change:
        root = tmp_path / "ff"
        shutil.copytree(videos, root)
        if change == "missing":
            (root / "original_sequences/youtube/c23/videos/002.mp4").unlink()
        else:
            (root / "splits/test.json").write_text('[["000", 1]]')
    code, _, errors = door(main, *command(root, tmp_path / "out", *arguments))
    assert code == 2
    assert complaint in one_line(errors)
    assert not (tmp_path / "out" / "evaluation.json").exists()


def test_pairs_without_their_videos_are_left_out_at_a_word(videos, tmp_path, door):
    root = tmp_path / "ff"
    shutil.copytree(videos, root)
    for name in ("002", "003"):
        (root / f"original_sequences/youtube/c23/videos/{name}.mp4").unlink()
    many = [["000", "001"], *([f"{k:03d}", f"{k + 1:03d}"] for k in range(100, 140, 2))]  # 40 that nobody fetched
    (root / "splits/test.json").write_text(json.dumps([*many, ["002", "003"]]))
    out, more = tmp_path / "out", ["checkpoint=null", "judge=builtin", "pose=builtin"]
    code, _, errors = door(main, *command(root, out, *more))
    assert code == 2
    assert "the pairs name 42 videos that are not in" in one_line(errors)
    code, _, errors = door(main, *command(root, out, *more, "protocol.missing=skip"))
    assert code == 0, errors
    content = json.loads((out / "evaluation.json").read_text())
    assert content["protocol"]["pairs"] == 6
    assert (out / "evaluation_skipped.csv").read_text().count("its pairs are left out") == 42


@pytest.mark.real
def test_padded_and_unpadded_frames_give_the_same_figures(shared, tmp_path, door):
    results = []
    for name in ("ff_padded", "ff_unpadded"):
        root, out = shared / "cases" / name, tmp_path / name
        code, _, errors = door(
            main,
            "checkpoint=null",
            "protocol=faceforensics",
            f"protocol.root={root}",
            "protocol.originals=orig",
            "protocol.pairs=swaps",
            f"protocol.swaps={root / 'swaps'}",
            "protocol.frames=12",
            f"out={out}",
            "detector=insightface",
            f"detector.pack={shared / 'models' / 'lite'}",
            "judge=builtin",
            "pose=builtin",
        )
        assert code == 0, errors
        results.append(json.loads((out / "evaluation.json").read_text())["results"])
    assert results[0] == results[1]
    assert results[0]["swaps"]["pose_error_deg"]["value"] < 1.5  # these swaps are their targets
