"""Runs folded over seeds, held against a baseline, and what is refused."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from simswap.comparison.collected import load_local
from simswap.comparison.comparison import Difference, compare_runs
from simswap.comparison.importance import importances
from simswap.comparison.orderings import facets, findings
from simswap.comparison.page import results_caption
from simswap.comparison.run_settings import keep_where
from simswap.comparison.sections import sections_of
from simswap.comparison.summary import protocol_words
from simswap.comparison.swaps import read_grid, side_by_side
from simswap.comparison.tables import clear
from simswap.comparison.variants import changed_settings, fold, short_keys
from simswap.errors import InputError
from simswap.metrics.figures import Interval
from simswap.metrics.paired import PairedDifference, paired_difference
from tests.comparison.made import FIGURES, made_run, write_evaluation

EVERYTHING = keep_where(None)


def load(folder, source="evaluation"):
    return load_local(str(folder), source, ["val/id_retrieval", "train/identity"], EVERYTHING)


@pytest.fixture
def sweep(tmp_path):
    """Two weights x three seeds: retrieval 0.2 0.4 0.6 and, with the larger one, 0.1 0.2 0.3 more."""
    for k, (weight, seed) in enumerate((w, s) for w in (10.0, 20.0) for s in (0, 1, 2)):
        more = (seed + 1) / 10 if weight == 20.0 else 0.0
        made_run(
            tmp_path / str(k),
            {"objective.weights.identity": weight, "threads": k},
            seed,
            {"id_retrieval": 0.2 + 0.2 * seed + more, "pose_error_deg": 3.0 + more},
        )
    return tmp_path


def test_seeds_are_folded_and_only_changes_are_named(sweep):
    runs, left_out = load(sweep)
    assert left_out == []
    assert changed_settings(runs) == ["objective.weights.identity"]
    small, large = fold(runs)
    assert (small.label, large.label) == ("identity=10", "identity=20")
    assert small.seeds == large.seeds == [0, 1, 2]
    assert small.by_seed("id_retrieval") == pytest.approx({0: 0.2, 1: 0.4, 2: 0.6})
    assert small.color != large.color


def test_differences_over_seeds_and_over_pairs(sweep):
    comparison = compare_runs(load(sweep)[0], title="made", baseline="identity=10")
    found = comparison.differences["identity=20"]["id_retrieval"]
    # differences by seed 0.1, 0.2, 0.3: sd 0.1
    assert found.over_seeds.value == pytest.approx(0.2)
    assert found.over_seeds.high - 0.2 == pytest.approx(4.302653 * 0.1 / 3**0.5, abs=1e-6)
    # on every pair the same difference: a mean's interval over persons has no width, a share's has one
    assert found.over_pairs is not None
    assert found.over_pairs.low < found.over_pairs.value < found.over_pairs.high
    assert found.over_pairs.value == pytest.approx(0.2)
    assert found.over_pairs.pairs == 12
    assert found.over_pairs.persons == 5
    pose = comparison.differences["identity=20"]["pose_error_deg"].over_pairs
    assert pose[:4] == pytest.approx((0.2, 0.2, 0.2, 0.0), abs=1e-6)
    assert comparison.front == ("identity=10", "identity=20")
    assert [s.name for s in comparison.others] == ["do_nothing", "copy_source"]


def test_a_single_run_can_be_the_baseline(sweep):
    runs = load(sweep)[0]
    comparison = compare_runs(runs, title="made", baseline=runs[2].name)
    assert set(comparison.differences) == {"identity=10", "identity=20"}
    # against the one run of retrieval 0.6: 0.4 - 0.6, and no interval over seeds from one
    found = comparison.differences["identity=10"]["id_retrieval"].over_seeds
    assert found.value == pytest.approx(-0.2)
    assert np.isnan(found.low)
    with pytest.raises(InputError, match="did you mean identity=20"):
        compare_runs(runs, title="made", baseline="identity=2")


def test_two_runs_of_one_seed_count_once(tmp_path):
    for k, value in enumerate((0.2, 0.4, 0.9)):
        made_run(tmp_path / f"run{k}", seed=min(k, 1), figures={"id_retrieval": value}, changes={"name": f"n{k}"})
    (variant,) = fold(load(tmp_path)[0])
    assert variant.by_seed("id_retrieval") == pytest.approx({0: 0.2, 1: 0.65})
    comparison = compare_runs(variant.runs, title="made")
    assert any("3 runs of 2 seeds" in note for note in comparison.notes)


def test_a_run_of_before_a_loss_term_had_it_with_weight_zero(tmp_path):
    made_run(tmp_path / "older", seed=0)
    made_run(tmp_path / "newer", {"objective.weights.cycle": 0.0}, 1)
    made_run(tmp_path / "cycle", {"objective.weights.cycle": 1.0}, 0)
    runs = load(tmp_path)[0]
    assert changed_settings(runs) == ["objective.weights.cycle"]
    assert sorted(len(variant.runs) for variant in fold(runs)) == [1, 2]


def test_ablations_have_the_papers_names_and_order(tmp_path):
    for k, (name, reduction) in enumerate((n, r) for n in ("nFM", "oFM", "SimSwap") for r in ("sum", "mean")):
        retrieval = {"nFM": 0.9, "oFM": 0.3, "SimSwap": 0.6}[name]
        for seed in range(3):
            made_run(
                tmp_path / f"{k}-{seed}",
                {
                    "variant": name,
                    "objective.feature_matching.layer_reduction": reduction,
                    "objective.weights.feature_matching": 0.0 if name == "nFM" else 10.0,
                    "objective.feature_matching.first_layer": 0 if name == "oFM" else 2,
                },
                seed,
                {"id_retrieval": retrieval * (1 + seed / 100), "pose_error_deg": 3.0 + (seed == 1)},
            )
    comparison = compare_runs(load(tmp_path)[0], title="made")
    assert [v.label for v in comparison.variants] == [
        f"{name}, layer_reduction={r}" for name in ("SimSwap", "oFM", "nFM") for r in ("sum", "mean")
    ]
    by_sum, by_mean = facets(comparison.variants)
    assert (by_sum.told, by_mean.told) == ("layer_reduction=sum", "layer_reduction=mean")
    assert list(by_sum.variants) == ["SimSwap", "oFM", "nFM"]
    verdicts = {finding.claim: finding.verdict for finding in findings(by_sum)}
    assert verdicts["nFM has the highest retrieval"] == "holds"
    assert verdicts["oFM has the lowest pose error"] == "not decided"  # all alike
    worse = {"SimSwap": 0.1}
    for run in comparison.variants[0].runs:
        write_evaluation(tmp_path / run.name, FIGURES | {"id_retrieval": worse["SimSwap"] + run.seed / 100}, {})
    again = facets(compare_runs(load(tmp_path)[0], title="made").variants)[0]
    verdicts = {finding.claim: finding.verdict for finding in findings(again)}
    assert verdicts["every oFM variant and wFM-bar retrieve less than SimSwap"] == "does not hold"


def test_a_trend_is_told_from_noise(tmp_path):
    """Eight variants: retrieval rises with one setting; another has two values that explain nothing."""
    for k in range(8):
        made_run(
            tmp_path / str(k),
            {"objective.weights.identity": float(2**k), "data.root": "ab"[k % 2]},
            figures={"id_retrieval": 0.1 * k},
            protocol={"data": "crops"},
        )
    comparison = compare_runs(load(tmp_path)[0], title="made")
    first, second = importances(comparison.variants, comparison.settings, "id_retrieval")
    assert (first.setting, first.sign) == ("objective.weights.identity", 1)
    assert first.share == pytest.approx(1.0)
    # ranks 0 2 4 6 and 1 3 5 7: class means 3 and 4 around 3.5, so 8 * 0.25 of 42
    assert (second.setting, second.sign) == ("data.root", 0)
    assert second.share == pytest.approx(2 / 42)
    assert first.share > first.chance
    assert second.share < second.chance
    assert importances(comparison.variants[:5], comparison.settings, "id_retrieval") == []


def test_short_names_of_settings():
    keys = ["objective.weights.identity", "data.identity", "seed"]
    assert list(short_keys(keys).values()) == ["weights.identity", "data.identity", "seed"]


def test_the_same_faces_side_by_side(tmp_path):
    made_run(tmp_path / "a", {"variant": "SimSwap"}, figures={"id_retrieval": 0.2})
    made_run(tmp_path / "b", {"variant": "oFM"}, figures={"id_retrieval": 0.6})
    made_run(tmp_path / "c", {"variant": "nFM"}, figures={"id_retrieval": 0.4}, faces=7)
    grid = read_grid(tmp_path / "a" / "evaluation.png")
    assert grid.swaps.shape == (2, 2, 16, 16, 3)
    assert grid.text["Description"] == "synthetic face swap"
    rows, notes = side_by_side(compare_runs(load(tmp_path)[0], title="made"), 3)
    assert len(rows) == 3
    # the k-th row is target k, source k of the grids that show the same faces
    assert [row.target[0, 0, 0] for row in rows] == [100, 140, 100]
    assert [row.source[0, 0, 1] for row in rows] == [100, 140, 140]
    assert [(label, cell[0, 0, 2]) for label, cell, _ in rows[0].results] == [("SimSwap", 51), ("oFM", 153)]
    assert rows[0].results[0][2]["Checkpoint"].startswith("sha256:")
    assert notes == ["Without a picture of these faces: nFM."]
    (tmp_path / "a" / "evaluation.png").write_text("no picture")
    rows, notes = side_by_side(compare_runs(load(tmp_path)[0], title="made"), 3)  # it costs itself, not the others
    assert [label for label, _, _ in rows[0].results] == ["oFM"]
    assert f"{tmp_path}/a/evaluation.png is not a readable image" in notes[0]


def test_runs_can_be_filtered_by_their_settings(sweep):
    runs, _ = load_local(str(sweep), "evaluation", [], keep_where({"objective": {"weights": {"identity": 20}}}))
    assert {run.config["objective.weights.identity"] for run in runs} == {20.0}
    assert len(runs) == 3
    with pytest.raises(InputError, match="where= keeps none of the 6 runs"):
        load_local(str(sweep), "evaluation", [], keep_where({"objective.weights.identity": 5}))


def test_other_pairs_have_no_paired_test(tmp_path):
    made_run(tmp_path / "a", {"variant": "SimSwap"})
    made_run(tmp_path / "b", {"variant": "oFM"})
    made_run(tmp_path / "c", {"variant": "nFM"}, protocol={"pairs_sha256": "e" * 64})
    comparison = compare_runs(load(tmp_path)[0], title="made")
    assert comparison.differences["nFM"]["id_retrieval"].over_pairs is None
    assert comparison.differences["oFM"]["id_retrieval"].over_pairs is not None
    assert any("other pairs of faces: c. A paired test with them is refused" in note for note in comparison.notes)


def pairs_of(folder, change):
    """Rewrite a run's file of pairs: change(table as a dict of columns, bool [rows] of the trained swapper)."""
    path = folder / "evaluation_pairs.parquet"
    columns = pq.read_table(path).to_pydict()
    change(columns, np.array(columns["swapper"]) == "trained")
    pq.write_table(pa.table(columns), path)


def test_targets_that_recur_count_once_and_persons_count_in_both_roles(tmp_path):
    rng = np.random.default_rng(0)
    each = {}
    for name in ("SimSwap", "oFM"):
        folder = made_run(tmp_path / name, {"variant": name})
        each[name] = rng.standard_normal(12)

        def change(columns, own, values=each[name]):
            columns["target"] = [f"t{k % 9}" for k in range(12)] * 3  # the last three targets were there before
            for figure in ("self_reconstruction_l1", "pose_error_deg"):
                column = np.array(columns[figure])
                column[own] = values
                columns[figure] = column

        pairs_of(folder, change)
    found = compare_runs(load(tmp_path)[0], title="made").differences["oFM"]
    sources = [k % 5 for k in range(12)]
    targets = [(k + 1 + k // 5) % 5 for k in range(12)]
    assert found["pose_error_deg"].over_pairs == pytest.approx(
        paired_difference(each["SimSwap"], each["oFM"], sources, targets)
    )
    assert found["self_reconstruction_l1"].over_pairs == pytest.approx(
        paired_difference(each["SimSwap"][:9], each["oFM"][:9], targets[:9], targets[:9])
    )
    assert found["self_reconstruction_l1"].over_pairs.pairs == 9


def test_p_values_are_corrected_for_the_number_of_comparisons(tmp_path):
    rng = np.random.default_rng(1)
    for k, name in enumerate(("SimSwap", "oFM", "nFM")):
        folder = made_run(tmp_path / name, {"variant": name})

        def change(columns, own, k=k):
            for figure in FIGURES:
                column = np.array(columns[figure])
                column[own] = rng.standard_normal(12) + k
                columns[figure] = column

        pairs_of(folder, change)
    comparison = compare_runs(load(tmp_path)[0], title="made")
    assert comparison.comparisons == 2 * len(comparison.columns) == 12
    found = [d for figures in comparison.differences.values() for d in figures.values()]
    smallest = min(found, key=lambda d: d.over_pairs.p)
    assert smallest.p == pytest.approx(12 * smallest.over_pairs.p)
    assert all(d.p >= d.over_pairs.p for d in found)
    sections = sections_of(comparison, published=False, curves=[], pictures=0)
    (differences,) = (section for section in sections if section.anchor == "differences")
    assert "p of the paired test, corrected for the 12 comparisons of this table (Holm)" in differences.caption
    assert "(approximate: 5 persons, fewer than 30)" in differences.caption
    note = differences.tables[0].rows[0][1].note
    one = next(iter(comparison.differences.values()))["id_retrieval"]
    assert note.endswith(f"; p {one.p:.2g}")


def test_bold_needs_a_p_that_stands_the_correction():
    seeds, pairs = Interval(0.2, 0.1, 0.3), PairedDifference(0.2, 0.05, 0.35, 0.02, 100, 40)
    assert clear(Difference(seeds, pairs, 0.04))
    assert not clear(Difference(seeds, pairs, 0.06))
    assert clear(Difference(seeds, None))
    assert not clear(Difference(Interval(0.2, np.nan, np.nan), pairs, 0.04))


def test_the_page_says_how_it_was_measured(tmp_path):
    made_run(tmp_path / "a", protocol={"targets": 636, "source_persons": 12, "target_persons": 40, "groups": "videos"})
    comparison = compare_runs(load(tmp_path)[0], title="made")
    words = dict(protocol_words(comparison))
    assert words["gallery"].startswith("20 images of 5 videos")
    assert words["self-reconstruction"] == "over 636 distinct targets, each counted once"
    assert words["intervals"] == (
        "95 %; over videos: clustered by videos as sources and as targets (approximate: 12 videos, fewer than 30)"
    )
    assert "noise floor 2.6°, the error of a single reading" in words["pose estimator"]
    assert "(approximate: 12 videos, fewer than 30)" in results_caption(comparison)
