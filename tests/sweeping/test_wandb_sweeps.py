"""The sweep files of conf/ as W&B's agent and its early termination take them."""

from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from simswap.launching.front_door import front_door
from simswap.settings.words import CONF_DIR


def drawn_from(parameters):
    """A point of a W&B sweep: the last of a parameter's values, or the middle of its range."""
    return {
        key: one["value"] if "value" in one else one["values"][-1] if "values" in one else (one["min"] + one["max"]) / 2
        for key, one in parameters.items()
    }


@pytest.mark.parametrize("file", ["wandb_sweep", "wandb_sweep_layer_range", "wandb_sweep_generator_size"])
def test_what_a_wandb_agent_starts_is_a_valid_run(door, tmp_path, monkeypatch, file):
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    sweep = yaml.safe_load((Path(CONF_DIR) / f"{file}.yaml").read_text())
    drawn = drawn_from(sweep["parameters"])
    assert drawn["experiment"] == "demo"
    arguments = create_sweep_command_args({"args": {key: {"value": value} for key, value in drawn.items()}})
    command = create_sweep_command(sweep["command"])
    assert command[-3:] == ["-m", "${program}", "${args_no_hyphens}"]
    assert ("trainer.max_time=None" in arguments["args_no_hyphens"]) == ("trainer.max_time" in drawn)
    seen = []
    monkeypatch.setenv("WANDB_SWEEP_ID", "abc")
    code, _, errors = door(
        lambda: front_door(seen.append, "train"), *arguments["args_no_hyphens"], f"hydra.run.dir={tmp_path}"
    )
    assert code == 0, errors
    (cfg,) = seen
    assert cfg.name == "demo"
    for key, value in drawn.items():
        found = OmegaConf.select(cfg, key)
        found = OmegaConf.to_container(found) if OmegaConf.is_config(found) else found
        assert found == value or key == "experiment"
    assert sweep["metric"] == {"name": "val/id_retrieval", "goal": "maximize"}


def test_hyperband_of_wandb_counts_our_validations():
    """Its bands are in values of the metric: a run of the sweep has enough of them before it ends."""
    for file in sorted(Path(CONF_DIR).glob("wandb_sweep*.yaml")):
        sweep = yaml.safe_load(file.read_text())
        band, values = sweep.get("early_terminate"), {k: v.get("value") for k, v in sweep["parameters"].items()}
        if band is not None:
            validations = values["trainer.max_steps"] // values["trainer.val_check_interval"]
            assert band["type"] == "hyperband"
            assert band["min_iter"] < validations - 1 < band["min_iter"] * band["eta"] ** 2
