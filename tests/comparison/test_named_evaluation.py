"""``simswap-compare evaluation=<name>``: a further evaluation of every run in place of the first."""

import json
import shutil

import pytest

from simswap.compare import main
from simswap.comparison.collected import load_local
from simswap.comparison.comparison import compare_runs
from simswap.comparison.summary import protocol_words
from simswap.errors import InputError
from tests.comparison.made import made_run, write_grid
from tests.test_train import one_line


def named(run, name, **figures):
    """Give a run a further evaluation with other figures, pairs, grid and worst pairs, beside the first."""
    other = made_run(run.parent / "made_elsewhere", figures=figures)
    folder = run / "evaluations"
    folder.mkdir(exist_ok=True)
    for file in other.glob("evaluation*"):
        shutil.copy(file, folder / file.name.replace("evaluation", name, 1))
    shutil.rmtree(other)
    write_grid(folder / f"{name}_worst.png", 0.5)
    return run


def load(given, name):
    return load_local(given if isinstance(given, list) else str(given), "evaluation", [], lambda config: True, name)


def test_figures_pairs_and_pictures_are_those_of_the_named_evaluation(tmp_path):
    for variant, first, second in (("oFM", 0.1, 0.25), ("nFM", 0.2, 0.75)):
        run = made_run(tmp_path / variant, {"variant": variant}, figures={"id_retrieval": first})
        named(run, "second", id_retrieval=second)
    runs, left_out = load(tmp_path, "second")
    assert not left_out
    for run in runs:
        assert run.evaluation == "second"
        assert [path.name for path in (run.pairs, run.grid, run.worst)] == [
            "second_pairs.parquet",
            "second.png",
            "second_worst.png",
        ]
        assert {path.parent.name for path in (run.pairs, run.grid, run.worst)} == {"evaluations"}
    comparison = compare_runs(runs, title="made", baseline="oFM")
    difference = comparison.differences["nFM"]["id_retrieval"]
    assert difference.over_seeds.value == pytest.approx(0.5)  # 0.75 - 0.25, not 0.2 - 0.1
    assert difference.over_pairs.value == pytest.approx(0.5)
    assert protocol_words(comparison)[0] == ("evaluation", "second")
    first = compare_runs(load(tmp_path, None)[0], title="made", baseline="oFM")
    assert first.differences["nFM"]["id_retrieval"].over_pairs.value == pytest.approx(0.1)
    assert protocol_words(first)[0][0] == "protocol"


def test_runs_that_lack_it_are_named_in_one_line(tmp_path):
    named(made_run(tmp_path / "a"), "second")
    made_run(tmp_path / "b", seed=1)
    made_run(tmp_path / "c", seed=2)
    runs, (line,) = load(tmp_path, "second")
    assert [run.name for run in runs] == ["a"]
    missing = [f"{tmp_path}/{name}/evaluations/second.json" for name in "bc"]
    assert line == (f"not evaluated as second: no {', '.join(missing)}; run simswap-evaluate checkpoint=… name=second")
    with pytest.raises(InputError) as error:
        load([str(tmp_path / name) for name in "abc"], "second")
    assert str(error.value) == f"evaluation=second: {line}"
    with pytest.raises(InputError, match=r"none of 3 runs can be compared; the first: not evaluated as third"):
        load(tmp_path, "third")


def test_an_evaluation_without_a_run_may_have_a_name_alone(tmp_path):
    run = named(made_run(tmp_path / "theirs"), "second", id_retrieval=0.75)
    shutil.rmtree(run / ".hydra")
    (run / "evaluation.json").unlink()
    assert load(tmp_path, "second")[0][0].figures["id_retrieval"].value == 0.75
    with pytest.raises(InputError, match="is not a run and contains none"):
        load(tmp_path, None)


def test_a_checkpoint_that_changed_since_the_named_evaluation_is_stale(tmp_path):
    run = named(made_run(tmp_path / "a"), "second")
    file = run / "evaluations" / "second.json"
    content = json.loads(file.read_text())
    content["results"]["trained"] |= {"checkpoint": "checkpoints/last.ckpt", "sha256": "0" * 64, "iteration": 20}
    file.write_text(json.dumps(content))
    load(run, None)
    with pytest.raises(InputError, match=r"evaluations/second.json measured last.ckpt at iteration 20"):
        load(run, "second")


def test_the_command_takes_the_name_and_checks_it(tmp_path, monkeypatch, capsys):
    run = named(made_run(tmp_path / "a"), "second", id_retrieval=0.75)

    def command(*arguments):
        monkeypatch.setattr("sys.argv", ["simswap-compare", f"runs={run}", f"out={tmp_path}/out", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code, capsys.readouterr().err

    for arguments, said in (
        (["evaluation=../second"], "evaluation=../second: use up to 64 letters"),
        (["evaluation=second_pairs"], "evaluation=second_pairs: names that end in _pairs"),
        (["evaluation=second", "figures=validation"], "evaluation=second and figures=validation: leave out one"),
        (["evaluation=third"], "evaluation=third: not evaluated as third"),
    ):
        code, errors = command(*arguments)
        assert code == 2
        assert said in one_line(errors)
        assert not (tmp_path / "out").exists()
    assert command("evaluation=second")[0] == 0
    page = (tmp_path / "out" / "comparison.md").read_text()
    assert page.startswith("# Comparison of a, evaluation second\n")
    assert "75.0" in page
