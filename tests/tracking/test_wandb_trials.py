"""A sweep's trials as W&B has them."""

from types import SimpleNamespace

from omegaconf import OmegaConf
from tests.wandb_records import fragments, recorded

from hydra_plugins.simswap_sweeping.study_sweeper import StudySweeper
from simswap.tracking.wandb_run import KnownAs, known_as, remember
from simswap.tracking.wandb_trials import put_trials, trials_in

CSV = """job,state,objective.weights.identity,trainer.max_time,optimizer.algorithm.betas,val/id_retrieval,reason
0,complete,3.5,null,"[0, 0.9]",0.25,
1,fail,10,\"\"\"00:00:10:00\"\"\","[0, 0.9]",,"killed, by a signal"
"""


def config(**logger):
    return OmegaConf.create(
        {"name": "demo", "logger": {"project": None, "entity": None, "mode": "offline"} | logger,
         "sweep": {"metrics": ["val/id_retrieval"], "directions": ["maximize"]}}
    )  # fmt: skip


def test_trials_have_numbers_and_their_runs(tmp_path):
    assert trials_in(tmp_path) == ([], [])
    (tmp_path / "trials.csv").write_text(CSV)
    remember(tmp_path / "0", KnownAs("abc", "0 identity=3.5", None, "train", "simswap"))
    columns, rows = trials_in(tmp_path)
    assert columns[-2:] == ["run", "name"]
    assert rows == [
        [0, "complete", 3.5, None, "[0, 0.9]", 0.25, None, "abc", "0 identity=3.5"],
        [1, "fail", 10, "00:00:10:00", "[0, 0.9]", None, "killed, by a signal", "", ""],
    ]


def test_the_table_is_in_one_run_of_the_sweeps_group(tmp_path, monkeypatch):
    sweep = tmp_path / "2026-11-26_12-00-00"
    sweep.mkdir()
    put_trials(sweep, config())  # no trials
    (sweep / "trials.csv").write_text(CSV)
    put_trials(sweep, config(mode="disabled"))
    assert not (sweep / "wandb").exists()
    monkeypatch.setenv("WANDB_RUN_ID", "one-job")
    monkeypatch.setenv("WANDB_NAME", "one job")
    put_trials(sweep, config())
    put_trials(sweep, config())  # the sweep was resumed
    first, second = map(recorded, fragments(sweep))
    assert first.names == second.names
    assert first.names == {"name": f"trials of {sweep.name}", "group": f"demo {sweep.name}", "job_type": "sweep",
                           "id": known_as(sweep).id, "project": "simswap"}  # fmt: skip
    assert first.names["id"] != "one-job"
    assert first.config["sweep"] == {"metrics": ["val/id_retrieval"], "directions": ["maximize"]}
    (row,) = [row for row in first.rows if any(key.startswith("sweep/trials") for key in row)]
    assert row["sweep/trials/nrows"] == 2
    (table,) = first.of_type("run_table")
    assert any(name.startswith("sweep/trials") for name in table.files)


def test_the_sweeper_logs_it_when_all_trials_are_done(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr("simswap.sweeping.sweep.run_sweep", lambda *_: done.append("trials") or ["returned"])
    monkeypatch.setattr("simswap.tracking.wandb_trials.put_trials", lambda *given: done.append(given))
    sweeper = StudySweeper()
    sweeper.config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}})
    sweeper.hydra_context = SimpleNamespace(config_loader=None)
    assert sweeper.sweep(["seed=0,1"]) == ["returned"]
    assert done == ["trials", (tmp_path, sweeper.config)]
