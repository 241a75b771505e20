"""Lineage, pruning, workspace and report of a group, by W&B's API against a stand-in for the server."""

import json
import re

import pytest

from simswap.comparison import wandb_group
from simswap.comparison.wandb_group import finish_group, main
from simswap.comparison.wandb_runs import open_api
from simswap.comparison.wandb_workspace import (
    LOSSES,
    build_group_report,
    build_workspace,
    columns,
    is_wide,
    sections,
    varied_settings,
)
from simswap.errors import InputError
from simswap.losses.terms import TERMS
from tests.wandb_server import WHEN, StandIn, Version, served

pytest.importorskip("wandb_workspaces", reason="the extra 'reports' is not installed")
VARIED = {"objective.weights.identity": [3.0, 100.0], "objective.feature_matching.first_layer": [0, 2]}


def run(identity, job, config, group="demo 2026"):
    """A run as the server answers it."""
    return {
        "id": identity, "projectId": "1", "tags": [], "name": identity, "displayName": f"run {identity}",
        "sweepName": None, "state": "finished", "group": group, "jobType": job, "commit": None, "readOnly": False,
        "config": json.dumps({key: {"value": value} for key, value in config.items()}), "createdAt": WHEN,
        "heartbeatAt": WHEN, "description": "", "notes": "", "systemMetrics": "{}", "summaryMetrics": "{}",
        "historyLineCount": 3, "user": {"name": "me", "username": "me"}, "historyKeys": None,
    }  # fmt: skip


def used(**what):
    return {"used": what}


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A group of two trainings, the second begun from the first's checkpoint, and an evaluation of the second."""
    data = {"artifact": "data-d1", "sha256": "d1"}
    runs = [
        run("a", "train", {"name": "demo", "seed": 0, "objective": {"weights": {"identity": 3.0}}} | used(data=data)),
        run("b", "train", {"name": "demo", "seed": 1, "objective": {"weights": {"identity": 30.0}}}
            | used(data=data, start_from={"sha256": "full-a", "path": "outputs/a"})),
        run("c", "evaluate", used(checkpoint={"sha256": "slim-b", "iteration": 9, "run": "b"})),
        run("e", "evaluate", used(checkpoint={"sha256": "f" * 64, "iteration": 9, "run": "b"})),
        run("x", "train", {"name": "else"} | used(data=data), "else"),
    ]  # fmt: skip

    def version(owner, number, *aliases):
        facts = {"of": f"full-{owner}", "sha256": f"slim-{owner}"} if "best" in aliases else {"sha256": f"{number}"}
        return Version(f"checkpoint-{owner}", "model", number, list(aliases), {}, facts)

    versions = [
        Version("data-d1", "dataset", 0, ["latest"]),
        *(version("a", number, f"iteration-{number}", *["best"][: number == 4]) for number in range(6)),
        version("b", 0, "best", "last", "latest"),
    ]
    content = StandIn(runs=runs, versions=versions, inputs={"a": ["data-d1-0"]})
    with served(content):
        for name, value in {"WANDB_BASE_URL": content.address, "WANDB_API_KEY": "0123456789" * 4,
                            "WANDB_MODE": "online", "WANDB_DIR": str(tmp_path)}.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        yield content


def test_lineage_is_linked_and_old_versions_are_deleted(server, monkeypatch, capsys):
    for arguments in (["me", "demo"], ["me/p", "demo", "--keep", "0"]):
        monkeypatch.setattr("sys.argv", ["x", *arguments])
        with pytest.raises(SystemExit, match="2"):
            main()
        assert "give ENTITY/PROJECT, and at least 1 version" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["x", "me/p", "demo", "--keep", "3", "--no-workspace", "--no-report"])
    main()
    assert capsys.readouterr().out.splitlines() == [
        "2 training runs and 2 evaluations of demo",
        "linked 3 artifacts to the runs that used them",
        f"run e: no artifact has the checkpoint with SHA-256 {'f' * 12}…",
        "deleted 3 checkpoint versions: checkpoint-a:v0, checkpoint-a:v1, checkpoint-a:v2",
    ]
    assert server.inputs == {"a": ["data-d1-0"], "b": ["data-d1-0", "checkpoint-a-4"], "c": ["checkpoint-b-0"]}
    assert [one.number for one in server.versions if one.name == "checkpoint-a"] == [3, 4, 5]
    assert server.strange == []
    again = finish_group(open_api(), "me/p", "demo 2026", 3, workspace=False, report=False)
    assert again[1] == "linked 0 artifacts to the runs that used them"
    assert again[-1] == "deleted 0 checkpoint versions"
    with pytest.raises(InputError, match="me/p has no training run in the group none: upload offline runs first"):
        finish_group(open_api(), "me/p", "none", 3)


def test_offline_it_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["x", "me/p", "demo"])
    monkeypatch.setenv("WANDB_MODE", "offline")
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "this needs W&B's server, but its variables in the environment say offline" in capsys.readouterr().err
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setattr(wandb_group, "open_api", lambda: object())
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "error: me/p: 'object' object has no attribute 'runs'; check the name" in capsys.readouterr().err


def test_settings_that_differ_are_found():
    configs = [
        {"seed": 0, "objective": {"weights": {"identity": 3}}, "generator": {"blocks": 3}, "used": {"data": 1},
         "data": {"root": "/a/b"}, "logger": {"keep": 1}},
        {"seed": 1, "objective": {"weights": {"identity": 3.0}}, "generator": {"blocks": 6}, "used": {"data": 2},
         "data": {"root": "/c"}, "logger": {"keep": 2}, "tf32": True},
    ]  # fmt: skip
    assert varied_settings(configs) == {"generator.blocks": [3, 6]}
    assert is_wide([3, 100.0])
    assert not is_wide([3, 80])
    assert not is_wide([0, 100])
    assert not is_wide([True, 100])
    assert not is_wide(["a", 100])


def test_a_groups_runs_are_filtered_as_they_are_logged():
    model = build_workspace("me", "p", "demo", ["demo", "demo 1", "demo", None], VARIED)._to_model()
    (job, group) = model.spec.section.run_sets[0].model_dump(by_alias=True)["filters"]["filters"]
    assert (job["key"], job["op"], job["value"]) == ({"section": "run", "name": "jobType"}, "=", "train")
    assert group["key"] == {"section": "run", "name": "group"}
    assert (group["op"], group["value"]) == ("IN", ["demo", "demo 1"])


def test_columns_are_named_as_wandb_stores_them():
    found = columns(VARIED)
    assert found[:3] == ["run:displayName", "run:state", "summary:val/id_retrieval.last"]
    assert "config:objective.value.weights.identity" in found
    assert "config:seed.value" in found


def test_the_layer_range_is_there_if_it_varies():
    assert "Layer range" in sections(VARIED)
    assert "Layer range" not in sections({"generator.blocks": [3, 6]})


def test_every_term_has_its_curve():
    assert set(TERMS) - {"cycle"} <= set(LOSSES)


def keys_in(view) -> dict[str, set[str]]:
    """The keys of a workspace or report: of the history, the summary and the config."""
    text = json.dumps(view._to_model().model_dump(by_alias=True, mode="json"))
    found = {kind: set(re.findall(rf"{kind}:([\w./]+)", text)) for kind in ("summary", "config")}
    history = set(re.findall(r'"((?:val|train|watch)/\w+)"', text))
    return found | {"history": history, "media": set(re.findall(r'"mediaKeys": \["([^\]]*)"\]', text))}


def test_workspace_and_report_are_saved(server):
    lines = finish_group(open_api(), "me/p", "demo", 9)
    assert lines[-2].startswith("workspace: http")
    assert lines[-1].startswith("report: http")
    assert [(view["type"], view["displayName"]) for view in server.views] == [
        ("project-view", "SimSwap demo"), ("runs", "SimSwap demo")]  # fmt: skip
    assert '"objective.value.weights.identity"' not in server.views[0]["spec"]
    assert "config:objective.value.weights.identity" in server.views[0]["spec"]
    assert server.strange == []


def test_keys_are_those_of_both_views(server):
    report, workspace = (make("me", "p", "demo", ["demo"], VARIED) for make in (build_group_report, build_workspace))
    assert keys_in(report)["history"] == keys_in(workspace)["history"] >= {"val/id_retrieval", "train/identity"}
    assert "objective.value.weights.identity" in keys_in(report)["config"]
