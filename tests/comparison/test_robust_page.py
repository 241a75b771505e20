"""Names and files that nobody thought of cost their item, never the page, and are never taken for markup."""

import csv

import numpy as np
import pytest
from PIL import Image

from simswap.compare import main
from simswap.comparison.charts.drawing import Chart, legend_text, new_figure
from simswap.comparison.charts.rendering import render
from simswap.comparison.escaping import csv_value, markdown_text
from tests.comparison.made import made_run

NAMES = ["$x^$", "a|b *c* `d`", "_hidden_", "<b onload=1>", "=1+1", "[link](http://x)", "$\\frac$ 50 % \\", "do_it"]


def page_of(folder, door, *arguments):
    code, out, errors = door(main, f"runs={folder}/runs", f"out={folder}/out", *arguments)
    assert code == 0, errors
    html, text = ((folder / "out" / f"comparison.{ending}").read_text() for ending in ("html", "md"))
    return out + errors, html, text


def test_a_page_of_odd_names_is_whole(tmp_path, door):
    for number, name in enumerate(NAMES):
        made_run(
            tmp_path / "runs" / str(number),
            {"variant": name},
            number,
            {"id_retrieval": 0.1 * number, "pose_error_deg": 9.0 - number},
        )
    said, html, text = page_of(tmp_path, door)
    assert "could not be drawn" not in said
    assert {path.stem for path in (tmp_path / "out" / "figures").iterdir()} >= {"tradeoff", "learning_curves", "swaps"}
    assert "<b onload" not in html
    assert "&lt;b onload=1&gt;" in html
    table = text[text.index("## Final figures") :].split("\n\n")[1].splitlines()
    assert {line.replace("\\|", "").count("|") for line in table} == {table[0].count("|")}
    for shown in (r"\$x^\$", r"a\|b \*c\* \`d\`", r"\_hidden\_", "&lt;b onload=1&gt;", r"\[link\](http://x)", "do_it"):
        assert any(line.startswith(f"| {shown} ") for line in table), shown
    with (tmp_path / "out" / "results.csv").open(newline="") as file:
        assert [row["variant"] for row in csv.DictReader(file)][4] == "'=1+1"


def test_broken_files_of_one_run_cost_their_item(tmp_path, door):
    for number in range(4):
        made_run(tmp_path / "runs" / f"r{number}", {"objective.weights.identity": float(number)}, 0)
    whole = (tmp_path / "runs" / "r1" / "evaluation.png").read_bytes()
    (tmp_path / "runs" / "r1" / "evaluation.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(np.zeros((30, 50, 3), np.uint8)).save(tmp_path / "runs" / "r2" / "evaluation.png")
    (tmp_path / "runs" / "r3" / "evaluation_pairs.parquet").write_bytes(b"PAR1")
    said, html, _ = page_of(tmp_path, door)
    assert "r3 has no paired test" in said
    for told in (
        "r1/evaluation.png is not a readable image",
        "r2/evaluation.png is not a grid of swaps",
        "r3 has no paired test",
    ):
        assert told in html, told
    assert html.count('alt="swap by') == 2 * 4  # of r0 and r3, four rows


def test_another_seeds_picture_stands_in_and_the_broken_one_is_named(tmp_path, door):
    for number in range(2):
        made_run(tmp_path / "runs" / f"r{number}", {}, number)
    (tmp_path / "runs" / "r0" / "evaluation.png").write_bytes(b"GIF89a")
    _, html, _ = page_of(tmp_path, door)
    assert "r0/evaluation.png is not a readable image" in html
    assert html.count('alt="swap by') == 4


def test_where_no_picture_can_be_used_the_page_says_so(tmp_path, door):
    for number in range(2):
        made_run(tmp_path / "runs" / f"r{number}", {}, number)
        (tmp_path / "runs" / f"r{number}" / "evaluation.png").write_bytes(b"")
    _, html, _ = page_of(tmp_path, door)
    assert "r0/evaluation.png is not a readable image" in html


def test_a_chart_that_fails_costs_itself():
    def broken(width):
        raise ValueError("no\nroom")

    def plain(width):
        figure = new_figure(width, 1)
        figure.text(0.5, 0.5, "$a^$")
        return figure

    made, notes = render([Chart(name, "", "", "", draw) for name, draw in (("one", broken), ("two", plain))])
    assert list(made) == ["two"]
    assert made["two"].png.startswith(b"\x89PNG")
    assert notes == ["The chart one could not be drawn (ValueError: no room)."]


@pytest.mark.parametrize(("value", "cell"), [
    ("=cmd()", "'=cmd()"), ("-x", "'-x"), ("@a", "'@a"), ("-1.5", "-1.5"), ("+1e-3", "+1e-3"), ("plain", "plain"),
    (-1.5, -1.5), (None, None),
])  # fmt: skip
def test_no_cell_is_a_formula(value, cell):
    assert csv_value(value) == cell


def test_one_line_of_markdown():
    assert markdown_text("a\nb  &amp; #1 ~~x~~ snake_case") == "a b &amp;amp; \\#1 \\~\\~x\\~\\~ snake_case"
    assert legend_text("_a") == " _a"
