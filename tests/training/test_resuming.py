"""Killed and gone on with, a run becomes what it would have been: to the bit."""

import os
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from simswap.errors import InputError
from simswap.launching.claims import claimed
from simswap.launching.folders import run_of
from simswap.tracking.status import read_status
from simswap.train import main
from simswap.training.resuming import newest_checkpoint
from tests.training.runs import LONG, content_of, differences, finish

WITHOUT_COVERAGE = pytest.mark.skipif(
    "COVERAGE_FILE" in os.environ, reason="coverage's own data would meet the full disk, too"
)


@pytest.fixture(scope="module")
def whole(crops, tmp_path_factory) -> Path:
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("runs")
    assert finish([*LONG, f"data.root={crops}", f"hydra.run.dir={folder / 'whole'}"], folder / "out.txt") == 0
    return folder / "whole"


def test_killed_while_it_saves(whole, crops, tmp_path):
    run, output = tmp_path / "run", tmp_path / "out.txt"
    assert finish([*LONG, f"data.root={crops}", f"hydra.run.dir={run}"], output, "writing 1") == -9
    assert not list((run / "checkpoints").glob("*.ckpt"))
    assert finish([f"resume={run}"], output, "naming 4") == -9
    assert finish([f"resume={run}"], output, "writing 2") == -9
    assert finish([f"resume={run}"], output) == 0, output.read_text()
    assert differences(content_of(whole), content_of(run)) == []
    assert not list((run / "checkpoints").glob(".*"))


def test_a_signal_ends_it_in_order(whole, crops, tmp_path):
    run, output = tmp_path / "run", tmp_path / "out.txt"
    assert finish([*LONG, f"data.root={crops}", f"hydra.run.dir={run}"], output, "SIGTERM 4") == 2, output.read_text()
    status = read_status(run)
    assert status is not None
    assert (status.state, status.iteration) == ("interrupted", 4)
    assert status.message == f"resume with simswap-train resume={run}"
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 4
    assert finish([f"resume={run}"], output, "SIGUSR1 2") == 2
    assert finish([f"resume={run}"], output) == 0
    said = output.read_text()
    assert said.count("error: interrupted") == 2
    assert "(SIGTERM)" in said
    assert "(SIGUSR1)" in said
    assert "Traceback" not in said
    assert differences(content_of(whole), content_of(run)) == []


@pytest.mark.slow
def test_a_stop_in_a_validation_makes_it_again(whole, crops, tmp_path):
    run, output = tmp_path / "run", tmp_path / "out.txt"
    begin = [*LONG, "validation.batch_size=2", f"data.root={crops}", f"hydra.run.dir={run}"]
    assert finish(begin, output, "validation 2") == 2, output.read_text()
    status = read_status(run)
    assert status is not None
    assert (status.state, status.iteration) == ("interrupted", 4)
    assert "val/" not in (run / "metrics.csv").read_text()
    assert not (run / "checkpoints" / "best.ckpt").exists()
    assert finish([f"resume={run}"], output) == 0, output.read_text()
    assert "(SIGHUP)" in output.read_text()
    assert "Traceback" not in output.read_text()
    other = tmp_path / "other"  # batches of two round otherwise
    assert finish([*begin[:-1], f"hydra.run.dir={other}"], output) == 0
    assert differences(content_of(other), content_of(run)) == []


@pytest.mark.slow
def test_a_stop_while_it_waits_for_its_workers(whole, crops, tmp_path):
    run, output = tmp_path / "run", tmp_path / "out.txt"
    assert finish([*LONG, f"data.root={crops}", f"hydra.run.dir={run}"], output, "starving 3") == 2, output.read_text()
    said = output.read_text()
    assert f"resume with simswap-train resume={run}" in said
    assert "Traceback" not in said
    status = read_status(run)
    assert status is not None
    assert status.state == "interrupted"
    assert status.iteration >= 3
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == status.iteration
    (line,) = [line for line in said.splitlines() if line.startswith("halted ")]
    assert len(line.split()) == 3
    for pid in line.split()[1:]:
        assert not Path(f"/proc/{pid}").exists() or "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    assert finish([f"resume={run}"], output) == 0, output.read_text()
    assert differences(content_of(whole), content_of(run)) == []


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ("orphaned 2", "error: a worker of the loader died (Killed), probably out of memory"),
        pytest.param("shm 0", "error: /dev/shm is full (", marks=WITHOUT_COVERAGE),
    ],
)
def test_a_fault_of_a_worker_is_one_line(trouble, words, crops, tmp_path):
    run, output = tmp_path / "run", tmp_path / "out.txt"
    assert finish([*LONG, f"data.root={crops}", f"hydra.run.dir={run}", "trainer.max_steps=500"], output, trouble) == 2
    said = output.read_text()
    assert [line[: len(words)] for line in said.splitlines() if line.startswith("error: ")] == [words]
    assert "Traceback" not in said
    status = read_status(run)
    assert status is not None
    assert status.state == "failed"


@WITHOUT_COVERAGE
def test_a_full_disk_leaves_the_checkpoint_before(whole, crops, tmp_path):
    run, output = tmp_path / "run", tmp_path / "out.txt"
    assert finish([*LONG, f"data.root={crops}", f"hydra.run.dir={run}"], output, "full 2") == 2
    said = [line for line in output.read_text().splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    assert "cannot be written (" in said[0]
    assert f"last.ckpt is complete: resume from it with simswap-train resume={run}" in said[0]
    assert "Traceback" not in output.read_text()
    assert [p.name for p in (run / "checkpoints").iterdir()] == ["last.ckpt"]
    assert read_status(run).state == "failed"  # type: ignore[union-attr]
    assert finish([f"resume={run}"], output) == 0
    assert differences(content_of(whole), content_of(run)) == []


@pytest.fixture
def copy(whole, tmp_path) -> Path:
    """A copy of the whole run: it ended at iteration 10, and the checkpoint before is of 8."""
    return shutil.copytree(whole, tmp_path / "copy")


def test_a_damaged_checkpoint_is_named_and_passed_over(whole, copy, tmp_path):
    output = tmp_path / "out.txt"
    last = copy / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-1000])
    assert finish([f"resume={copy}"], output) == 0
    assert f"passed over: {last} is a zip or torch file that is cut off" in output.read_text()
    assert differences(content_of(whole), content_of(copy)) == []


def test_one_changed_byte_is_damage(copy, caplog):
    for name in ("last.ckpt", "previous.ckpt"):
        path = copy / "checkpoints" / name
        content = bytearray(path.read_bytes())
        middle = len(content) // 2
        content[middle] ^= 1
        path.write_bytes(content)
    with pytest.raises(InputError, match="none of its checkpoints is intact"):
        newest_checkpoint(copy, resuming=True)
    assert caplog.text.count("the checksum of its part") == 2


def test_other_settings_stop_it_and_are_named(whole, crops, door, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, _, errors = door(main, f"resume={whole}", "seed=3", "generator=paper", "trainer.max_steps=20")
    assert code == 2
    assert errors.startswith(f"error: resume={whole}: the run was started with other settings (generator.blocks: 2 →")
    assert "; seed: 0 → 3); leave them out" in errors
    assert "max_steps" not in errors
    code, _, errors = door(main, f"resume={whole}", "experiment=demo")
    assert code == 2
    assert "validation.pairs: 8 → 120" in errors
    code, _, errors = door(main, f"resume={whole}", "resume_overrides=maybe")
    assert code == 2
    assert "choose stop or allow" in errors


def test_allowed_changes_are_made_and_recorded(copy, door):
    code, _, errors = door(
        main, f"resume={copy}", "trainer.max_steps=11", "optimizer.generator_lr=1e-3", "resume_overrides=allow"
    )
    assert code == 0, errors
    newest = torch.load(copy / "checkpoints" / "last.ckpt", weights_only=True)
    assert newest["global_step"] == 11
    assert newest["simswap"]["config"]["optimizer"]["generator_lr"] == 1e-3
    recorded = yaml.safe_load((copy / ".hydra" / "config.yaml").read_text())
    assert (recorded["trainer"]["max_steps"], recorded["optimizer"]["generator_lr"]) == (11, 1e-3)
    assert (recorded["resume"], recorded["resume_overrides"]) == (None, "stop")


def test_other_transforms_of_the_pairs_are_another_experiment(copy, door):
    code, _, errors = door(main, f"resume={copy}", "augmentation=robust", "trainer.max_steps=11")
    assert code == 2
    assert "data.augmentation.transforms: [] → [{'_target_': 'albumentations.ColorJitter'" in errors
    code, _, errors = door(
        main, f"resume={copy}", "augmentation=robust", "trainer.max_steps=11", "resume_overrides=allow"
    )
    assert code == 0, errors
    recorded = yaml.safe_load((copy / ".hydra" / "config.yaml").read_text())
    assert recorded["data"]["augmentation"]["transforms"][0]["_target_"] == "albumentations.ColorJitter"
    code, _, errors = door(main, f"resume={copy}", "augmentation=none", "trainer.max_steps=12")
    assert code == 2
    assert "'p': 0.3}] → []" in errors


def test_other_crops_stop_it(copy, crops, door, tmp_path):
    fewer = shutil.copytree(crops, tmp_path / "fewer")
    manifest = next(fewer.glob("manifest*"))
    manifest.write_text("".join(manifest.read_text().splitlines(keepends=True)[:-4]))
    code, _, errors = door(main, f"resume={copy}", f"data.root={fewer}", "trainer.max_steps=12")
    assert code == 2
    assert "the run cannot resume unchanged: data was 120 crops of 30 persons" in errors


def test_a_run_that_is_being_trained_is_left_alone(copy, door):
    before = {file: file.read_bytes() for file in sorted(copy.rglob("*")) if file.is_file()}
    with claimed(copy, "training"):
        for arguments in ([f"resume={copy}"], [f"hydra.run.dir={copy}", "seed=7"]):
            code, _, errors = door(main, *arguments)
            assert code == 2
            assert f"{copy} is in use: training by process {os.getpid()} on " in errors
            assert len(errors.splitlines()) == 1
    assert {file: file.read_bytes() for file in before} == before


@pytest.mark.parametrize(
    "way",
    [
        "checkpoints/last.ckpt",
        "checkpoints/best.ckpt",
        "checkpoints",
        "checkpoints/",
        "",
        "./checkpoints/../checkpoints//last.ckpt",
    ],
)
def test_a_run_is_meant_by_what_is_in_it(way, copy):
    assert run_of(f"{copy}/{way}").resolve() == copy.resolve()


def test_a_run_is_meant_by_links_home_and_relative_paths(copy, monkeypatch):
    (copy.parent / "newest.ckpt").symlink_to(copy / "checkpoints" / "last.ckpt")
    (copy.parent / "here").symlink_to(copy)
    (copy.parent / "saved").symlink_to(copy / "checkpoints")
    monkeypatch.setenv("HOME", str(copy.parent))
    monkeypatch.chdir(copy / "checkpoints")
    for way in (
        f"~/{copy.name}",
        f"~/{copy.name}/checkpoints/last.ckpt",
        "~/newest.ckpt",
        "~/here",
        "~/saved",
        "last.ckpt",
        ".",
        "..",
    ):
        assert run_of(way).resolve() == copy.resolve(), way


def test_resume_by_a_checkpoint_goes_on_with_its_run(copy, door):
    code, output, errors = door(main, f"resume={copy}/checkpoints/best.ckpt", "trainer.max_steps=11")
    assert code == 0, errors
    assert torch.load(copy / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 11
    assert "resumes from the newest checkpoint, last.ckpt, not from best.ckpt" in output


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("metrics.csv", "metrics.csv: this is no checkpoint in a run's folder; give the run's folder"),
        ("loose.ckpt", "start_from="),
        ("checkpoints/lost.ckpt", "there is no such folder"),
        ("nowhere", "there is no such folder"),
    ],
)
def test_what_is_no_run_is_one_line_and_makes_nothing(way, words, copy, door):
    (copy / "loose.ckpt").write_bytes(b"weights")
    before = sorted(copy.rglob("*"))
    code, _, errors = door(main, f"resume={copy}/{way}")
    assert code == 2
    assert errors.startswith("error: resume=")
    assert words in errors
    assert len(errors.splitlines()) == 1
    assert sorted(copy.rglob("*")) == before
