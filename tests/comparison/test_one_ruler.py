"""What must not stand in one table: stale evaluations, other crops, other instruments, other checkpoints."""

import json
import os
import shutil

import pytest

from simswap.comparison.collected import load_local
from simswap.comparison.comparison import compare_runs
from simswap.errors import InputError
from simswap.files import sha256_of
from simswap.measuring.window import OF_CROPS
from simswap.models.described import digest
from simswap.tracking.runs import find_runs
from tests.comparison.made import made_run


def described(name, sha256="a" * 64, **settings):
    return {"name": name, "sha256": sha256, "settings": settings, "digest": digest([sha256, settings])}


def compared(folder, **arguments):
    runs, left_out = load_local(str(folder), "evaluation", [], lambda config: True)
    return compare_runs(runs, title="made", left_out=left_out, **arguments)


def change(run, **entry):
    """Change the trained swapper's entry in evaluation.json."""
    file = run / "evaluation.json"
    content = json.loads(file.read_text())
    content["results"]["trained"] |= entry
    file.write_text(json.dumps(content))


def checkpoint(run, name, content=b"weights"):
    file = run / "checkpoints" / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    return file


PNP = {"kind": "pnp", "size": 128, "threshold": 0.3}
PASTED = described("photo", "", kind="photo", extent=1.0, feather=0.35, color="none", detail=1.0)
OTHERS = {
    "measuring windows": {"window": PASTED},
    "crop templates": {"template": "ffhq"},
    "precisions": {"precision": "bf16"},
    "pose estimators": {"pose": described("five-point PnP", **PNP | {"threshold": 0.5})},
    "judges": {"judge": described("judge", view="bicubic") | {"same_network": False}},
    "ways of finding faces": {"faces": described("det", kind="detector", size=320, threshold=0.5)},
    "galleries": {"gallery_sha256": "2" * 64},
}
SAME = {
    "template": "arcface", "precision": "fp32", "pose": described("five-point PnP", **PNP),
    "judge": described("judge", view="warp") | {"same_network": False},
    "faces": described("det", kind="detector", size=640, threshold=0.5), "gallery_sha256": "1" * 64,
}  # fmt: skip


@pytest.mark.parametrize("what", list(OTHERS))
def test_runs_measured_otherwise_are_refused_by_what_differs(tmp_path, what):
    made_run(tmp_path / "a", seed=1, protocol=SAME)
    made_run(tmp_path / "b", seed=2, protocol=SAME)
    assert not [note for note in compared(tmp_path).notes if "older" in note]
    made_run(tmp_path / "c", seed=3, protocol=SAME | OTHERS[what])
    with pytest.raises(InputError, match=f"a and c were measured with different {what} \\("):
        compared(tmp_path)


def test_the_setting_that_differs_is_named(tmp_path):
    made_run(tmp_path / "a", protocol=SAME)
    made_run(tmp_path / "b", seed=1, protocol=SAME | OTHERS["pose estimators"])
    with pytest.raises(InputError, match=r"sha256 aaaaaaaa, threshold=0.3 and .*sha256 aaaaaaaa, threshold=0.5\)"):
        compared(tmp_path)


def test_windows_are_told_apart_by_their_paste_and_earlier_evaluations_measured_crops(tmp_path):
    made_run(tmp_path / "a", protocol=SAME)
    made_run(tmp_path / "b", seed=1, protocol=SAME | {"window": OF_CROPS})
    compared(tmp_path)
    made_run(tmp_path / "c", seed=2, protocol=SAME | {"window": PASTED})
    with pytest.raises(InputError, match=r"different measuring windows \(crop and photo\), so their figures cannot be"):
        compared(tmp_path)
    softer = described("photo", "", **PASTED["settings"] | {"feather": 0.5})
    for name, window in (("a", PASTED), ("b", softer)):
        made_run(tmp_path / "pasted" / name, protocol=SAME | {"window": window})
    with pytest.raises(InputError, match=r"measuring windows \(photo, feather=0.35 and photo, feather=0.5\)"):
        compared(tmp_path / "pasted")


def test_the_same_network_under_another_name_is_the_same(tmp_path):
    made_run(tmp_path / "a", protocol=SAME)
    made_run(tmp_path / "b", seed=1, protocol=SAME | {"pose": described("renamed", **PNP)})
    assert len(compared(tmp_path).runs) == 2


def test_of_an_older_evaluation_the_settings_are_not_known_and_a_note_says_so(tmp_path):
    made_run(tmp_path / "new", protocol=SAME)
    older = {
        "judge": {"name": "judge", "sha256": "a" * 64, "same_network": False},
        "pose": {"name": "five-point PnP", "sha256": "a" * 64, "noise_floor_deg": 2.6},
    }
    made_run(tmp_path / "old", seed=1, protocol=older)
    assert [note for note in compared(tmp_path).notes if "older versions (their files agree): old." in note]
    made_run(tmp_path / "other", seed=2, protocol=older | {"pose": older["pose"] | {"sha256": "d" * 64}})
    with pytest.raises(InputError, match="different pose estimators"):
        compared(tmp_path)


@pytest.mark.parametrize(
    ("figure", "key"), [("fid", "fid"), ("gaze_error_deg", "gaze"), ("identity_loss", "recognizer")]
)
def test_a_figure_of_two_networks_is_left_out_and_the_others_stay(tmp_path, figure, key):
    one, other = described("net", "1" * 64), described("net", "2" * 64)
    made_run(tmp_path / "a", figures={figure: 0.5}, protocol={key: one})
    made_run(tmp_path / "b", seed=1, figures={figure: 0.6}, protocol={key: one})
    made_run(tmp_path / "c", seed=2, protocol={key: None}, figures={})
    assert figure in compared(tmp_path).runs[0].figures
    made_run(tmp_path / "d", seed=3, figures={figure: 0.7}, protocol={key: other})
    comparison = compared(tmp_path)
    assert all(figure not in run.figures and "id_retrieval" in run.figures for run in comparison.runs)
    assert figure not in [column.name for column in comparison.columns]
    (note,) = (note for note in comparison.notes if note.startswith(f"{figure} is left out"))
    assert "a and d" in note
    assert "sha256 11111111 and net, sha256 22222222" in note


def test_an_evaluation_of_an_earlier_checkpoint_is_stale(tmp_path):
    run = made_run(tmp_path / "a")
    file = checkpoint(run, "last.ckpt")
    facts = {"checkpoint": f"elsewhere/a/checkpoints/{file.name}", "sha256": sha256_of(file)}
    change(run, **facts, iteration=40)  # the run is at 40
    assert len(compared(tmp_path).runs) == 1
    file.write_bytes(b"other weights")
    os.utime(file, ns=(1, (run / "evaluation.json").stat().st_mtime_ns + 10**9))
    made_run(tmp_path / "b", seed=1)
    comparison = compared(tmp_path)
    assert [run.name for run in comparison.runs] == ["b"]
    assert "measured last.ckpt at iteration 40, and the run has changed it since: run" in comparison.left_out[0]
    with pytest.raises(InputError, match="the run has changed it since"):
        compared(run)
    # The same file with a newer date (a copied folder) is what was measured.
    file.write_bytes(b"weights")
    os.utime(file, ns=(1, (run / "evaluation.json").stat().st_mtime_ns + 10**9))
    assert len(compared(tmp_path).runs) == 2
    # A checkpoint that was removed to save space: the iteration still tells.
    shutil.rmtree(file.parent)
    assert len(compared(tmp_path).runs) == 2
    change(run, iteration=20)
    assert (
        "measured last.ckpt at iteration 20, and the run has changed it since (it is at 40 now)"
        in compared(tmp_path).left_out[0]
    )


def test_best_does_not_stand_beside_last_and_other_iterations_are_noted(tmp_path):
    for name, file, iteration in (("a", "best.ckpt", 20), ("b", "best.ckpt", 30), ("c", "last.ckpt", 40)):
        change(
            made_run(tmp_path / name, seed=ord(name)),
            checkpoint=f"runs/{name}/checkpoints/{file}",
            sha256="0" * 64,
            iteration=iteration,
        )
    with pytest.raises(InputError, match=r"a and c were measured by different checkpoints \(best.ckpt and last.ckpt\)"):
        compared(tmp_path)
    shutil.rmtree(tmp_path / "c")
    assert "Measured after different numbers of iterations: a 20, b 30." in compared(tmp_path).notes


def test_missing_results_and_poses_are_noted(tmp_path):
    change(made_run(tmp_path / "a"), missed_poses=3, missed_results=0)
    change(made_run(tmp_path / "b", seed=1), missed_poses=1, missed_results=2)
    notes = compared(tmp_path).notes
    assert "Pairs without a pose, of 12: a 3, b 1. Their figures are over the other pairs." in notes
    assert "Pairs without a usable result, of 12: b 2. Their figures are over the other pairs." in notes


def test_other_shipped_checkpoints_are_told_apart(tmp_path):
    for name, sha256 in (("a", "1"), ("b", "1"), ("c", "2")):
        file = made_run(tmp_path / name, seed=ord(name)) / "evaluation.json"
        content = json.loads(file.read_text())
        content["results"]["shipped"] = content["results"]["trained"] | {"kind": "shipped", "sha256": sha256 * 64}
        file.write_text(json.dumps(content))
    assert [swapper.name for swapper in compared(tmp_path).others] == [
        "shipped",
        "shipped beside c",
        "do_nothing",
        "copy_source",
    ]


def test_a_run_counts_once_however_it_is_reached(tmp_path, monkeypatch):
    made_run(tmp_path / "sweep" / "1")
    made_run(tmp_path / "sweep" / "2", seed=1)
    (tmp_path / "sweep" / "latest").symlink_to(tmp_path / "sweep" / "2")
    (tmp_path / "sweep" / "again").symlink_to(tmp_path / "sweep")  # leads back to where it is
    (tmp_path / "mirror").symlink_to(tmp_path / "sweep")
    monkeypatch.chdir(tmp_path)
    for given in ("sweep", ["sweep", "mirror"], ["sweep/1", f"{tmp_path}/sweep", "mirror/../sweep/1/"]):
        assert len({run.resolve() for run, _ in find_runs(given)}) == len(find_runs(given)) == 2
    assert [named for _, named in find_runs(["sweep", "sweep/latest"])] == [False, True]


def test_validations_by_other_settings_of_one_estimator_are_refused(tmp_path):
    for name, threshold in (("a", 0.3), ("b", 0.5)):
        made_run(tmp_path / name, {"pose.threshold": threshold, "pose.pack": "pack"}, seed=ord(name))
    runs, _ = load_local(str(tmp_path), "validation", [], lambda config: True)
    with pytest.raises(InputError, match="a and b were measured with different pose estimators"):
        compare_runs(runs, title="made")


def test_validations_without_a_judge_are_judged_by_the_network_trained_with(tmp_path):
    for name, path in (("a", "one.onnx"), ("b", "other.onnx")):
        made_run(tmp_path / name, {"recognition.path": path, "judge._target_": None}, seed=ord(name))
    runs, _ = load_local(str(tmp_path), "validation", [], lambda config: True)
    with pytest.raises(InputError, match="a and b were measured with different judges"):
        compare_runs(runs, title="made")
