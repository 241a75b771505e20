"""``simswap-compare`` through its command line: the page, its tables, and bad input."""

import csv
import json
import re
import time

import pytest
from PIL import Image

from simswap.compare import main
from simswap.comparison.output import check_folder
from simswap.errors import InputError
from simswap.launching.claims import claimed
from simswap.tracking.runs import find_runs
from tests.comparison.made import made_run
from tests.test_train import one_line


def ablation(folder, seeds=2):
    """The seven variants, two seeds each, and a range more so that there is a heat map."""
    figures = {"SimSwap": (0.6, 3.0), "oFM": (0.3, 2.0), "nFM": (0.9, 6.0), "wFM-bar": (0.4, 3.5)}
    ranges = {"SimSwap": (2, 4), "oFM": (0, 4), "nFM": (2, 4), "wFM-bar": (0, 1)}
    for name, (retrieval, pose) in figures.items():
        for seed in range(seeds):
            made_run(
                folder / f"{name}-{seed}",
                {
                    "variant": name,
                    "objective.feature_matching.first_layer": ranges[name][0],
                    "objective.feature_matching.last_layer": ranges[name][1],
                    "objective.weights.feature_matching": 0.0 if name == "nFM" else 10.0,
                },
                seed,
                {"id_retrieval": retrieval + 0.02 * seed, "pose_error_deg": pose + 0.1 * seed},
            )


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The output folder of a comparison of made-up ablations."""
    folder = tmp_path_factory.mktemp("ablation")
    ablation(folder / "runs")
    made_run(folder / "runs" / "going", {"variant": "oFM-id+"}, state="running")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["simswap-compare", f"runs={folder}/runs", f"out={folder}/out"])
        with pytest.raises(SystemExit) as left:
            main()
    assert left.value.code == 0
    return folder / "out"


def test_the_page_has_everything_in_itself(page):
    text = (page / "comparison.html").read_text()
    assert "http://" not in text
    assert "https://" not in text
    assert re.search(r'(src|href)="(?!data:|#)', text) is None
    for anchor in (
        "results",
        "differences",
        "settings",
        "tradeoff",
        "ablation",
        "orderings",
        "curves",
        "swaps",
        "sweep",
        "runs",
        "measured",
    ):
        assert (f'id="{anchor}"' in text) == (anchor != "sweep"), anchor  # four variants are too few for importances
    assert text.count("<img") == text.count(" alt=") > 10
    assert 'alt=""' not in text
    assert "Left out:" in text
    assert "still running" in text
    assert {path.stem for path in (page / "figures").iterdir()} == {
        "ablation",
        "layer_range",
        "learning_curves",
        "swaps",
        "tradeoff",
    }


def test_tables_hold_the_exact_figures(page):
    with (page / "results.csv").open(newline="") as file:
        rows = {row["variant"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["SimSwap", "oFM", "nFM", "wFM-bar", "do_nothing", "copy_source"]
    simswap = rows["SimSwap"]
    assert float(simswap["id_retrieval"]) == pytest.approx(0.61)
    assert float(simswap["id_retrieval_sd"]) == pytest.approx(0.02 / 2**0.5)
    # two seeds: t(1 degree, 97.5 %) = 12.7062
    assert float(simswap["id_retrieval_high"]) == pytest.approx(0.61 + 12.7062 * 0.01, abs=1e-5)
    assert rows["copy_source"]["pose_error_deg"] == "25.0"
    with (page / "differences.csv").open(newline="") as file:
        found = {(row["variant"], row["figure"]): row for row in csv.DictReader(file)}
    assert len(found) == 3 * 6
    nfm = found["nFM", "id_retrieval"]
    assert nfm["baseline"] == "SimSwap"
    assert float(nfm["difference"]) == pytest.approx(0.3)
    # five persons, and all pairs alike: nothing shows how far the share depends on persons
    assert float(nfm["pairs_low"]) < 0 < 0.3 < float(nfm["pairs_high"])
    pose = found["nFM", "pose_error_deg"]
    assert pose["pairs_low"] == pose["pairs_high"]
    assert float(pose["pairs_p"]) <= float(pose["pairs_p_corrected"])
    text = (page / "comparison.html").read_text()
    assert "61.0 ± 1.4" in text  # per cent
    assert "+30.0" in text
    markdown = (page / "comparison.md").read_text()
    assert "| SimSwap (baseline · Pareto front) | 2 | 61.0 ± 1.4 |" in markdown
    with (page / "runs.csv").open(newline="") as file:
        runs = list(csv.DictReader(file))
    assert len(runs) == 8
    assert {
        row["first_layer"] if "first_layer" in row else row["objective.feature_matching.first_layer"] for row in runs
    } == {"0", "2"}


def test_pictures_say_that_they_are_synthetic(page):
    with Image.open(page / "figures" / "swaps.png") as picture:
        assert picture.text["Description"] == "synthetic face swap"  # type: ignore[attr-defined]
        assert picture.text["Checkpoint"].count("sha256:") == 4  # type: ignore[attr-defined]


def test_an_earlier_comparison_is_written_anew_and_nothing_else_is(page, door):
    runs = page.parent / "runs"
    out = page.parent / "again"
    out.mkdir()
    (out / "comparison.html").write_text("an earlier one")
    code, _, errors = door(main, f"runs={runs}/oFM-0", f"out={out}", "title=Again", "pictures=0", "curves=[]")
    assert code == 0, errors
    assert "<title>Again</title>" in (out / "comparison.html").read_text()
    for folder in (runs, runs / "oFM-0"):
        code, _, errors = door(main, f"runs={runs}", f"out={folder}")
        assert code == 2
        assert "contains other files" in one_line(errors)


def test_two_at_one_instant_get_two_folders(page, tmp_path, door, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("simswap.compare.time.strftime", lambda form: "2026-11-25_12-00-00")
    given = [f"runs={page.parent / 'runs' / 'oFM-0'}", "pictures=0", "curves=[]"]
    for _ in range(2):
        code, printed, errors = door(main, *given)
        assert code == 0, errors
    assert "outputs/compare/2026-11-25_12-00-00_2/comparison.html" in printed
    made = sorted(path.name for path in (tmp_path / "outputs" / "compare").iterdir())
    assert made == ["2026-11-25_12-00-00", "2026-11-25_12-00-00_2"]
    with claimed(tmp_path / "out", "compare"):
        assert check_folder(tmp_path / "out") == tmp_path / "out"
        code, _, errors = door(main, *given, "out=out")
    assert code == 2
    assert "out is in use: compare" in one_line(errors)
    assert not (tmp_path / "out" / "comparison.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say which runs: runs="),
        (["runs=nowhere"], "runs: nowhere does not exist"),
        (["runs=RUNS/x*"], "matches no run"),
        (["runs=RUNS/going"], "is still running (at iteration 40)"),
        (["runs=RUNS", "baseline=oFN"], "did you mean oFM?"),
        (["runs=RUNS", "columns=[id_retrievel]"], "did you mean id_retrieval?"),
        (["runs=RUNS", "figures=best"], "choose one of evaluation, validation"),
        (["runs=RUNS", "baselin=oFM"], "did you mean baseline?"),
    ],
)
def test_bad_input_is_one_line(page, tmp_path, door, arguments, said):
    given = [argument.replace("RUNS", str(page.parent / "runs")) for argument in arguments]
    code, _, errors = door(main, *given, f"out={tmp_path / 'out'}")
    assert code == 2
    lines = [line for line in errors.splitlines() if not line.startswith("left out: ")]
    assert said in one_line("\n".join(lines))
    assert not (tmp_path / "out").exists()


def test_runs_are_found_in_natural_order(tmp_path):
    for name in ("sweep/10", "sweep/2", "single"):
        made_run(tmp_path / name, evaluated=False, grid=False)
    (tmp_path / "single" / "wandb").mkdir()
    assert [(str(p.relative_to(tmp_path)), named) for p, named in find_runs(str(tmp_path))] == [
        ("single", False),
        ("sweep/2", False),
        ("sweep/10", False),
    ]
    both = find_runs([str(tmp_path / "sweep" / "2"), str(tmp_path / "sweep")])
    assert [(p.name, named) for p, named in both] == [("2", True), ("10", False)]
    with pytest.raises(InputError, match="is not a run and contains none"):
        find_runs(str(tmp_path / "single" / "wandb"))
    assert json.loads((tmp_path / "single" / "status.json").read_text())["state"] == "finished"


@pytest.mark.slow
def test_forty_runs_take_under_ten_seconds(tmp_path, door):
    for k in range(40):
        made_run(
            tmp_path / "runs" / str(k),
            {"objective.weights.identity": float(k // 2)},
            k % 2,
            {"id_retrieval": (k * 7 % 40) / 40, "pose_error_deg": 2 + k / 20},
            steps=400,
        )
    start = time.process_time()  # what a loaded machine does not move
    assert door(main, f"runs={tmp_path}/runs", f"out={tmp_path}/out")[0] == 0
    assert time.process_time() - start < 10
