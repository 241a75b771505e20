"""``simswap-evaluate`` through its command line, on a checkpoint of a real debug run."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from simswap import checkpoint
from simswap.checkpoint import KEY, write_slim
from simswap.errors import InputError
from simswap.evaluate import main
from simswap.launching.claims import claimed
from simswap.tracking.evaluation_names import check_name
from simswap.train import main as train
from tests.test_train import one_line, settings

SMALL = ["protocol.persons=6", "protocol.images_per_person=3", "protocol.pairs=12", "grid_faces=2"]


@pytest.fixture
def run(crops, tmp_path, door):
    """A finished run of one iteration."""
    folder = tmp_path / "run"
    code, _, errors = door(train, *settings(crops, folder), "trainer.max_steps=1", "trainer.val_check_interval=1")
    assert code == 0, errors
    return folder


def test_one_evaluation_at_a_time_in_a_folder(tmp_path, door):
    (tmp_path / "any.ckpt").write_bytes(b"")
    with claimed(tmp_path / "out", "evaluation"):
        code, _, errors = door(main, f"checkpoint={tmp_path / 'any.ckpt'}", f"out={tmp_path / 'out'}")
    assert code == 2
    assert one_line(errors).startswith(f"error: {tmp_path / 'out'} is in use: evaluation by process ")


def test_a_checkpoint_alone_is_enough(run, door):
    last = run / "checkpoints" / "last.ckpt"
    write_slim(last, run / "slim.ckpt")
    more = [f"shipped={run / 'slim.ckpt'}", "gaze=builtin", "slices.min_pairs=4", "worst_pairs=3"]
    code, out, errors = door(main, f"checkpoint={last}", *more, *SMALL)
    assert code == 0, errors
    content = json.loads((run / "evaluation.json").read_text())
    protocol, results = content["protocol"], content["results"]
    assert {name: entry["kind"] for name, entry in results.items()} == {
        "trained": "trained",
        "shipped": "shipped",
        "do_nothing": "control",
        "copy_source": "control",
    }
    assert protocol["gallery_persons"] == 6
    assert protocol["pairs"] == 12
    assert protocol["judge"]["same_network"] is False
    assert protocol["recognizer"]["sha256"] == checkpoint.load(last).description["recognizer"]["sha256"]
    assert protocol["chance"] == pytest.approx(1 / 6)
    # What was measured, with what: hashes, iteration and every instrument's settings.
    assert [results[name]["iteration"] for name in ("trained", "shipped")] == [1, 1]
    assert results["trained"]["sha256"] == checkpoint.load(last).sha256
    assert (protocol["precision"], protocol["template"]) == ("fp32", "arcface")
    for name in ("judge", "recognizer", "pose", "gaze", "faces"):
        assert {"name", "sha256", "settings", "digest"} <= set(protocol[name]), name
    assert protocol["faces"]["settings"]["kind"] == "prepared crops"

    # The controls' figures are known: doing nothing keeps pose and picture, copying the source is the source.
    nothing, copied = results["do_nothing"], results["copy_source"]
    assert nothing["pose_error_deg"]["value"] == 0
    assert nothing["self_reconstruction_l1"]["value"] == 0
    assert nothing["target_similarity"]["value"] == pytest.approx(1, abs=1e-5)
    assert copied["id_retrieval"]["value"] == 1
    assert copied["id_similarity"]["value"] == pytest.approx(1, abs=1e-5)
    assert copied["pose_error_deg"]["value"] > 2
    # Half precision moves the shipped net's figures by little.
    for figure in ("id_similarity", "pose_error_deg"):
        trained = results["trained"][figure]["value"]
        assert results["shipped"][figure]["value"] == pytest.approx(trained, rel=0.05, abs=0.02)

    # 32-px crops are too coarse for the gaze's floor, but the target's own gaze is nearer than another face's.
    assert nothing["gaze_error_deg"]["value"] < copied["gaze_error_deg"]["value"]
    assert "gaze error" in out
    assert copied["identity_loss"]["value"] == pytest.approx(0, abs=1e-5)
    # Every pair's figures stand beside it, and their means are the figures.
    table = parquet.read_table(run / "evaluation_pairs.parquet").to_pydict()
    assert table["swapper"] == [name for name in results for _ in range(12)]
    assert table["pair"] == [*range(12)] * 4
    assert all(a != b for a, b in zip(table["source_person"], table["target_person"], strict=True))
    assert table["target"][0] == f"crops/{table['target_person'][0]}/{Path(table['target'][0]).name}"
    for figure in ("identity_loss", "id_retrieval", "pose_error_deg", "self_reconstruction_l1"):
        assert np.nanmean(table[figure][:12]) == pytest.approx(results["trained"][figure]["value"], rel=1e-9)
        assert np.isfinite(table[figure][:12]).sum() == results["trained"][figure]["n"]
    # A target counts once in self-reconstruction, and all of this is said.
    assert results["trained"]["self_reconstruction_l1"]["n"] == protocol["targets"] == len(set(table["target"]))
    assert (protocol["source_persons"], protocol["target_persons"]) == (6, 6)
    assert f"self-recon over {protocol['targets']} distinct targets" in out
    assert "approximate: 6" in out
    assert copied["id_retrieval"]["low"] < 0.9
    assert copied["id_retrieval"]["high"] == 1
    lines = "".join(f"{a}\t{b}\n" for a, b in zip(table["target"][:12], table["source"][:12], strict=True))
    assert protocol["pairs_sha256"] == hashlib.sha256(lines.encode()).hexdigest()

    slices = results["copy_source"]["slices"]
    assert "yaw >= 25" in slices
    assert 0 < slices["yaw >= 25"]["targets"] <= slices["yaw >= 25"]["pairs"] <= 12
    assert 0 < slices["yaw >= 25"]["source_persons"] <= 6
    for kind, file in (("trained", "evaluation_worst.png"), ("shipped", "evaluation_worst_shipped.png")):
        worst = results[kind]["worst"]
        counts = {name: len(entries) for name, entries in worst.items()}
        assert counts == {"pose_error_deg": 3, "identity_share": 3, "no_result": 0, "no_pose": 0}
        first = worst["pose_error_deg"][0]
        start = 12 * list(results).index(kind)
        assert first["pose_error_deg"] == max(table["pose_error_deg"][start : start + 12])
        assert first["target"] == table["target"][first["pair"]]
        with Image.open(run / file) as picture:
            assert picture.text["Checkpoint"] == f"sha256:{results[kind]['sha256']}"  # type: ignore[attr-defined]
    assert "worst" not in nothing
    # What was measured on the faces slices the pairs too, alike for every swapper.
    assert protocol["slices"]["cosine"]["rule"] == "thirds of the pairs"
    assert len(protocol["slices"]["target_yaw"]["slices"]) == 3
    for name, part in protocol["slices"]["cosine"]["slices"].items():
        assert part["pairs"] == 4
        assert all(result["slices"][name]["pairs"] == 4 for result in results.values()), name
    similarity = [results["copy_source"]["slices"][f"cosine {part}"]["target_similarity"]["value"]
                  for part in ("low", "middle", "high")]  # fmt: skip
    assert similarity == sorted(similarity)
    assert "trained by cosine" in out
    with Image.open(run / "evaluation.png") as grid:
        assert grid.text["Description"] == "synthetic face swap"  # type: ignore[attr-defined]
        assert grid.text["Checkpoint"].startswith("sha256:")  # type: ignore[attr-defined]
    assert "do_nothing" in out
    assert str(run / "evaluation.json") in out


def test_an_earlier_evaluation_is_kept(run, door):
    last = run / "checkpoints" / "last.ckpt"
    assert door(main, f"checkpoint={last}", *SMALL)[0] == 0
    before = (run / "evaluation.json").read_bytes()
    assert door(main, f"checkpoint={last}", *SMALL, "protocol.pairs=6")[0] == 0
    (kept,) = run.glob("evaluation_*.json")
    assert kept.read_bytes() == before
    assert len(list(run.glob("evaluation_pairs_*.parquet"))) == 1


def test_a_named_evaluation_stands_beside_the_first(run, door):
    last, folder = run / "checkpoints" / "last.ckpt", run / "evaluations"
    assert door(main, f"checkpoint={last}", *SMALL)[0] == 0
    first = {file.name: file.read_bytes() for file in run.glob("evaluation*.*")}
    code, out, errors = door(main, f"checkpoint={last}", *SMALL, "name=six", "protocol.pairs=6")
    assert code == 0, errors
    assert {file.name: file.read_bytes() for file in run.glob("evaluation*.*")} == first
    assert {"six.json", "six_pairs.parquet", "six.png"} <= {file.name for file in folder.iterdir()}
    assert json.loads((folder / "six.json").read_text())["protocol"]["pairs"] == 6
    assert parquet.read_table(folder / "six_pairs.parquet").num_rows == 18
    assert f"figures: {folder / 'six.json'}" in out
    before = (folder / "six.json").read_bytes()
    assert door(main, f"checkpoint={last}", *SMALL, "name=six")[0] == 0
    (kept,) = folder.glob("six_2*.json")
    assert kept.read_bytes() == before


@pytest.mark.parametrize("name", ["a/b", "..", "", "a b", "-a", "a_pairs", "a_2026-01-02_03-04-05", "x" * 65])
def test_a_name_that_is_no_files_is_refused(name):
    with pytest.raises(InputError, match=r"^name="):
        check_name(name)


def test_without_a_judge_the_table_says_same_network(run, door):
    code, out, _ = door(main, f"checkpoint={run / 'checkpoints' / 'last.ckpt'}", "judge=none", *SMALL)
    assert code == 0
    assert "same network" in out


def test_two_judges_in_one_evaluation(run, tmp_path, door):
    last = run / "checkpoints" / "last.ckpt"
    code, one, errors = door(main, f"checkpoint={last}", "judge=builtin", f"out={tmp_path / 'one'}", *SMALL)
    assert code == 0, errors
    more = ["judges.second=builtin", "judges.second._target_=simswap.models.builtin.recognizer", "judges.gone=none"]
    code, two, errors = door(main, f"checkpoint={last}", "judge=builtin", f"out={tmp_path / 'two'}", *SMALL, *more)
    assert code == 0, errors
    alone, both = (json.loads((tmp_path / name / "evaluation.json").read_text()) for name in ("one", "two"))
    (second,) = both["protocol"].pop("judges")
    assert second["key"] == "second"
    assert second["same_network"] is True
    assert second["sha256"] == both["protocol"]["recognizer"]["sha256"]
    assert second["chance"] == pytest.approx(1 / 6)
    assert both["protocol"] == alone["protocol"]
    table = parquet.read_table(tmp_path / "two" / "evaluation_pairs.parquet").to_pydict()
    for place, (name, entry) in enumerate(both["results"].items()):
        judged = entry.pop("judges")["second"]
        assert {"id_retrieval", "id_retrieval_top5", "id_retrieval_without_source", "id_similarity", "identity_share",
                "target_similarity", "judges_agree", "judges_kappa", "missed_results"} == set(judged)  # fmt: skip
        for figure in ("id_retrieval", "identity_share", "judges_agree"):
            column = np.array(table[f"judges.second.{figure}"][12 * place : 12 * place + 12])
            assert np.nanmean(column) == pytest.approx(judged[figure]["value"], abs=1e-7)
        # The second judge is the network trained with, whose view of the faces the identity loss has.
        assert judged["id_similarity"]["value"] == pytest.approx(1 - entry["identity_loss"]["value"], abs=1e-6)
        entry.pop("identity_share")
        for part in entry["slices"].values():
            assert part.pop("judges")["second"]["identity_share"]["n"] == part["pairs"]
            part.pop("identity_share")
        assert entry == alone["results"][name]
    assert "by judges.second" in two
    assert "judges.second: same network as the one trained with" in " ".join(two.split())
    assert "by judges" not in one


def test_bad_judges_are_named_in_one_line(run, tmp_path, door):
    def complaint(*arguments: str) -> str:
        out = tmp_path / "out"
        last = run / "checkpoints" / "last.ckpt"
        code, _, errors = door(main, f"checkpoint={last}", f"out={out}", "judge=builtin", *SMALL, *arguments)
        assert code == 2
        assert not (out / "evaluation.json").exists()
        return one_line(errors)

    assert "judges.second.path has no value" in complaint("judges.second=onnx")
    assert "judges.second: nowhere.onnx: no such file" in complaint(
        "judges.second=onnx", "judges.second.path=nowhere.onnx"
    )
    assert "judges.second=onx: there is no such choice; did you mean onnx?" in complaint("judges.second=onx")
    assert "judges.second=[onnx,dlib]: judge takes one network" in complaint("judges.second=[onnx,dlib]")
    assert "judges.b and judge are the same network" in complaint("judges.b=of_training")
    assert "judges.b and judge are the same network" in complaint("judges.b=builtin")
    assert "not on the list" in complaint("judges.b=builtin", "judges.b._target_=os.system")
    code, _, errors = door(main, "checkpoint=null", "judge=builtin", "pose=builtin", "judges.b=of_training")
    assert (code, one_line(errors)) == (
        2,
        "error: judges.b=of_training takes the judge from a checkpoint, and there is none here: give another",
    )


def change(last, out, edit):
    content = torch.load(last, weights_only=True)
    edit(content)
    torch.save(content, out)


def test_bad_checkpoints_are_named_in_one_line(run, crops, tmp_path, door):
    last = run / "checkpoints" / "last.ckpt"
    bad = tmp_path / "bad.ckpt"

    def complaint(*arguments: str) -> str:
        code, _, errors = door(main, f"checkpoint={bad}", *SMALL, *arguments)
        assert code == 2
        assert not (tmp_path / "evaluation.json").exists()
        return one_line(errors)

    assert "no such checkpoint" in complaint()
    bad.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    assert "is a zip or torch file that is cut off, not a checkpoint" in complaint()
    bad.write_text("not a checkpoint at all")
    assert "is a text file (not a checkpoint at all), not a checkpoint" in complaint()
    torch.save({"state_dict": {}}, bad)
    assert "does not describe itself" in complaint()
    change(last, bad, lambda c: c[KEY]["recognizer"].update(sha256="0" * 64))
    assert "was trained with the recognizer" in complaint()
    change(last, bad, lambda c: c["state_dict"].pop("ema.last.1.bias"))
    assert "damaged checkpoint" in complaint()
    change(last, bad, lambda c: c[KEY].update(format=99))
    assert "newer version" in complaint()
    change(last, bad, lambda c: c[KEY]["config"]["recognition"].update(_target_="os.system"))
    assert "names an unknown recognizer" in complaint()
    change(last, bad, lambda c: c[KEY].update(image_size=64))
    assert "prepare the images with" in complaint()
    shutil.copy(last, bad)
    assert "simswap-prepare" in complaint("data.root=nowhere")
    assert "missing.onnx" in complaint("recognition.path=missing.onnx")
    assert "did you mean pairs?" in complaint("+protocol.pair=3")


def test_a_checkpoint_runs_no_code(tmp_path, door):
    """A pickle that would call something is refused, and nothing is called."""
    marker = tmp_path / "ran"

    class Hostile:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    torch.save({KEY: Hostile(), "state_dict": {}}, tmp_path / "hostile.ckpt")
    code, _, errors = door(main, f"checkpoint={tmp_path / 'hostile.ckpt'}", *SMALL)
    assert code == 2
    assert "is no checkpoint" in one_line(errors)
    assert not marker.exists()
