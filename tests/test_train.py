"""``simswap-train`` through its command line: a run's folder, resuming, and bad input."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from simswap import checkpoint
from simswap.tracking.status import read_status
from simswap.train import main
from simswap.training.module import SimSwapModule
from tests.waiting import DEADLINE, started, until
from tests.waiting import finished as finished_process

DEBUG = [
    "experiment=debug",
    "logger.mode=disabled",
    "trainer.accelerator=cpu",
    "data.fractions={train: 0.5, val: 0.25, test: 0.25}",
    "objective.feature_matching.last_layer=2",
]


def settings(crops: Path, run: Path) -> list[str]:
    return [*DEBUG, f"data.root={crops}", f"hydra.run.dir={run}"]


@pytest.fixture(scope="module")
def finished(crops, tmp_path_factory) -> Path:
    """The folder of a finished debug run."""
    run = tmp_path_factory.mktemp("runs") / "finished"
    command = [sys.executable, "-m", "simswap.train", *settings(crops, run), "progress_every=6"]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    done = finished_process(*command, capture_output=True, text=True, env=one_thread)
    assert done.returncode == 0, done.stderr
    (run / "output.txt").write_text(done.stdout + done.stderr)
    return run


def rows(run: Path) -> list[dict[str, str]]:
    with open(run / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_its_folder(finished):
    assert {p.name for p in (finished / "checkpoints").iterdir()} == {"last.ckpt", "previous.ckpt", "best.ckpt"}
    assert sorted(p.name for p in (finished / "samples").iterdir()) == ["0000003.png", "0000006.png"]
    assert (finished / ".hydra" / "config.yaml").is_file()
    with Image.open(finished / "samples" / "0000006.png") as grid:
        assert grid.size == (3 * 32 + 2 * 4, 3 * 32 + 2 * 4)  # two targets and two sources
        assert grid.text["Description"] == "synthetic face swap"  # type: ignore[attr-defined]


def test_a_finished_run_says_so(finished):
    status = read_status(finished)
    assert status is not None
    assert (status.state, status.iteration, status.message) == ("finished", 6, "")


def test_a_run_logs_its_terms_and_validates_beside_the_controls(finished):
    lines = rows(finished)
    trained = [line for line in lines if line["train/identity"]]
    assert len(trained) == 6
    assert all(float(line["train/reconstruction"]) > 0 for line in trained[::2])  # even iterations: one person
    assert all(float(line["train/reconstruction"]) == 0 for line in trained[1::2])
    validated = [line for line in lines if line["val/id_retrieval"]]
    assert len(validated) == 2
    assert {float(line["val/do_nothing/pose_error_deg"]) for line in validated} == {0.0}
    assert {float(line["val/do_nothing/self_reconstruction_l1"]) for line in validated} == {0.0}
    assert {float(line["val/copy_source/id_retrieval"]) for line in validated} == {1.0}
    assert float(validated[0]["val/copy_source/pose_error_deg"]) > 1


def test_speed_is_watched_beside_the_metrics(finished):
    with open(finished / "watch.csv", newline="") as file:
        watched = list(csv.DictReader(file))
    assert [line["step"] for line in watched] == [line["step"] for line in rows(finished)]
    for line in watched:
        assert float(line["watch/images_per_second"]) == pytest.approx(4 / float(line["watch/seconds_per_iteration"]))
        assert 0 <= float(line["watch/data_wait_share"]) <= 1
        assert float(line["watch/memory_mb"]) > 100  # torch alone is more
    assert float(watched[-1]["watch/remaining_seconds"]) == 0
    assert float(watched[0]["watch/remaining_seconds"]) == pytest.approx(
        5 * float(watched[0]["watch/seconds_per_iteration"])
    )
    assert not [name for name in rows(finished)[0] if name.startswith("watch/")]
    assert " images/s, " in (finished / "output.txt").read_text()


def test_the_log_says_that_the_layers_are_not_the_papers(finished):
    assert "discriminators with 3 layers (the paper's five need 95 px" in (finished / "output.txt").read_text()


def test_the_checkpoint_swaps(finished):
    loaded = checkpoint.load(finished / "checkpoints" / "last.ckpt")
    assert loaded.description["config"]["name"] == "debug"
    assert loaded.image_size == 32
    out = loaded.generator(torch.rand(2, 3, 32, 32), torch.rand(2, 64))
    assert out.shape == (2, 3, 32, 32)
    content = torch.load(finished / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["global_step"] == 6
    assert {name.split(".")[0] for name in content["state_dict"]} == {"generator", "discriminators", "ema"}


def test_resuming_goes_on_to_the_same_weights(finished, crops, tmp_path, door):
    part = tmp_path / "part"
    assert door(main, *settings(crops, part), "trainer.max_steps=4")[0] == 0
    code, _, errors = door(main, f"resume={part}", "trainer.max_steps=6")
    assert code == 0, errors
    whole, resumed = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (finished, part))
    assert resumed["global_step"] == 6
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, resumed["state_dict"][name]), name
    assert [line["step"] for line in rows(part)] == [line["step"] for line in rows(finished)]
    record = OmegaConf.load(part / ".hydra" / "config.yaml")
    assert (record.resume, record.trainer.max_steps) == (None, 6)  # the run's own record, with what was changed


def test_unreadable_crops_are_listed_once_over_a_resume_and_too_many_stop_the_run(crops, tmp_path, door):
    damaged, run = tmp_path / "crops", tmp_path / "run"
    shutil.copytree(crops, damaged)
    files = sorted((damaged / "crops").rglob("*.png"))
    for file in files[::20]:
        file.write_bytes(b"")
    given = [*settings(damaged, run), "data.fractions={train: 0.5, val: 0.25, test: 0.25}", "data.workers=1",
             "data.batch_size=16", "trainer.val_check_interval=100000", "samples.every=100000"]  # fmt: skip
    code, _, errors = door(main, *given, "data.max_unreadable_share=0.3", "trainer.max_steps=3")
    bad = {str(file) for file in files[::20]}
    first = [row["path"] for row in csv_rows(run / "unreadable.csv")]
    assert code == 0, errors
    assert first
    assert set(first) < bad
    code, _, errors = door(main, f"resume={run}", "trainer.max_steps=6")
    assert code == 0, errors
    second = [row["path"] for row in csv_rows(run / "unreadable.csv")]
    assert second[: len(first)] == first
    assert len(set(second)) == len(second)
    code, _, errors = door(main, *given, "data.max_unreadable_share=0.001", f"hydra.run.dir={tmp_path / 'other'}")
    assert code == 2
    line = one_line("\n".join(row for row in errors.splitlines() if row.startswith("error")))
    assert f"listed in {tmp_path / 'other' / 'unreadable.csv'}" in line


def csv_rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_sweep_makes_a_folder_a_point(crops, tmp_path, door):
    sweep = [f"hydra.sweep.dir={tmp_path}", "trainer.max_steps=1", "trainer.val_check_interval=1"]
    code, _, errors = door(main, "-m", *DEBUG, f"data.root={crops}", *sweep, "objective.weights.identity=1,20")
    assert code == 0, errors
    for job, weight in (("0", 1), ("1", 20)):
        assert (
            checkpoint.load(tmp_path / job / "checkpoints" / "last.ckpt").description["config"]["objective"]["weights"][
                "identity"
            ]
            == weight
        )


def one_line(errors: str) -> str:
    lines = [line for line in errors.splitlines() if line.strip()]
    assert len(lines) == 1, errors
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["data.root=nowhere"], "simswap-prepare"),
        (["recognition=onnx", "recognition.path=missing.onnx"], "missing.onnx: no such file or folder"),
        (["data.size=33"], "must be a multiple of 4"),
        (["data.size=8"], "from 16 to 4096"),
        (["data.size=16", "discriminator.scales=3"], "at most"),
        (["objective.feature_matching.last_layer=4"], "layers 0..2"),
        (["objective.weights.identity=-1"], "it takes a number from 0"),
        (["data.pairing=twins"], "data.pairing"),
        (["generator=paperr"], "did you mean paper?"),
        (["+trainer.max_step=3"], "did you mean max_steps?"),
        (["data.fractions={train: 0.98, val: 0.01, test: 0.01}"], "person(s)"),
        (["optimizer.schedule=cosine"], "optimizer.total_iterations"),
        (["resume=nowhere"], "resume=nowhere: there is no such folder; give a run's folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, words, crops, tmp_path, door, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = [] if arguments[0].startswith("resume") else settings(crops, tmp_path / "run")
    code, _, errors = door(main, *given, *arguments)
    assert code == 2
    assert words in one_line(errors)


def test_another_runs_folder_is_not_written_over(finished, crops, door):
    before = (finished / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    code, _, errors = door(main, *settings(crops, finished))
    assert code == 2
    assert "holds another run's work" in one_line(errors)
    assert (finished / "checkpoints" / "last.ckpt").stat().st_mtime_ns == before


def test_an_output_that_cannot_be_written(crops, tmp_path, door):
    (tmp_path / "file").write_text("")
    code, _, errors = door(main, *settings(crops, tmp_path / "file" / "run"))
    assert code == 2
    assert "error: " in errors


def test_ctrl_c_saves_and_can_be_resumed(crops, tmp_path):
    run = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "simswap.train",
        *settings(crops, run),
        "trainer.max_steps=100000",
        "trainer.val_check_interval=100000",
        "samples.every=100000",
    ]
    with started(
        *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    ) as process:
        until((run / "checkpoints" / "last.ckpt").is_file, "the first checkpoint", process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 2, errors
    assert "error: interrupted" in errors
    assert "Traceback" not in errors
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["global_step"] > 0
    assert not [p for p in run.rglob("*") if p.name.endswith((".part", ".tmp"))]
    shutil.rmtree(run)


def test_a_run_that_diverges_says_so_and_keeps_its_last_good_checkpoint(crops, tmp_path, door, monkeypatch):
    loss_of = SimSwapModule._generator_loss

    def broken(module, part):
        loss, terms = loss_of(module, part)
        return (loss * torch.nan if module.global_step >= 2 else loss), terms

    monkeypatch.setattr(SimSwapModule, "_generator_loss", broken)
    run = tmp_path / "run"
    code, _, errors = door(
        main,
        *settings(crops, run),
        "guards.max_skipped_in_a_row=1",
        "checkpoints.every=1",
        "trainer.val_check_interval=6",
    )
    assert code == 2
    assert "training diverged at iteration 3: 2 iterations in a row left a step out (generator)" in one_line(errors)
    assert read_status(run).state == "diverged"
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 2
    dump = json.loads((run / "diverged.json").read_text())
    assert [entry["iteration"] for entry in dump["iterations"]] == [2, 3]
    assert all(Path(file).is_file() for entry in dump["iterations"] for file in entry["target_file"])
