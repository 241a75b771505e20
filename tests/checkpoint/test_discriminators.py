"""Discriminators in checkpoints: of runs of today and earlier, in files to share, and the line where there are none."""

import sys
from pathlib import Path

import pytest
import torch

from simswap import checkpoint
from simswap.checkpoint.__main__ import main
from simswap.errors import InputError
from simswap.models.builtin import WEIGHTS
from simswap.models.discriminator import Discriminators
from simswap.settings import trusted

RECORDED = Path(__file__).parents[1] / "recorded" / "run" / "checkpoints" / "last.ckpt"
"""Of a run of an earlier version."""


@pytest.fixture(scope="module")
def shared_file(tmp_path_factory):
    out = tmp_path_factory.mktemp("slim") / "kept.ckpt"
    checkpoint.write_slim(RECORDED, out, {"made with": "a test"}, discriminators=True)
    return out


def test_a_run_of_an_earlier_version_has_its_discriminators():
    found = checkpoint.load_discriminators(RECORDED)
    config = checkpoint.read(RECORDED)["simswap"]["config"]
    assert isinstance(found.network, Discriminators)
    assert not found.network.training
    assert not any(weight.requires_grad for weight in found.network.parameters())
    assert found.layers == found.network.layer_count
    matching = config["objective"]["feature_matching"]
    assert (found.first_layer, found.last_layer) == (matching["first_layer"], matching["last_layer"])
    assert found.weight == config["objective"]["weights"]["feature_matching"]
    stored = checkpoint.read(RECORDED)["state_dict"]["discriminators.scales.0.layers.0.0.weight"]
    assert torch.equal(found.network.scales[0].layers[0][0].weight, stored)


def test_a_file_to_share_keeps_them_in_half_precision_beside_the_same_generator(shared_file, tmp_path):
    checkpoint.write_slim(RECORDED, tmp_path / "alone.ckpt")
    whole, kept = (checkpoint.load_discriminators(path) for path in (RECORDED, shared_file))
    for name, value in whole.network.state_dict().items():
        rounded = value.half().float() if value.is_floating_point() else value
        assert torch.equal(kept.network.state_dict()[name], rounded), name
    assert (kept.first_layer, kept.last_layer, kept.layer_reduction, kept.weight) == (
        whole.first_layer, whole.last_layer, whole.layer_reduction, whole.weight,
    )  # fmt: skip
    alone, both = checkpoint.load(tmp_path / "alone.ckpt"), checkpoint.load(shared_file)
    assert both.description == alone.description | {"notes": {"made with": "a test"}}
    for name, value in alone.generator.state_dict().items():
        assert torch.equal(both.generator.state_dict()[name], value), name
    names = {name.split(".")[0] for name in checkpoint.read(shared_file)["state_dict"]}
    assert names == {"ema", "discriminators"}


@pytest.mark.parametrize("file", ["demo.ckpt", "photo.ckpt"])
def test_a_file_without_them_says_what_to_do(file, tmp_path):
    with pytest.raises(InputError, match="holds no discriminators") as refused:
        checkpoint.load_discriminators(WEIGHTS / file)
    assert "python -m simswap.checkpoint --discriminators" in str(refused.value)
    with pytest.raises(InputError, match="holds no discriminators"):
        checkpoint.write_slim(WEIGHTS / file, tmp_path / "out.ckpt", discriminators=True)
    assert not list(tmp_path.iterdir())


def test_the_command_keeps_them_if_asked(tmp_path, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["checkpoint", *map(str, arguments)])
        main()

    run("--discriminators", RECORDED, tmp_path / "kept.ckpt", "--note", "terms=none")
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'kept.ckpt'}: 0.")
    assert checkpoint.load_discriminators(tmp_path / "kept.ckpt").layers > 1
    run(RECORDED, tmp_path / "alone.ckpt")
    with pytest.raises(SystemExit) as left:
        run("--discriminators", tmp_path / "alone.ckpt", tmp_path / "no.ckpt")
    assert left.value.code == 2
    assert "holds no discriminators" in capsys.readouterr().err
    assert not (tmp_path / "no.ckpt").exists()


@pytest.mark.parametrize(
    "described",
    [{"width": 10**7}, {"width": "4"}, {"width": 10**4000}, {"layers": 9}, {"scales": 10**9}, {"scales": 1},
     {"scales": "2"}, {"norm": "unknown"}, {"unknown": 1}, {"_target_": "os.system"}, {"_target_": None}],
    ids=lambda one: str(one)[:40],
)  # fmt: skip
def test_a_wrong_description_is_refused_in_one_line_without_memory(described, shared_file, tmp_path):
    content = checkpoint.read(shared_file)
    content["simswap"]["config"]["discriminator"].update(described)
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(InputError) as refused:
        checkpoint.load_discriminators(tmp_path / "a.ckpt")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 700


@pytest.mark.parametrize("spoil", ["no range", "not finite", "a weight is missing", "range of no layer"])
def test_a_damaged_file_is_refused(spoil, shared_file, tmp_path):
    content = checkpoint.read(shared_file)
    name = "discriminators.scales.0.layers.0.0.weight"
    if spoil == "not finite":
        content["state_dict"][name][0] = torch.nan
    elif spoil == "a weight is missing":
        del content["state_dict"][name]
    elif spoil == "no range":
        del content["simswap"]["config"]["objective"]
    else:
        content["simswap"]["config"]["objective"]["feature_matching"]["last_layer"] = 7
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(InputError):
        checkpoint.load_discriminators(tmp_path / "a.ckpt")


def test_a_class_of_another_package_needs_trust(shared_file, tmp_path, monkeypatch):
    (tmp_path / "mylab_discriminators.py").write_text(
        "from simswap.models.discriminator import Discriminators\nclass Mine(Discriminators):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    content = checkpoint.read(shared_file)
    content["simswap"]["config"]["discriminator"]["_target_"] = "mylab_discriminators.Mine"
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match=r"add trusted=\[mylab_discriminators\]"):
        checkpoint.load_discriminators(tmp_path / "a.ckpt")
    monkeypatch.setattr(trusted, "_packages", ("mylab_discriminators",))
    assert type(checkpoint.load_discriminators(tmp_path / "a.ckpt").network).__name__ == "Mine"
