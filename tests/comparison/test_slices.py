"""Slices of the pairs on the comparison page."""

import json

import pytest

from simswap.comparison.collected import load_local
from simswap.comparison.comparison import compare_runs
from simswap.comparison.run_settings import keep_where
from simswap.comparison.sections import sections_of
from simswap.comparison.slices import slices_table
from simswap.errors import InputError
from tests.comparison.made import FIGURES, made_run

NAMES = ("cosine low", "glasses >= 0.5")


def sliced(folder, changes, seed, retrievals, edge=0.1):
    """A run whose slices have these retrievals."""
    run = made_run(folder, changes, seed)
    file = run / "evaluation.json"
    content = json.loads(file.read_text())
    content["protocol"]["slices"] = {"cosine": {"slices": {"cosine low": {"low": None, "high": edge, "pairs": 4}}}}
    content["results"]["trained"]["slices"] = {
        name: {f: {"value": v, "low": v - 0.1, "high": v + 0.1} for f, v in (FIGURES | {"id_retrieval": r}).items()}
        | {"pairs": 4}
        for name, r in zip(NAMES, retrievals, strict=True)
    }
    file.write_text(json.dumps(content))
    return file


def compared(folder):
    runs, _ = load_local(str(folder), "evaluation", [], keep_where(None))
    return compare_runs(runs, title="made")


def test_a_row_for_each_slice_and_variant(tmp_path):
    sliced(tmp_path / "a", {}, 0, (0.2, 0.9))
    sliced(tmp_path / "b", {}, 1, (0.4, 0.7))
    sliced(tmp_path / "c", {"objective.weights.identity": 20.0}, 0, (0.3, 0.5))
    sliced(tmp_path / "d", {"objective.weights.identity": 30.0}, 0, (0.6, 0.6), edge=0.2)
    comparison = compared(tmp_path)
    table, note = slices_table(comparison)
    assert [(row[0].text, row[0].note, row[1].text, row[2].text, row[2].note) for row in table.rows] == [
        ("cosine low", "4 pairs", "identity=10", "30.0", ""),  # the mean of two seeds
        ("cosine low", "4 pairs", "identity=20", "30.0", "20.0 to 40.0"),
        ("glasses >= 0.5", "4 pairs", "identity=10", "80.0", ""),
        ("glasses >= 0.5", "4 pairs", "identity=20", "50.0", "40.0 to 60.0"),
        ("glasses >= 0.5", "4 pairs", "identity=30", "60.0", "50.0 to 70.0"),
    ]
    assert note == "Not measured on all of these slices, or with other edges: identity=30."
    (section,) = [s for s in sections_of(comparison, published=False, curves=[], pictures=0) if s.anchor == "slices"]
    assert note in section.caption


def test_runs_without_slices_have_no_section(tmp_path):
    made_run(tmp_path / "a")
    assert slices_table(compared(tmp_path)) == (None, "")


def test_malformed_slices_are_named(tmp_path):
    file = sliced(tmp_path / "a", {}, 0, (0.2, 0.9))
    content = json.loads(file.read_text())
    del content["results"]["trained"]["slices"]["cosine low"]["pairs"]
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"results\.trained has malformed slices"):
        load_local(str(tmp_path / "a"), "evaluation", [], keep_where(None))
