"""Names of runs and groups: what a reader of W&B's table can tell apart."""

import pytest
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf, open_dict

from simswap.launching.naming import group_name, run_name, short


@pytest.fixture
def job(tmp_path, monkeypatch):
    def be(mode, overrides):
        hydra = OmegaConf.structured(HydraConf)
        with open_dict(hydra):
            hydra.overrides.task, hydra.mode = overrides, mode
            hydra.runtime.output_dir, hydra.job.num = str(tmp_path / "try" / "3"), 3
        monkeypatch.setattr(HydraConfig.instance(), "cfg", OmegaConf.create({"hydra": hydra}))

    return be


def test_a_job_of_a_sweep_is_named_by_what_the_sweep_changes(job, tmp_path):
    (tmp_path / "try").mkdir()
    swept = {"hydra": {"overrides": {"task": ["experiment=demo", "data.fractions={a: 0.5, b: 0.5}", "seed=0,1"]}}}
    (tmp_path / "try" / "multirun.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(swept)))
    job(
        "MULTIRUN",
        [
            "experiment=demo",
            "data.fractions={a:0.5,b:0.5}",
            "seed=1",
            "optimizer.generator_lr=0.00021436587",
            "sweep.trial=3",
        ],
    )
    assert run_name() == "3 seed=1 generator_lr=0.0002144"
    assert group_name("demo") == "demo try"


def test_a_single_run_is_named_by_its_command_line(job):
    job("RUN", ["experiment=demo", "seed=1"])
    assert run_name() == "experiment=demo seed=1"
    assert group_name("demo") == "demo"
    job("RUN", [])
    assert run_name() == "defaults"


def test_a_run_that_goes_on_keeps_its_names_wherever_its_folder_is(job, tmp_path):
    folder = tmp_path / "try" / "3"
    (folder / ".hydra").mkdir(parents=True)
    recorded = {
        "hydra": {
            "mode": "MULTIRUN",
            "overrides": {"task": ["experiment=demo", "seed=1"]},
            "job": {"num": 7, "name": "${oc.env:NOT_LOOKED_UP}"},
            "runtime": {"output_dir": "/elsewhere/outputs/demo/2026-11-25_22-00-00/7"},
        }
    }
    (folder / ".hydra" / "hydra.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(recorded)))
    job("RUN", [f"resume={folder}", "trainer.max_steps=9"])
    assert run_name() == "7 experiment=demo seed=1"
    assert group_name("demo") == "demo 2026-11-25_22-00-00"
    recorded["hydra"]["mode"] = "RUN"
    (folder / ".hydra" / "hydra.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(recorded)))
    assert (run_name(), group_name("demo")) == ("experiment=demo seed=1", "demo")
    (folder / ".hydra" / "hydra.yaml").write_text("[broken")
    assert run_name() == "trainer.max_steps=9"


def test_keys_are_as_long_as_tells_them_apart():
    assert short(["generator.width=8", "discriminator.width=16", "+a.b='x y'"]) == [
        "generator.width=8",
        "discriminator.width=16",
        "b=x y",
    ]
