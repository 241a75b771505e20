"""Keys without a value, folders to search for YAML files, and folders of Hydra's in them, before anything is made."""

import pytest

from simswap.compare import main as compare
from simswap.evaluate import main as evaluate
from simswap.export import main as export
from simswap.import_weights import main as import_weights
from simswap.prepare import main as prepare
from simswap.settings.before import search_folders
from simswap.swap import main as swap
from simswap.train import main as train
from tests.training.runs import SMALL


@pytest.mark.parametrize(
    ("main", "arguments", "line"),
    [
        (evaluate, [], "checkpoint has no value: give checkpoint=…, as in: simswap-evaluate checkpoint=outputs/"),
        (evaluate, ["checkpoint=a.ckpt", "judge=onnx"], "judge.path has no value: give judge.path=…, as in: simswap-"),
        (evaluate, ["checkpoint=null", "protocol=folder"], "protocol.pairs has no value"),
        (evaluate, ["-m", "judge=none"], "checkpoint has no value"),
        (swap, [], "checkpoint, target and out have no value: give checkpoint=… target=… out=…, as in: simswap-swap "),
        (swap, ["target=a.jpg", "out=b.jpg"], "checkpoint has no value"),
        (prepare, [], "raw and out have no value: give raw=… out=…, as in: simswap-prepare raw="),
        (prepare, ["raw=a", "out=b", "detector=insightface"], "detector.pack has no value"),
        (export, [], "checkpoint and out have no value: give checkpoint=… out=…, as in: simswap-export checkpoint="),
        (import_weights, [], "weights, generation, size, out and recognition.path have no value"),
        (compare, [], "say which runs: runs=outputs/<name>"),
        (train, ["recognition=onnx"], "recognition.path has no value: give recognition.path=…, as in: simswap-train "),
        (train, ["-m", "seed=0,1", "pose=pnp"], "pose.pack has no value"),
        (train, [], "make one with: simswap-prepare raw="),
    ],
)  # fmt: skip
def test_a_key_without_a_value_is_named_with_an_example(main, arguments, line, tmp_path, door, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, errors = door(main, *arguments)
    assert code == 2
    assert errors.count("\n") == 1
    assert line in errors
    assert "issing" not in errors.replace("is missing", "")
    if arguments or main is not train:
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("group", "members"), [("pose", "builtin, dlib68"), ("judge", "builtin, none")])
@pytest.mark.parametrize("several", [[], ["-m", "seed=0,1"]])
def test_a_yaml_file_that_stacks_members_of_one_group_is_refused(group, members, several, tmp_path, door, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "mine" / "experiment" / "own.yaml"
    own.parent.mkdir(parents=True)
    given = ["hydra.searchpath=[mine]", "experiment=own", "data.root=none"]
    own.write_text(f"# @package _global_\ndefaults:\n  - override /{group}: [{members}]\n")
    code, _, errors = door(train, *several, *given)
    assert code == 2
    assert f"{group} takes one choice, and a defaults list in a YAML file gives it several; choose builtin" in errors
    own.write_text(f"# @package _global_\ndefaults:\n  - override /{group}: builtin\n")
    assert "make one with: simswap-prepare raw=" in door(train, *given)[2]


def test_a_searched_folder_is_checked_like_a_config_dir(crops, tmp_path, door, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for place, text in {
        "mine/generator/slim": "defaults: [small]\nwidth: 4\n",
        "evil/generator/bad": "_target_: os.system\ncommand: touch was-run\n",
        "far/experiment/x": "hydra: {searchpath: [evil]}\n",
    }.items():
        (tmp_path / f"{place}.yaml").parent.mkdir(parents=True)
        (tmp_path / f"{place}.yaml").write_text(text)
    for given, words in (
        ("[evil]", "bad.yaml"),
        ("['file://evil']", "bad.yaml"),
        ("[far]", "command line"),
        ("[pkg://os]", "give a folder"),
        ("[gone]", "no such folder"),
        ("[~/evil]", "bad.yaml"),
    ):
        code, _, errors = door(train, f"hydra.searchpath={given}", "experiment=debug", "seed=1")
        assert code == 2
        assert words in errors
    code, _, errors = door(
        train,
        "hydra.searchpath=[file://mine]",
        *SMALL,
        "generator=slim",
        "generator.blocks=1",
        f"data.root={crops}",
        "trainer.max_steps=1",
        "discriminator.width=4",
        "hydra.run.dir=run",
    )
    assert code == 0, errors
    assert "width: 4" in (tmp_path / "run" / ".hydra" / "config.yaml").read_text()
    assert not (tmp_path / "was-run").exists()
    assert not (tmp_path / "outputs").exists()
    assert search_folders(["a=1", "+hydra.searchpath=['x y']"])[1] == ["a=1"]


def test_home_in_a_file_is_home(crops, tmp_path, door, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "ä home"))
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    own = tmp_path / "mine" / "experiment" / "own.yaml"
    tiny = [*SMALL[1:], f"data.root={crops}", "generator.blocks=1", "generator.width=4", "discriminator.width=4"]
    base = "# @package _global_\ndefaults: [debug]\n"
    own.write_text(f'{base}hydra: {{run: {{dir: "~/runs/${{name}}"}}, sweep: {{dir: ~/sweep}}}}\n')
    ours = ["--config-dir", "mine", "experiment=own", *tiny]
    code, _, errors = door(train, *ours, "trainer.max_steps=1")
    assert code == 0, errors
    run = tmp_path / "ä home" / "runs" / "debug"
    assert (run / "checkpoints" / "last.ckpt").is_file()
    code, _, errors = door(train, "-m", *ours, "trainer.max_steps=1", "seed=1")
    assert code == 0, errors
    assert (tmp_path / "ä home" / "sweep" / "0" / "checkpoints" / "last.ckpt").is_file()
    code, _, errors = door(train, *ours, "seed=-1")
    assert code == 2, errors
    own.write_text("# @package _global_\nresume: ~/runs/debug\n")
    code, _, errors = door(train, "--config-dir", "mine", "experiment=own", "trainer.max_steps=2")
    assert code == 0, errors
    assert (run / "checkpoints" / "previous.ckpt").is_file()
    assert not list(tmp_path.rglob("~*"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "ä home"]  # no outputs
