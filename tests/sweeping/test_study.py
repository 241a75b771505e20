"""The study in its folder: torn files, killed trials, repeated points, pruning, and settings that clash."""

from types import SimpleNamespace

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from simswap.errors import InputError
from simswap.launching.jobs import write_values
from simswap.sweeping.pruning import PruneByStudy, pruning_of
from simswap.sweeping.space import Space
from simswap.sweeping.study import JOURNAL, Settings, SweepStudy


def settings(**changed):
    return Settings(
        **(
            {
                "metrics": ["val/a"],
                "directions": ["maximize"],
                "sampler": "tpe",
                "trials": 4,
                "population": 4,
                "pruning": "none",
                "seed": 0,
            }
            | changed
        )
    )


SMALL = Space({"a": IntDistribution(1, 2), "b": CategoricalDistribution(["x", "y"])}, {})
LINE = Space({"a": FloatDistribution(0.0, 1.0)}, {})


def test_a_torn_journal_and_a_killed_trial(tmp_path):
    study = SweepStudy(tmp_path, LINE, settings())
    (done, first), (killed, second) = study.ask(2)
    study.finish(done, 0, [0.5])
    study.close()
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(b'{"op_code": 6, "wor')  # killed in the middle of a line
    (tmp_path / f"{JOURNAL}.lock").symlink_to(JOURNAL)

    study = SweepStudy(tmp_path, LINE, settings())
    assert study.resumed
    assert study.missing() == 3
    assert study.study.trials[killed].state == TrialState.FAIL
    (again, point), (_, other) = study.ask(2)
    assert point == second  # the killed point once more, in a folder of its own
    assert study.study.trials[again].user_attrs["job"] == 2
    assert other not in (first, second)
    study.close()


def test_a_job_that_ended_before_its_sweep_was_killed_counts(tmp_path):
    study = SweepStudy(tmp_path, LINE, settings())
    ((number, _),) = study.ask(1)
    (tmp_path / "0").mkdir()
    write_values(tmp_path / "0", 0.25)
    study.close()
    study = SweepStudy(tmp_path, LINE, settings())
    assert study.study.trials[number].values == [0.25]
    assert study.missing() == 3
    study.close()


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe", "nsga2"])
def test_no_point_twice_and_an_end_where_all_were_tried(sampler, tmp_path):
    study = SweepStudy(tmp_path, SMALL, settings(sampler=sampler, trials=9))
    points = []
    while study.missing() > 0 and (asked := study.ask(1)):
        ((number, point),) = asked
        points.append((point["a"], point["b"]))
        study.finish(number, len(points) - 1, [float(point["a"])])
    assert sorted(points) == [(1, "x"), (1, "y"), (2, "x"), (2, "y")]
    assert {trial.params["a"] for trial in study.best()} == {2}
    study.close()


def test_numbers_go_on_behind_any_folder(tmp_path):
    (tmp_path / "7").mkdir()
    study = SweepStudy(tmp_path, SMALL, settings(sampler="grid"))
    ((number, _),) = study.ask(1)
    assert study.study.trials[number].user_attrs["job"] == 8
    study.close()


def test_two_objectives_and_their_front(tmp_path):
    study = SweepStudy(
        tmp_path, SMALL, settings(sampler="grid", metrics=["up", "down"], directions=["maximize", "minimize"])
    )
    values = [[0.1, 5.0], [0.9, 3.0], [0.5, 1.0], None]
    for job, ((number, _), result) in enumerate(zip(study.ask(4), values, strict=True)):
        study.finish(number, job, result)
    assert sorted(trial.values for trial in study.best()) == [[0.5, 1.0], [0.9, 3.0]]
    assert study.study.trials[3].state == TrialState.FAIL
    header, first, *_ = study.write_table().read_text().splitlines()
    assert header == "job,state,a,b,up,down,reason"
    assert first == '0,complete,1,"""x""",0.1,5.0,'
    study.close()


@pytest.mark.parametrize("values", [[float("nan")], [float("inf")], [0.1, 0.2], []])
def test_values_that_are_none_fail(values, tmp_path):
    study = SweepStudy(tmp_path, LINE, settings())
    ((number, _),) = study.ask(1)
    assert study.finish(number, 0, values) == "FAIL"
    assert study.missing() == 3
    study.close()


def test_a_hopeless_run_is_stopped_and_recorded_as_pruned(tmp_path):
    study = SweepStudy(tmp_path, LINE, settings(pruning="median"))
    asked = study.ask(3)
    config = SimpleNamespace(pruning="median", pruning_startup=1, pruning_warmup=0, trial=None)
    stopped = []
    for job, ((number, _), figure) in enumerate(zip(asked, (0.8, 0.9, 0.1), strict=True)):
        trainer = SimpleNamespace(
            is_global_zero=True,
            callback_metrics={"val/a": figure},
            global_step=100,
            strategy=SimpleNamespace(broadcast=lambda x: x),
            should_stop=False,
        )
        PruneByStudy(tmp_path, number, config, "val/a").on_validation_end(trainer, None)
        stopped.append(trainer.should_stop)
        study.finish(number, job, [figure])
    assert stopped == [False, False, True]
    assert [t.state.name for t in study.study.trials] == ["COMPLETE", "COMPLETE", "PRUNED"]
    study.close()


def test_only_trials_of_pruned_studies_get_the_callback(tmp_path):
    node = SimpleNamespace(pruning="median", trial=3)
    (callback,) = pruning_of(tmp_path / "5", node, ["val/a"])
    assert (callback.folder, callback.trial, callback.metric) == (tmp_path, 3, "val/a")
    assert pruning_of(tmp_path, SimpleNamespace(pruning="none", trial=3), ["val/a"]) == []
    assert pruning_of(tmp_path, SimpleNamespace(pruning="median", trial=None), ["val/a"]) == []
    assert pruning_of(tmp_path, None, []) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"sampler": "cma"}, "sweep.sampler is 'cma': choose one of grid, random, tpe, nsga2"),
        ({"directions": ["up"]}, "give maximize or minimize for each"),
        ({"directions": ["maximize", "minimize"]}, "give maximize or minimize for each"),
        (
            {"metrics": ["a", "b"], "directions": ["maximize", "minimize"], "pruning": "median"},
            "Optuna prunes studies of one objective only",
        ),
        ({"trials": 0}, "sweep.trials=0"),
    ],
)
def test_settings_that_clash(changed, words):
    with pytest.raises(InputError, match=words):
        settings(**changed)


def test_another_study_or_another_process_in_the_folder(tmp_path):
    study = SweepStudy(tmp_path, LINE, settings())
    with pytest.raises(InputError, match="another process runs this sweep"):
        SweepStudy(tmp_path, LINE, settings())
    study.close()
    with pytest.raises(InputError, match="holds a study with other space"):
        SweepStudy(tmp_path, SMALL, settings())


def test_a_study_that_began_with_a_keys_earlier_name_is_the_same(tmp_path):
    before = Space({"average_decay": CategoricalDistribution([0.5, 0.9])}, {"average_decay": {0.5: "0.5", 0.9: ".9"}})
    study = SweepStudy(tmp_path, before, settings(sampler="grid"))
    ((number, point),) = study.ask(1)
    study.finish(number, 0, [0.5])
    study.close()
    now = Space({"ema_decay": CategoricalDistribution([0.5, 0.9])}, {"ema_decay": {0.5: "0.5", 0.9: ".9"}})
    study = SweepStudy(tmp_path, now, settings(sampler="grid"))
    assert study.missing() == 1
    ((_, other),) = study.ask(1)
    assert [*point.values(), *other.values()] == [0.5, 0.9]
    assert study.space.overrides(other) == ["ema_decay=.9"]  # jobs get the current name
    study.close()


def test_a_study_that_began_with_a_figures_earlier_name_is_the_same(tmp_path):
    SweepStudy(tmp_path, LINE, settings(metrics=["val/self_reconstruction"])).close()
    study = SweepStudy(tmp_path, LINE, settings(metrics=["val/self_reconstruction_l1"]))
    assert study.missing() == 4
    study.close()


def test_a_grid_has_an_end(tmp_path):
    study = SweepStudy(tmp_path, LINE, settings(sampler="grid"))
    with pytest.raises(InputError, match="an interval has no end of points"):
        study.missing()
    study.close()
