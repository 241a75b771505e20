"""Further judges on the comparison page: their figures, their paired tests, and which runs they refuse."""

import json
import math
import re

import pytest

from simswap.comparison.collected import load_local
from simswap.comparison.comparison import compare_runs
from simswap.comparison.page import html_table
from simswap.comparison.sections import sections_of
from simswap.comparison.slices import slices_table
from simswap.comparison.summary import protocol_words
from simswap.comparison.tables import markdown, results_table, runs_csv
from simswap.errors import InputError
from tests.comparison.made import made_run
from tests.comparison.test_one_ruler import described

SHARE, RETRIEVAL = "judges.second.identity_share", "judges.second.id_retrieval"


def judged(name="second", network="other", sha256="e" * 64, same=False, **settings):
    """The protocol of an evaluation with a further judge."""
    return {"judges": [{"key": name, **described(network, sha256, **settings), "same_network": same, "chance": 0.2}]}


def compared(folder, **arguments):
    return compare_runs(load_local(str(folder), "evaluation", [], lambda config: True)[0], title="made", **arguments)


def edit(run, change):
    file = run / "evaluation.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def test_a_further_judges_figures_are_columns_and_a_run_without_it_has_a_dash(tmp_path):
    made_run(tmp_path / "a", {"variant": "oFM"})  # first, so that the controls of the other's judge are not lost
    made_run(tmp_path / "b", {"variant": "nFM"}, figures={SHARE: 0.625, RETRIEVAL: 0.75}, protocol=judged())
    comparison = compared(tmp_path)
    assert [column.name for column in comparison.columns][-2:] == [RETRIEVAL, SHARE]
    table = results_table(comparison)
    assert table.heads[-2:] == (("ID retrieval, second", "%"), ("identity share, second", "%"))
    shown = {row[0].text: [cell.text for cell in row[-2:]] for row in (*table.rows, *table.apart)}
    assert shown == {
        "oFM": ["–", "–"],
        "nFM": ["75.0", "62.5"],
        "do nothing": ["–", "0.0"],
        "copy source": ["–", "100.0"],
    }
    notes = next(row for row in table.rows if row[0].text == "nFM")[-1].note
    assert notes == "61.5 to 63.5"
    assert "Not judged by judges.second: a." in comparison.notes
    (difference,) = (found[SHARE] for found in comparison.differences.values())
    assert math.isnan(difference.over_seeds.value)
    assert difference.over_pairs is None
    assert ("judges.second", "other (sha256 eeeeeeee)") in protocol_words(comparison)
    assert runs_csv(comparison).splitlines()[0].endswith(f"{SHARE},{RETRIEVAL}")
    sections_of(comparison, published=False, curves=[], pictures=0)


def test_a_judges_columns_have_a_common_heading_on_the_page(tmp_path):
    figures = {SHARE: 0.625, RETRIEVAL: 0.75, "judges.a.identity_share": 0.5}
    both = {"judges": [*judged()["judges"], *judged("a", sha256="f" * 64)["judges"]]}
    made_run(tmp_path / "a", {"variant": "oFM"}, figures=figures, protocol=both)
    table = results_table(compared(tmp_path, columns=["id_retrieval", RETRIEVAL, SHARE, "judges.a.identity_share"]))
    assert table.groups == ("", "", "", "second", "second", "a")
    page = html_table(table)
    assert [int(span) for span in re.findall(r'<colgroup span="(\d)">', page)] == [3, 2, 1]
    upper, lower = re.search(r"<thead><tr>(.*)</tr><tr>(.*)</tr></thead>", page).groups()
    assert re.findall(r'scope="colgroup" colspan="(\d)">by (\w+)<', upper) == [("2", "second"), ("1", "a")]
    assert re.findall(r'data-column="(\d)" rowspan="2"', upper) == ["0", "1", "2"]
    shown = re.findall(r'data-column="(\d)".*?<button type="button">([\w ]+?) <span>%', lower)
    assert shown == [("3", "ID retrieval"), ("4", "identity share"), ("5", "identity share")]
    assert "| ID retrieval, second (%) | identity share, second (%) | identity share, a (%) |" in markdown(table)
    made_run(tmp_path / "b" / "one")
    plain = html_table(results_table(compared(tmp_path / "b")))
    assert "colgroup" not in plain
    assert "rowspan" not in plain
    assert plain.count("<tr>", 0, plain.index("</thead>")) == 1


def test_differences_by_a_further_judge_are_tested_on_the_same_pairs(tmp_path):
    for name, seed, share in (("oFM", 1, 0.25), ("oFM", 2, 0.35), ("nFM", 1, 0.5), ("nFM", 2, 0.7)):
        made_run(tmp_path / f"{name}{seed}", {"variant": name}, seed, {SHARE: share}, protocol=judged())
    comparison = compared(tmp_path, baseline="oFM", columns=[SHARE])
    difference = comparison.differences["nFM"][SHARE]
    assert difference.over_seeds.value == pytest.approx(0.3)  # 0.6 - 0.3
    assert difference.over_pairs.value == pytest.approx(0.3)
    assert comparison.variants[0].spread(SHARE).mean == pytest.approx(0.3)
    with pytest.raises(InputError, match=r"columns: no run has the figure judges\.second\.identity_shar; did you mean"):
        compared(tmp_path, columns=["judges.second.identity_shar"])


def test_the_first_judges_identity_share_stands_beside_a_further_ones(tmp_path):
    run = made_run(tmp_path / "a", figures={"identity_share": 0.5})
    assert "identity_share" not in [column.name for column in compared(run).columns]
    made_run(tmp_path / "b", seed=1, figures={"identity_share": 0.5, SHARE: 0.625}, protocol=judged())
    names = [column.name for column in compared(tmp_path).columns]
    assert names[-2:] == ["identity_share", SHARE]


def test_two_networks_under_one_judges_name_are_refused_wherever_they_first_appear(tmp_path):
    made_run(tmp_path / "a")
    made_run(tmp_path / "b", seed=1, figures={SHARE: 0.5}, protocol=judged(view="warp"))
    made_run(tmp_path / "c", seed=2, figures={SHARE: 0.5}, protocol=judged(network="renamed", view="warp"))
    made_run(tmp_path / "d", seed=3, figures={"judges.third.identity_share": 0.5}, protocol=judged("third", "it", "f"))
    compared(tmp_path)
    made_run(tmp_path / "e", seed=4, figures={SHARE: 0.5}, protocol=judged(view="chip"))
    with pytest.raises(
        InputError, match=r"^b and e were measured with different networks as judges.second \(.*view=warp and .*=chip\)"
    ) as error:
        compared(tmp_path)
    assert "\n" not in str(error.value)


def test_a_judge_that_was_trained_with_and_pairs_it_cannot_measure_are_noted(tmp_path):
    run = made_run(tmp_path / "a", figures={SHARE: 0.5}, protocol=judged(same=True))
    edit(run, lambda content: content["results"]["trained"]["judges"]["second"].update(missed_results=3))
    notes = compared(run).notes
    assert "judges.second is the network trained with: its figures are flattering." in notes
    assert "Pairs that judges.second cannot measure, of 12: a 3. Their figures are over the other pairs." in notes
    edit(run, lambda content: content["results"]["trained"].update(missed_results=3))  # the first cannot either
    assert not [note for note in compared(run).notes if "cannot measure" in note]


def test_slices_have_a_further_judges_figures(tmp_path):
    run = made_run(tmp_path / "a", figures={SHARE: 0.5}, protocol=judged())
    part = {"value": 0.125, "low": 0.0, "high": 0.25}
    edit(
        run,
        lambda content: content["results"]["trained"].update(
            slices={"glasses": {"pairs": 4, "judges": {"second": {"identity_share": part}}}}
        ),
    )
    table, _ = slices_table(compared(run, columns=[SHARE]))
    assert [cell.text for cell in table.rows[0]] == ["glasses", "made", "12.5"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content["protocol"].pop("judges"), "it lacks protocol.judges.second"),
        (lambda content: content["protocol"].update(judges=3), "it lacks protocol.judges.second"),
        (lambda content: content["results"]["trained"].update(judges=[1]), "results.trained is not a result"),
        (lambda content: content["results"]["trained"]["judges"].update(second=0), "results.trained is not a result"),
    ],
)
def test_judges_that_cannot_be_told_are_one_line(tmp_path, change, said):
    run = made_run(tmp_path / "a", figures={SHARE: 0.5}, protocol=judged())
    edit(run, change)
    with pytest.raises(InputError, match=said) as error:
        compared(run)
    assert "\n" not in str(error.value)
