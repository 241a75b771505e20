"""YAML files of others and of earlier runs: read as data, with lists of what they may ask for, and an end."""

import shutil

import pytest
from omegaconf import OmegaConf

from simswap.errors import InputError
from simswap.settings.records import check_folder, check_resolvers, read_plain, read_record
from simswap.tracking.runs import read_config
from simswap.train import main
from tests.training.runs import SMALL

HOSTILE = {
    "an environment variable": "name: ${oc.env:HOME}",
    "a node out of text": "generator: ${oc.create:'{_target_: os.system, command: touch was-run}'}",
    "a decoded text": "name: ${oc.decode:'[1]'}",
    "a resolver with a made-up name": "a: oc.env\nname: ${${a}:HOME}",
    "a resolver inside of another's argument": "name: ${jobs_on_gpus:${oc.env:HOME},1}",
    "one that makes folders": "name: ${run_folder:null,x}",
    "one in a key": "'${oc.env:HOME}': 1",
    "one that is hidden behind quotes": "name: \"${visible_gpus:'}${oc.env:HOME}'}\"",
    "a call": "generator:\n  _target_: torch.load\n  f: evil.pt",
    "a nested call": "generator:\n  _target_: simswap.models.generator.Generator\n  width: {_target_: os.system}",
    "a Python object": "name: !!python/object/apply:os.system ['touch was-run']",
    "aliases of aliases": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
    "a merge": "a: &a {x: 1}\nb: {<<: *a}",
    "endless nesting": "a: " + "[" * 3000,
    "deep nesting": "a: " + "[" * 60 + "]" * 60,
    "a number to the base 60": "a: " + "1:" * 200_000 + "1",
    "no mapping": "- 1",
    "an open brace": "name: ${oc.env",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_records_ask_for_nothing(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(HOSTILE[name])
    if name == "a number to the base 60":
        assert isinstance(read_record(tmp_path / "config.yaml").a, str)  # a text, and at once
        return
    with pytest.raises(InputError, match=r"config\.yaml.*"):
        read_record(tmp_path / "config.yaml")
    assert not (tmp_path / "was-run").exists()


def test_a_large_file_is_no_settings(tmp_path):
    (tmp_path / "config.yaml").write_text("a: " + "x" * 600_000)
    with pytest.raises(InputError, match="larger than"):
        read_record(tmp_path / "config.yaml")


def test_what_our_own_records_hold_is_read(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "trainer: {_target_: lightning.Trainer, max_steps: 200, max_time: 10:00:00:00}\n"
        "samples: {every: '${trainer.max_steps}'}\nrate: 1e-4\nsmall: 1.0e-08\nseed: 18446744073709551615\n"
        "strategy: {gpu_pool: '${visible_gpus:}'}\nday: 2026-01-01\nno: false\n"
    )
    cfg = read_record(tmp_path / "c.yaml")
    assert cfg.samples.every == 200
    assert cfg.trainer.max_time == "10:00:00:00"  # PyYAML alone makes 2160000 of it
    assert (cfg.rate, cfg.small, cfg.seed, cfg.day) == (1e-4, 1e-8, 2**64 - 1, "2026-01-01")
    assert read_plain(tmp_path / "c.yaml")["strategy"] == {"gpu_pool": "${visible_gpus:}"}


def test_given_files_may_ask_for_a_little_more():
    for text in ("${oc.env:DATA}/x", "${now:%Y}", "${hydra:job.num}", "a${b.c}d", "${oc.select:a,1}"):
        check_resolvers(text, "x", ("oc.env", "now", "hydra", "oc.select"))
    with pytest.raises(InputError, match=r"oc\.create"):
        check_resolvers("${oc.create:${a}}", "x", ("oc.env",))


def test_a_folder_of_ones_own_configs_is_read_as_data_first(tmp_path, monkeypatch, door):
    """Hydra would run callbacks and logging of an experiment before any check of a job."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    file = tmp_path / "mine" / "experiment" / "own.yaml"
    for text in (
        "hydra:\n  callbacks:\n    x: {_target_: os.system, command: touch was-run}",
        "hydra:\n  job_logging:\n    handlers: {x: {(): os.mkdir, path: was-run}}",
        "generator: {_target_: torch.load, f: x}",
    ):
        file.write_text(f"# @package _global_\n{text}\n")
        with pytest.raises(InputError, match=r"own\.yaml"):
            check_folder(tmp_path / "mine")
        for more in ([], ["-m", "seed=1,2"], ["--cfg", "job"]):
            code, _, errors = door(main, "--config-dir", str(tmp_path / "mine"), *more, "experiment=own")
            assert code == 2, errors
            assert errors.startswith("error: ")
            assert errors.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]


@pytest.fixture
def recorded(crops, tmp_path, door):
    run = tmp_path / "run"
    code, _, errors = door(main, *SMALL, f"data.root={crops}", f"hydra.run.dir={run}", "trainer.max_steps=1")
    assert code == 0, errors
    return run


def test_a_resumed_runs_config_is_checked_like_a_given_one(recorded, tmp_path, monkeypatch, door):
    monkeypatch.chdir(tmp_path)
    file = recorded / ".hydra" / "config.yaml"
    good = file.read_text()
    for change in (
        {"generator": {"_target_": "torch.load", "f": "evil.pt", "weights_only": False}},
        {
            "generator": {
                "_target_": "simswap.rendered.dataset.write_dataset",
                "root": "was-run",
                "persons": 1,
                "images": 1,
                "size": 64,
                "seed": 1,
            }
        },
        {"name": "${oc.env:HOME}"},
        {"seed": -1},
        {"guards": {"limits": {"pose": "high"}}},
        {"objective": {"weights": {"identity": None}}},
        {"trainer": {"callbacks": []}},
        {"unknown": 1},
        {"logger": {"mode": {"_target_": "os.system"}}},
    ):
        changed = OmegaConf.merge(OmegaConf.create(good), change)
        if "_target_" in str(change.get("generator")):
            changed.generator = change["generator"]
        file.write_text(OmegaConf.to_yaml(changed))
        before = sorted(path.name for path in recorded.rglob("*") if "train.log" not in path.name)
        code, _, errors = door(main, f"resume={recorded}", "trainer.max_steps=2")
        assert code == 2, (change, errors)
        assert "config.yaml" in errors.splitlines()[-1]
        assert sorted(path.name for path in recorded.rglob("*") if "train.log" not in path.name) == before
    assert not (tmp_path / "was-run").exists()
    file.write_text(good.replace("name: debug", "name: ${oc.env:HOME}"))
    with pytest.raises(InputError, match="config"):
        read_config(recorded)
    older = OmegaConf.create(good)
    del older["progress_every"]
    del older.sweep["pruning_warmup"]
    file.write_text(OmegaConf.to_yaml(older))  # of a version that had not all keys
    code, _, errors = door(main, f"resume={recorded}", "trainer.max_steps=2")
    assert code == 0, errors
    shutil.rmtree(recorded)
