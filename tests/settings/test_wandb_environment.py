"""W&B's own variables: what each comes to in the run that W&B has, and what is said of those that do not apply."""

import os

import pytest

from simswap.errors import InputError
from simswap.settings import wandb_environment
from simswap.settings.wandb_environment import folder_for, settled_mode, tidied
from simswap.tracking.logger import build_loggers, finish
from simswap.tracking.wandb_history import offline_fragments
from simswap.tracking.wandb_run import known_as, to_be_known_as


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    for name in [name for name in os.environ if name.startswith("WANDB_") and name != "WANDB_SERVICE"]:
        monkeypatch.delenv(name)
    wandb_environment.say_once.cache_clear()


def named(run, **more):
    return to_be_known_as(run, "3 seed=1", "demo 2026", "train", more.get("project"), more.get("entity"))


@pytest.mark.parametrize(
    ("variables", "mode"),
    [({}, "online"), ({"WANDB_MODE": ""}, "online"), ({"WANDB_MODE": " "}, "online"),
     ({"WANDB_MODE": "offline"}, "offline"), ({"WANDB_MODE": "dryrun"}, "offline"),
     ({"WANDB_DISABLED": "true"}, "disabled"), ({"WANDB_DISABLED": ""}, "online"),
     ({"WANDB_DISABLED": "false", "WANDB_MODE": "offline"}, "offline"),
     ({"WANDB_DISABLED": "1", "WANDB_MODE": "online"}, "disabled")],
)  # fmt: skip
def test_modes(monkeypatch, variables, mode):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert settled_mode("auto") == mode
    assert settled_mode("online") == "online"  # said on the command line


def test_a_word_that_is_none(monkeypatch):
    monkeypatch.setenv("WANDB_DISABLED", "perhaps")
    with pytest.raises(InputError, match="WANDB_DISABLED is 'perhaps'"):
        settled_mode("auto")


def test_a_new_run_takes_them(monkeypatch, tmp_path):
    assert named(tmp_path)[1:] == ("3 seed=1", "demo 2026", "train", "simswap", None, (), None, ())
    for name, value in {
        "WANDB_NAME": "n" * 200,
        "WANDB_RUN_GROUP": "g",
        "WANDB_PROJECT": "p",
        "WANDB_ENTITY": "e",
        "WANDB_TAGS": "a, b,,",
        "WANDB_NOTES": "why",
        "WANDB_RUN_ID": "abc",
    }.items():
        monkeypatch.setenv(name, value)
    assert named(tmp_path) == ("abc", "n" * 128, "g", "train", "p", "e", ("a", "b"), "why", ())
    assert named(tmp_path, project="mine", entity="me")[4:6] == ("mine", "me")  # said on the command line
    for name in (
        "WANDB_NAME",
        "WANDB_RUN_GROUP",
        "WANDB_PROJECT",
        "WANDB_ENTITY",
        "WANDB_TAGS",
        "WANDB_NOTES",
        "WANDB_RUN_ID",
    ):
        monkeypatch.setenv(name, "")
    assert named(tmp_path)[1:] == ("3 seed=1", "demo 2026", "train", "simswap", None, (), None, ())
    monkeypatch.setattr(wandb_environment, "in_a_sweep", lambda: True)
    monkeypatch.setenv("WANDB_RUN_ID", "abc")
    assert named(tmp_path).id != "abc"


def test_a_run_that_goes_on_keeps_everything(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("WANDB_TAGS", "first")
    finish(build_loggers(tmp_path, name="3 seed=1", group="demo 2026", mode="offline"))
    before = known_as(tmp_path)
    assert (before.name, before.group, before.project, before.tags) == ("3 seed=1", "demo 2026", "simswap", ("first",))
    moved = tmp_path.rename(tmp_path.with_name("renamed"))
    try:
        monkeypatch.setenv("WANDB_TAGS", "second")
        monkeypatch.setenv("WANDB_NAME", "other")
        loggers = build_loggers(moved, name="defaults", group="demo", project="else", mode="auto")
        experiment = loggers[1].experiment
        finish(loggers)
        assert (experiment.id, experiment.name, experiment.group) == (before.id, "3 seed=1", "demo 2026")
        assert experiment.tags == ("first",)
        assert known_as(moved) == before
        assert len(offline_fragments(moved, before.id)) == 2
    finally:
        moved.rename(tmp_path)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("W&B")]
    assert said == ["W&B: WANDB_NAME not used: the run continues as 3 seed=1 of simswap"]


def test_files_go_where_wandb_dir_says(monkeypatch, tmp_path, capsys):
    run, elsewhere = tmp_path / "run", tmp_path / "else" / "where"
    monkeypatch.setenv("WANDB_DIR", str(elsewhere))
    for _ in range(2):
        loggers = build_loggers(run, name="a", mode="offline")
        finish(loggers)
    known = known_as(run)
    assert known.folders == (str(elsewhere),)
    assert len(list((elsewhere / "wandb").glob("offline-run-*"))) == 2
    monkeypatch.delenv("WANDB_DIR")
    assert len(offline_fragments(run, known.id)) == 2  # found again, so that it stays offline and whole
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "file"))
    assert folder_for(run) == run
    assert f"W&B: WANDB_DIR={tmp_path / 'file'} is not used (" in capsys.readouterr().err


def test_what_wandb_would_stop_at_is_said_and_left_out(monkeypatch, tmp_path, capsys):
    values = {"WANDB_SILENT": "maybe", "WANDB_BASE_URL": "nowhere", "WANDB_INIT_TIMEOUT": "", "WANDB_MODE": "",
              "WANDB_JOB_TYPE": "mine", "WANDB_CONSOLE": "off"}  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with tidied():
        assert {name for name in values if name in os.environ} == {"WANDB_JOB_TYPE", "WANDB_CONSOLE"}
    assert {name: os.environ[name] for name in values} == values
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(" is not used")[0] for line in said] == [
        "W&B: WANDB_SILENT=maybe",
        "W&B: WANDB_BASE_URL=nowhere",
        "W&B: WANDB_JOB_TYPE",
    ]
    loggers = build_loggers(tmp_path, mode="offline")
    assert len(loggers) == 2
    assert loggers[1].experiment.job_type == "train"
    finish(loggers)


def test_where_wandb_fails_metrics_csv_goes_on(monkeypatch, tmp_path, capsys):
    def broken(**_):
        raise RuntimeError("Could not determine home directory.\nmore")

    monkeypatch.setattr("wandb.init", broken)
    loggers = build_loggers(tmp_path, mode="offline")
    assert [type(logger).__name__ for logger in loggers] == ["MetricsCsvLogger"]
    assert capsys.readouterr().err == (
        "W&B is left out (Could not determine home directory): metrics go to metrics.csv alone\n"
    )
