"""Hostile checkpoints end in one line and exit code 2 at every front door; nothing in them is worked on."""

import shutil
import sys

import pytest
import torch

from simswap import checkpoint
from simswap.errors import InputError
from simswap.evaluate import main as evaluate
from simswap.export import main as export
from simswap.train import main as train
from tests.hostile_files import HOSTILE, archive, doubled, text
from tests.training.runs import SMALL

FILES = [
    "a key of nested pairs", "values nested in values", "dicts in dicts, each twice (old form)", "packed zeros",
    "a storage of gigabytes", "many tensors of stride 0", "a call of the system",
]  # fmt: skip
TINY = ["trainer.max_steps=1", "generator=small", "generator.blocks=1", "generator.width=4", "discriminator.width=4"]
NESTED_NAME = archive(
    b"\x80\x02}" + text("simswap") + b"}(" + text("format") + b"K\x01" + text("template") + doubled(60) + b"us."
)


@pytest.fixture(scope="module")
def trained(crops, tmp_path_factory):
    """A whole run of one iteration, as it stood at its end."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["simswap", *SMALL, *TINY, f"data.root={crops}", f"hydra.run.dir={folder}"])
        with pytest.raises(SystemExit) as left:
            train()
    assert not left.value.code
    return folder


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", [*FILES, "a nested name of a template"])
def test_it_is_refused_in_one_line(name, tmp_path):
    (tmp_path / "a.ckpt").write_bytes(HOSTILE.get(name, NESTED_NAME))
    for read in (checkpoint.load, checkpoint.read_state_dict):
        with pytest.raises(InputError, match=r"a\.ckpt is no .*, or is cut off") as refused:
            read(tmp_path / "a.ckpt")
        assert "\n" not in str(refused.value)


@pytest.mark.timeout(300)
def test_front_doors_refuse_it(trained, crops, tmp_path, door, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.ckpt").write_bytes(HOSTILE["a key of nested pairs"])
    (tmp_path / "b.ckpt").write_bytes(HOSTILE["values nested in values (old form)"])
    shutil.copytree(trained, tmp_path / "run")
    for number, old in enumerate((tmp_path / "run" / "checkpoints").glob("*.ckpt")):
        old.write_bytes(HOSTILE["packed zeros" if number % 2 else "a key in many items"])
    begin = [*SMALL, *TINY, f"data.root={crops}", "hydra.run.dir=new", "start_from=b.ckpt"]
    for main, arguments, words in (
        (evaluate, ["checkpoint=a.ckpt"], "a.ckpt is no checkpoint, or is cut off"),
        (export, ["checkpoint=b.ckpt", "out=o.onnx"], "b.ckpt is no checkpoint, or is cut off"),
        (train, begin, "b.ckpt is no checkpoint, or is cut off"),
        (train, ["resume=run", "trainer.max_steps=2"], "none of its checkpoints is intact"),
    ):
        code, _, errors = door(main, *arguments)
        assert code == 2
        assert words in errors.splitlines()[-1]
        assert "Traceback" not in errors
    assert not (tmp_path / "o.onnx").exists()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "described",
    [{"blocks": 10**9}, {"width": 10**7}, {"identity_size": 10**12}, {"stages": 10**5}, {"max_width": 2},
     {"blocks": "9"}, {"width": 10**4000}, {"norm": "none"}, {"unknown": 1}, {"stages": None}],
    ids=str,
)  # fmt: skip
def test_a_described_network_takes_no_more_memory_than_its_weights(described, trained, tmp_path):
    content = checkpoint.read(trained / "checkpoints" / "last.ckpt")
    checkpoint.load(trained / "checkpoints" / "last.ckpt")
    content["simswap"]["generator"].update(described)
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(InputError) as refused:
        checkpoint.load(tmp_path / "a.ckpt")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 700


def test_a_slim_checkpoint_names_no_folder_of_the_machine(trained, crops, tmp_path):
    checkpoint.write_slim(trained / "checkpoints" / "last.ckpt", tmp_path / "slim.ckpt", {"terms": "none"})
    whole, slim = (checkpoint.load(path) for path in (trained / "checkpoints" / "last.ckpt", tmp_path / "slim.ckpt"))
    assert whole.description["config"]["data"]["root"] == str(crops)
    assert slim.description["config"]["data"]["root"] == crops.name
    assert slim.description["config"]["generator"] == whole.description["config"]["generator"]
    assert slim.description["notes"] == {"terms": "none"}
    assert str(crops.parent).encode() not in (tmp_path / "slim.ckpt").read_bytes()
