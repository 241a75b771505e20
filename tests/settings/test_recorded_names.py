"""What earlier versions recorded is read under the names of today."""

import importlib
import json

import pytest
import torch
from omegaconf import OmegaConf

from simswap.errors import InputError
from simswap.settings.recorded_names import (
    FUNCTIONS,
    KEYS,
    MODULES,
    current_override,
    move_earlier_keys,
    removed,
    with_current_names,
)
from simswap.settings.records import read_plain
from simswap.settings.targets import TARGETS
from simswap.tracking.evaluation_format import as_current
from simswap.train import main
from tests.training.runs import SMALL


def test_modules_are_where_the_table_says():
    for module in MODULES.values():
        importlib.import_module(module)
    functions = {name.rpartition(".")[2] for names in TARGETS.values() for name in names}
    assert set(FUNCTIONS.values()) <= functions
    assert not set(FUNCTIONS) & functions


def test_no_current_key_is_an_earlier_one():
    assert not set(KEYS) & set(KEYS.values())


def test_keys_of_a_complete_config_move_and_keep_their_values():
    before = {
        "average_decay": 0.5,
        "sweep_metrics": ["val/id_retrieval"],
        "sweep": {"trials": 3},
        "optimizer": {"accumulate": 2, "warmup": 7, "betas": [0.0, 0.9], "eps": 1e-7, "discriminator_betas": None},
        "guards": {"warmup": 9},
        "strategy": {"ddp": True, "find_unused_parameters": True},
        "judge": {"_target_": None},
        "recogniser_path": "a.onnx",
        "recognition": {"_target_": "simswap.models.recognition.onnx_recogniser"},
    }
    assert with_current_names(before) == {
        "ema_decay": 0.5,
        "sweep": {"trials": 3, "metrics": ["val/id_retrieval"]},
        "optimizer": {
            "micro_batches": 2,
            "warmup": 7,
            "algorithm": {"_target_": "torch.optim.Adam", "betas": [0.0, 0.9], "eps": 1e-7},
            "discriminator_algorithm": {"betas": None},
        },
        "judge": None,
        "guards": {"start_iteration": 9},
        "strategy": {"ddp": True},
        "recognition": {"_target_": "simswap.models.recognition.onnx_recognizer", "path": "a.onnx"},
    }
    assert before["average_decay"] == 0.5  # the given tree is left alone


@pytest.mark.parametrize(
    ("given", "current"),
    [
        ("optimizer.accumulate=2", "optimizer.micro_batches=2"),
        ("++average_decay=0.9", "++ema_decay=0.9"),
        ("~data_root", "~data.root"),
        ("optimizer.warmup=3", "optimizer.warmup=3"),
        ("name=if_begun=x", "name=if_begun=x"),
    ],
)
def test_an_override_gets_the_current_key(given, current):
    assert current_override(given) == current


def test_a_key_without_effect_is_dropped_with_a_warning():
    cfg = OmegaConf.create({"strategy": {"ddp": True, "find_unused_parameters": False}})
    warning = "warning: strategy.find_unused_parameters has no effect any more; leave it out"
    assert move_earlier_keys(cfg) == [warning]
    assert cfg == {"strategy": {"ddp": True}}
    assert removed("++strategy.find_unused_parameters=false") == warning
    assert removed("strategy.ddp=false") == ""


def test_a_users_yaml_may_use_an_earlier_key_with_one_warning():
    cfg = OmegaConf.create({"ema_decay": 0.999, "average_decay": 0.5, "decay": "${ema_decay}"})
    OmegaConf.set_struct(cfg, True)
    assert move_earlier_keys(cfg) == ["warning: average_decay is now called ema_decay; the earlier name still works"]
    assert OmegaConf.to_container(cfg, resolve=True) == {"ema_decay": 0.5, "decay": 0.5}
    cfg = OmegaConf.create({"ema_decay": 0.9, "average_decay": 0.5})
    with pytest.raises(InputError, match="ema_decay is given, and a YAML file sets it by its earlier name average"):
        move_earlier_keys(cfg, ["ema_decay"])


def test_a_users_optimizer_of_earlier_keys_is_adam():
    cfg = OmegaConf.create({"optimizer": {"generator_lr": 1.0, "betas": [0.5, 0.9]}, "judge": {"_target_": None}})
    (warning,) = move_earlier_keys(cfg)
    assert "optimizer.betas is now called optimizer.algorithm.betas" in warning
    assert OmegaConf.to_container(cfg) == {
        "optimizer": {"generator_lr": 1.0, "algorithm": {"_target_": "torch.optim.Adam", "betas": [0.5, 0.9]}},
        "judge": None,
    }


def test_earlier_keys_work_on_the_command_line_and_in_a_users_yaml(crops, tmp_path, door):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    mine = "# @package _global_\ndefaults: [debug]\naverage_decay: 0.25\n"
    (tmp_path / "mine" / "experiment" / "mine.yaml").write_text(mine)
    run = tmp_path / "run"
    code, _, errors = door(
        main, *SMALL[1:], f"data.root={crops}", f"hydra.run.dir={run}", "trainer.max_steps=1", "optimizer.accumulate=2",
        "experiment=mine", f"hydra.searchpath=['{tmp_path / 'mine'}']",
    )  # fmt: skip
    assert code == 0, errors
    assert errors.count("warning: ") == 2, errors
    assert "optimizer.accumulate is now called optimizer.micro_batches" in errors
    assert "average_decay is now called ema_decay" in errors
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    config = checkpoint["simswap"]["config"]
    assert (config["ema_decay"], config["optimizer"]["micro_batches"]) == (0.25, 2)
    assert "average_decay" not in config


def test_lists_of_figures_get_the_current_names():
    before = {"sweep": {"metrics": ["val/self_reconstruction", "val/id_retrieval"]}, "curves": ["train/identity"]}
    after = {"sweep": {"metrics": ["val/self_reconstruction_l1", "val/id_retrieval"]}, "curves": ["train/identity"]}
    assert with_current_names(before) == after
    cfg = OmegaConf.create(before)
    assert move_earlier_keys(cfg) == [
        "warning: val/self_reconstruction is now called val/self_reconstruction_l1; the earlier name still works"
    ]
    assert OmegaConf.to_container(cfg) == after
    assert move_earlier_keys(cfg) == []


def test_an_evaluation_with_an_earlier_figure_is_read_under_the_current_name():
    entry = {"kind": "trained", "self_reconstruction": {"value": 0.5}}
    results = {"trained": entry | {"slices": {"glasses": dict(entry)}}}
    found = as_current({"format": 2, "protocol": {}, "results": results}, "here")["results"]["trained"]
    assert found["self_reconstruction_l1"] == found["slices"]["glasses"]["self_reconstruction_l1"] == {"value": 0.5}
    assert "self_reconstruction" not in found


def test_targets_at_any_depth_have_their_present_name():
    before = {
        "hydra": {"callbacks": {"failed_jobs": {"_target_": "simswap.jobs.FailedJobs"}}},
        "list": [{"_target_": "simswap.faces.rendered_dataset.write_dataset", "size": 64}],
        "generator": {"_target_": "simswap.models.generator.Generator"},
        "judge": {"_target_": None},
        "name": "simswap.jobs.FailedJobs",  # a text that is no target stays
    }
    assert with_current_names(before) == {
        "hydra": {"callbacks": {"failed_jobs": {"_target_": "simswap.launching.jobs.FailedJobs"}}},
        "list": [{"_target_": "simswap.rendered.dataset.write_dataset", "size": 64}],
        "generator": {"_target_": "simswap.models.generator.Generator"},
        "judge": None,
        "name": "simswap.jobs.FailedJobs",
    }


def test_a_run_of_an_earlier_version_is_resumed(crops, tmp_path, door):
    run = tmp_path / "run"
    code, _, errors = door(main, *SMALL, f"data.root={crops}", f"hydra.run.dir={run}", "trainer.max_steps=1")
    assert code == 0, errors
    for name in ("config.yaml", "hydra.yaml"):
        file = run / ".hydra" / name
        text = file.read_text()
        older = (
            text.replace("simswap.launching.", "simswap.training.", 1)
            if name == "config.yaml"
            else text.replace("simswap.launching.jobs", "simswap.jobs")
        )
        assert older != text
        file.write_text(older)
    assert read_plain(run / ".hydra" / "config.yaml")["strategy"]["_target_"] == (
        "simswap.launching.distributed.Processes"
    )
    code, _, errors = door(main, f"resume={run}", "trainer.max_steps=2")
    assert code == 0, errors
    assert json.loads((run / "status.json").read_text())["state"] == "finished"


def test_a_folder_prepared_by_an_earlier_version_is_prepared_on(tmp_path, door, monkeypatch):
    from simswap.prepare import main as prepare

    monkeypatch.chdir(tmp_path)
    command = ["origin=rendered", "origin.persons=2", "origin.images=2", "origin.size=64", "raw=faces", "out=crops",
               "size=32", "workers=0"]  # fmt: skip
    code, _, errors = door(prepare, *command)
    assert code == 0, errors
    file = tmp_path / "crops" / "prepare.json"
    text = file.read_text()
    older = text.replace("simswap.rendered.dataset", "simswap.faces.rendered_dataset")
    assert older != text
    file.write_text(older)
    code, _, errors = door(prepare, *command)
    assert code == 0, errors


def test_a_recorded_config_gets_later_keys_with_the_value_that_changes_nothing():
    augmentation = {"flip": 0.5, "color": 0.0, "sources": True}
    read = with_current_names({"data": {"augmentation": augmentation}})
    assert read["data"]["augmentation"] == augmentation | {"transforms": []}
    kept = {"data": {"augmentation": {"transforms": [{"_target_": "albumentations.GaussNoise"}]}}}
    assert with_current_names(kept) == kept
    assert with_current_names({"data": None, "name": "a"}) == {"data": None, "name": "a"}
