"""What W&B's agents put on a command line arrives as it was in the sweep."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from simswap.settings.agent_arguments import of_agent
from simswap.settings.judges import as_choice
from simswap.settings.paths import read_arguments
from simswap.settings.words import CONF_DIR

DRAWN = {
    "experiment": "demo",
    "name": "two words, a comma and 'quotes'",
    "seed": 3,
    "tf32": False,
    "optimizer.generator_lr": 1e-05,
    "optimizer.algorithm.betas": [0, 0.9],
    "trainer.max_time": "00:00:10:00",
    "trainer.val_check_interval": 1.0,
    "optimizer.generator_clip": None,
    "objective": {"weights": {"identity": 12.5, "cycle": 0}, "measure_at_zero": True},
    "data": {"size": None, "workers": 0, "fractions": {"train": 0.5, "val": 0.25, "test": 0.25}},
    "sweep.metrics": ["val/id_retrieval", "val/pose_error_deg"],
    "sweep.params": {"seed": {"type": "categorical", "choices": [1, None, True, "a b"]}},
    "data.root": "/a folder/with, a comma",
}


@pytest.fixture(scope="module")
def arrived():
    command = create_sweep_command_args({"args": {key: {"value": value} for key, value in DRAWN.items()}})
    arguments = [written for one in command["args_no_hyphens"] for written in of_agent(one, by_agent=True)]
    GlobalHydra.instance().clear()
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        cfg = compose("train", read_arguments([as_choice(one) for one in arguments]))
    yield cfg
    GlobalHydra.instance().clear()


@pytest.mark.parametrize("key", [key for key in DRAWN if key != "experiment"])
def test_every_kind_of_value_arrives(arrived, key):
    found, value = OmegaConf.select(arrived, key), DRAWN[key]
    found = OmegaConf.to_container(found) if OmegaConf.is_config(found) else found
    if isinstance(value, dict) and key in ("objective", "data"):  # merged into what the group's member has
        assert found["_target_"]
        for name, part in value.items():
            kept = {inner: found[name][inner] for inner in part} if isinstance(part, dict) else found[name]
            assert kept == part
            assert type(kept) is type(part)
    else:
        assert found == value
        assert type(found) is type(value)


def test_the_experiment_is_chosen(arrived):
    assert arrived.generator.blocks == 4  # the demo's


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        ("a=None", ["a=null"]), ("a=[1, 2]", ["a=[1,2]"]), ("a=[x,y]", ["a=[x,y]"]), ("a={x: 1}", ["a={x: 1}"]),
        ("a=x,y", ["a=x,y"]), ("-m", ["-m"]), ("--config-dir=None", ["--config-dir=None"]), ("a={}", ["a={}"]),
        ("+a=[None]", ["+a=[null]"]), ("a={'b c': 1}", ["a={'b c': 1}"]), ("a=interval(1,2)", ["a=interval(1,2)"]),
        ("~a", ["~a"]), ("a=[1", ["a=[1"]), ("a=" + "[" * 9000, ["a=" + "[" * 9000]),
    ],
)  # fmt: skip
def test_what_a_person_types_keeps_its_meaning(typed, means):
    assert of_agent(typed) == means


def test_texts_of_an_agent_are_no_choices():
    assert of_agent("a=x,y", by_agent=True) == ["a='x,y'"]
    assert of_agent("a=x y", by_agent=True) in (["a=x y"], ["a='x y'"])
    assert of_agent("a=choice(1,2)", by_agent=True) == ["a='choice(1,2)'"]
    assert of_agent("a=demo", by_agent=True) == ["a=demo"]
