"""Small parts of the page: lines, tables, jobs, what it says of errors."""

import math
import tempfile

import pytest

from simswap.app.jobs import Jobs
from simswap.app.lines import line, told, without_own_folder
from simswap.app.parts import figures_table, slider
from simswap.app.shelf import Shelf
from simswap.errors import InputError
from simswap.inference.swap_figures import SwapFigures


def test_lines_are_escaped_and_read_out():
    assert line("<b>&") == '<p role="status" class="line">&lt;b&gt;&amp;</p>'
    assert 'role="alert"' in line("bad", bad=True)
    assert line("") == ""


def test_names_are_shown_without_the_pages_folder():
    shelf = Shelf(60)
    try:
        text = f"{shelf.uploads}/{'0a' * 32}/my photo.jpg: no face found"
        assert without_own_folder(text) == "my photo.jpg: no face found"
        assert without_own_folder(f"{shelf.folder}/examples/x.png: y") == "x.png: y"
    finally:
        shelf.close()
    assert without_own_folder(f"{tempfile.gettempdir()}/mine.jpg: z") == f"{tempfile.gettempdir()}/mine.jpg: z"


def test_bad_input_is_a_line_and_so_is_a_fault(caplog):
    def bad():
        raise InputError("what is wrong")

    def broken():
        raise KeyError("x")

    *kept, words = told(bad, 2)()
    assert len(kept) == 2
    assert words == line("what is wrong", bad=True)
    assert "the terminal shows where" in told(broken, 0)()[-1]
    assert "KeyError" in caplog.text
    assert told(lambda: ("done", "line"), 1)() == ("done", "line")


def test_figures_with_names_of_anybody():
    table = figures_table({"<i>": SwapFigures(0.1, 0.55, 0.2, 0.5, math.nan)}, "<judge>", False)
    assert "&lt;i&gt;" in table
    assert "<i>" not in table
    assert "&lt;judge&gt;; the checkpoint was trained with it, so it is not independent" in table
    cells = [cell.partition("<")[0] for cell in table.split("<td>")[1:]]
    assert cells == ["0.55", "0.10", "0.20", "50 %", "—"]


def test_the_slider_names_both_pictures():
    html = slider("/made/a/x.jpg", "/made/b/y.jpg", (640, 480), ("one", 'an"other'))
    assert 'alt="one" width="640" height="480"' in html
    assert 'alt="an&quot;other"' in html
    assert 'type="range"' in html
    assert "aria-label" in html


def test_a_user_cancels_their_own_work_alone():
    jobs, shown = Jobs(), []

    def show(share, desc):
        shown.append((share, desc))

    with jobs.begun("one") as one, jobs.begun("other") as other:
        step = one.step(show)
        step(0.5, "half")
        assert jobs.cancel("one")
        with pytest.raises(InputError, match=r"^cancelled$"):
            step(0.6, "more")
        other.step(show)(0.7, "theirs")
        assert (one.cancelled(), other.cancelled()) == (True, False)
    assert shown == [(0.5, "half"), (0.7, "theirs")]
    assert not jobs.cancel("one")
