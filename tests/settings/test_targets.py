"""What a config may ask to be called: an exact list, at any depth, in any file, whoever gives it."""

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from simswap.config import build
from simswap.errors import InputError
from simswap.settings.targets import HYDRA_TARGETS, TARGETS, check_any_targets, check_targets
from simswap.settings.words import CONF_DIR

GENERATOR = "simswap.models.generator.Generator"


def test_every_target_of_conf_is_on_the_list_of_its_group():
    seen = set()
    for file in Path(CONF_DIR).rglob("*.yaml"):
        content = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
        check_any_targets(content)
        header = re.match(r"# @package (\S+)\n", file.read_text())
        package = header[1] if header else "_global_" if file.parent == Path(CONF_DIR) else file.parent.name
        package = "hydra" if file.parent.parent.name == "hydra" else package
        for name in reversed(package.split(".") if package != "_global_" else []):
            content = {name: content}
        check_targets(content)
        content = content.get(file.parent.name) or {}
        if "_target_" in content:
            seen.add(content["_target_"])
    assert {"lightning.Trainer", GENERATOR} <= seen
    assert seen <= {name for names in TARGETS.values() for name in names}


def test_photometric_transforms_are_allowed_by_type_in_their_list_alone():
    noise = {"_target_": "albumentations.GaussNoise", "p": 0.5}
    check_targets({"data": {"augmentation": {"transforms": [noise]}}})
    check_any_targets({"transforms": [noise]})
    for tree in (
        {"data": {"augmentation": {"transforms": noise}}},
        {"data": {"augmentation": {"transforms": [[noise]]}}},
        {"data": {"augmentation": {"flip": noise}}},
        {"data": noise},
        {"data": {"augmentation": {"transforms": [{"_target_": "albumentations.HorizontalFlip"}]}}},
        {"data": {"augmentation": {"transforms": [noise | {"more": noise}]}}},
        {"data": {"augmentation": {"transforms": [noise | {"_partial_": True}]}}},
        {"data": {"augmentation": {"transforms": [{"_target_": "os.system"}]}}},
    ):
        with pytest.raises(InputError, match=r"not on the list|calls nothing in this way|may move"):
            check_targets(tree)
    with pytest.raises(InputError, match="may move"):
        check_any_targets({"transforms": [{"_target_": "albumentations.HorizontalFlip"}]})


@pytest.mark.parametrize("group", TARGETS)
def test_every_listed_target_is_there(group):
    import importlib

    for target in TARGETS[group]:
        module, _, name = target.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize(
    "tree",
    [
        {"generator": {"_target_": "torch.load", "f": "x"}},
        {"generator": {"_target_": "simswap.rendered.dataset.write_dataset"}},  # of another group
        {"generator": {"_target_": "lightning.pytorch.utilities.migration.migrate_checkpoint"}},
        {"generator": {"_target_": GENERATOR, "width": {"_target_": "os.system", "command": "x"}}},
        {"generator": {"_target_": GENERATOR, "width": [[{"_target_": GENERATOR}]]}},
        {"generator": {"_target_": GENERATOR, "_partial_": True}},
        {"generator": {"_target_": GENERATOR, "_args_": [1]}},
        {"generator": {"_target_": GENERATOR, "_recursive_": False}},
        {"generator": {"_target_": GENERATOR, "_convert_": "all"}},
        {"generator": {"_target_": [GENERATOR]}},
        {"_target_": GENERATOR},
        {"name": {"_target_": None}},
        {"hydra": {"callbacks": {"x": {"_target_": "os.system"}}}},
        {"hydra": {"launcher": {"_target_": HYDRA_TARGETS[1], "more": {"_target_": GENERATOR}}}},
        {"hydra": {"job_logging": {"handlers": {"x": {"()": "os.system", "command": "x"}}}}},
        {"hydra": {"job_logging": {"handlers": {"x": {"class": "subprocess.Popen", "args": "x"}}}}},
    ],
)
def test_other_calls_are_refused_at_any_depth(tree):
    with pytest.raises(InputError, match=r"not on the list|calls nothing in this way|logging takes"):
        check_targets(tree)


def test_build_calls_what_is_listed_and_nothing_below_it(tmp_path):
    with pytest.raises(InputError, match=r"torch\.load.*not on the list"):
        build(OmegaConf.create({"_target_": "torch.load", "f": str(tmp_path)}))
    with pytest.raises((TypeError, InputError)):  # the inner mapping stays one
        build(OmegaConf.create({"_target_": GENERATOR, "width": {"_target_": "os.mkdir", "path": f"{tmp_path}/was"}}))
    assert not (tmp_path / "was").exists()
