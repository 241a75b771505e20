"""What earlier versions recorded is read under the names of today."""

import importlib
import json

from simswap.settings.records import read_plain
from simswap.settings.targets import MOVED_MODULES, with_current_names
from simswap.train import main
from tests.training.runs import SMALL


def test_modules_are_where_the_table_says():
    for module in MOVED_MODULES.values():
        importlib.import_module(module)


def test_targets_at_any_depth_have_their_present_name():
    before = {
        "hydra": {"callbacks": {"failed_jobs": {"_target_": "simswap.jobs.FailedJobs"}}},
        "list": [{"_target_": "simswap.faces.rendered_dataset.write_dataset", "size": 64}],
        "generator": {"_target_": "simswap.models.generator.Generator"},
        "judge": {"_target_": None},
        "name": "simswap.jobs.FailedJobs",  # a text that is no target stays
    }
    assert with_current_names(before) == {
        "hydra": {"callbacks": {"failed_jobs": {"_target_": "simswap.launching.jobs.FailedJobs"}}},
        "list": [{"_target_": "simswap.rendered.dataset.write_dataset", "size": 64}],
        "generator": {"_target_": "simswap.models.generator.Generator"},
        "judge": {"_target_": None},
        "name": "simswap.jobs.FailedJobs",
    }


def test_a_run_of_an_earlier_version_is_resumed(crops, tmp_path, door):
    run = tmp_path / "run"
    code, _, errors = door(main, *SMALL, f"data.root={crops}", f"hydra.run.dir={run}", "trainer.max_steps=1")
    assert code == 0, errors
    for name in ("config.yaml", "hydra.yaml"):
        file = run / ".hydra" / name
        text = file.read_text()
        older = (
            text.replace("simswap.launching.", "simswap.training.", 1)
            if name == "config.yaml"
            else text.replace("simswap.launching.jobs", "simswap.jobs")
        )
        assert older != text
        file.write_text(older)
    assert read_plain(run / ".hydra" / "config.yaml")["strategy"]["_target_"] == (
        "simswap.launching.distributed.Processes"
    )
    code, _, errors = door(main, f"resume={run}", "trainer.max_steps=2")
    assert code == 0, errors
    assert json.loads((run / "status.json").read_text())["state"] == "finished"


def test_a_folder_prepared_by_an_earlier_version_is_prepared_on(tmp_path, door, monkeypatch):
    from simswap.prepare import main as prepare

    monkeypatch.chdir(tmp_path)
    command = ["origin=rendered", "origin.persons=2", "origin.images=2", "origin.size=64", "raw=faces", "out=crops",
               "size=32", "workers=0"]  # fmt: skip
    code, _, errors = door(prepare, *command)
    assert code == 0, errors
    file = tmp_path / "crops" / "prepare.json"
    text = file.read_text()
    older = text.replace("simswap.rendered.dataset", "simswap.faces.rendered_dataset")
    assert older != text
    file.write_text(older)
    code, _, errors = door(prepare, *command)
    assert code == 0, errors
