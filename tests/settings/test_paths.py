"""Arguments as a person types them: paths with any characters, ~, lists, choices and interpolations."""

import shlex

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from simswap.settings.paths import escape_tree, escaped, read_arguments, with_home
from simswap.settings.words import CONF_DIR, explain_hydra, hydra_quoted, quoted
from simswap.train import main
from tests.training.runs import SMALL

HARD = [
    "Fotos/Zoë", "写真/顔", "a=b", "a, b", "(1) x", "it's", 'say "x"', "~x~", "a[0]", "{a}", "#1", "a$b", "a:b",
    "a & b", "a b ", "a;b|c", "*?!", "%20", "back\\slash", "ends\\", "2021", "1e3", "true", "null.csv",
    "a'b\"c, d=e(f)[g]{h}~#$:&é",
    "[in]", "x'", "'quoted", "a\u00a0b", "-m", "+x", "@home", "ümlaut=ß,(é)",
]  # fmt: skip


def value_of(argument, key="data.root"):
    (override,) = OverridesParser.create().parse_overrides(read_arguments([argument]))
    assert override.key_or_group == key
    return OmegaConf.to_container(OmegaConf.create({"x": override.value()}), resolve=True)["x"]


@pytest.mark.parametrize("path", HARD)
def test_a_path_is_taken_as_it_is(path):
    assert str(value_of(f"data.root={path}")) == path
    assert str(value_of(f"+data.root={path}")) == path


@pytest.mark.parametrize("path", HARD)
def test_quotes_of_ones_own_are_kept_as_hydras(path):
    assert str(value_of(f"data.root={hydra_quoted(path)}")) == path


@pytest.mark.parametrize("path", [*HARD, "${x}", "null", "[a,b]", "'a'", "~"])
def test_what_exists_under_the_very_name_is_meant(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/nowhere")
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text("")
    given = f"./{path}" if path in ("null", "~") else path
    assert str(value_of(f"data.root={given}")) == given


def test_home_is_home_everywhere(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/ä b")
    assert value_of("data.root=~/x (1)") == "/home/ä b/x (1)"
    assert value_of("data.root=~") == "/home/ä b"
    assert value_of("source=[~/a.jpg,b/~c.jpg]", "source") == ["/home/ä b/a.jpg", "b/~c.jpg"]
    assert read_arguments(["--config-dir=~/c"]) == ["--config-dir=/home/ä b/c"]
    assert value_of("data.root='~/x'") == "/home/ä b/x"
    assert value_of("hydra.run.dir=~/r/x", "hydra.run.dir") == "/home/ä b/r/x"
    cfg = OmegaConf.create(
        {"data": {"root": "~/a"}, "source": ["~/s", "t"], "name": "~", "checkpoint": "???", "raw": None}
    )
    with_home(cfg)
    assert OmegaConf.to_container(cfg) == {
        "data": {"root": "/home/ä b/a"},
        "source": ["/home/ä b/s", "t"],
        "name": "~",
        "checkpoint": "???",
        "raw": None,
    }


def test_lists_choices_and_interpolations_stay_what_they_are():
    assert value_of("source=[a b.jpg,'c,d.jpg',(e).jpg]", "source") == ["a b.jpg", "c,d.jpg", "(e).jpg"]
    assert value_of("runs=outputs/*/2026", "runs") == "outputs/*/2026"
    assert read_arguments(["seed=1,2", "name=x", "protocol.pairs=20", "data.root=null", "~judge"]) == [
        "seed=1,2",
        "name=x",
        "protocol.pairs=20",
        "data.root=null",
        "~judge",
    ]
    assert read_arguments(["-m", "data.root=a,b"])[1] == "data.root=a,b"
    assert read_arguments(["-m", "data.root=ä b,c"])[1] == "data.root='ä b','c'"
    assert value_of("hydra.run.dir=runs (1)/${oc.env:HOME}", "hydra.run.dir").startswith("runs (1)//")


def test_a_literal_brace_survives_being_made_a_config_again():
    for text in ("a${b}", "\\${b}", "x\\\\${y", "${", "plain"):
        assert OmegaConf.to_container(OmegaConf.create({"x": escaped(text)}), resolve=True)["x"] == text or text == "${"
    tree = {"a": ["${x}", 1, None], "b": {"c": "${now:%Y}"}}
    assert OmegaConf.to_container(OmegaConf.create(escape_tree(tree)), resolve=True) == tree


@pytest.mark.parametrize("value", ["a (b", "it's", "x, y", "Zoë"])
def test_other_texts_are_shown_quoted_and_ready_to_copy(value):
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        try:
            compose("compare", [f"title={value}"])
        except Exception as error:
            line = explain_hydra(error)
        else:
            raise AssertionError("Hydra takes it by now")
        assert "\n" not in line
        assert line.endswith(quoted(f"title={value}"))
        (argument,) = shlex.split(quoted(f"title={value}"))
        assert compose("compare", [argument]).title == value


def test_a_training_in_a_folder_of_a_hard_name(crops, tmp_path, door, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    hard = tmp_path / "é (1), it's =[x] {y} #&~:$z"
    hard.mkdir()
    (hard / "data").symlink_to(crops)
    code, _, errors = door(
        main, *SMALL, f"data.root=~/{hard.name}/data", f"hydra.run.dir={hard}/run, ü", "trainer.max_steps=1"
    )
    assert code == 0, errors
    code, _, errors = door(main, f"resume=~/{hard.name}/run, ü", "trainer.max_steps=2")
    assert code == 0, errors
    assert (hard / "run, ü" / "checkpoints" / "previous.ckpt").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == [hard.name]
