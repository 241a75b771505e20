"""The pictures of worst pairs on the comparison page."""

import base64

import numpy as np

from simswap.comparison.collected import load_local
from simswap.comparison.comparison import compare_runs
from simswap.comparison.output import write_all
from simswap.comparison.run_settings import keep_where
from simswap.comparison.sections import sections_of
from simswap.comparison.worst import worst_pictures
from simswap.pictures import provenance, write_png
from simswap.tracking.runs import WORST
from tests.comparison.made import made_run


def compared(folder):
    return compare_runs(load_local(str(folder), "evaluation", [], keep_where(None))[0], title="made")


def test_one_picture_for_each_variant(tmp_path):
    for k, (weight, seed) in enumerate([(10.0, 1), (10.0, 0), (20.0, 0), (30.0, 0), (40.0, 0)]):
        run = made_run(tmp_path / "runs" / str(k), {"objective.weights.identity": weight}, seed)
        if weight != 20.0:  # this one was evaluated by an older version
            write_png(run / f"evaluation{WORST}", np.full((8, 8, 3), 10 * k, dtype=np.uint8), provenance(f"sha256:{k}"))
    (tmp_path / "runs" / "3" / f"evaluation{WORST}").write_bytes(b"no picture")
    comparison = compared(tmp_path / "runs")
    pictures, notes = worst_pictures(comparison, 1)
    assert [(picture.name, picture.title) for picture in pictures] == [("worst-1", "identity=10, seed 0")]
    assert notes == ["In the run folders, but not here: identity=30, identity=40 (worst= shows more)."]
    pictures, notes = worst_pictures(comparison, 9)
    assert [picture.title for picture in pictures] == ["identity=10, seed 0", "identity=40, seed 0"]
    assert len(notes) == 1
    assert notes[0].startswith(
        f"Left out: {tmp_path / 'runs' / '3' / 'evaluation_worst.png'} is not a readable PNG picture"
    )
    assert worst_pictures(comparison, 0) == ([], [])

    sections = sections_of(comparison, published=False, curves=[], pictures=0, most=9)
    page = write_all(tmp_path / "out", comparison, sections, "now").read_text()
    png = (tmp_path / "runs" / "1" / f"evaluation{WORST}").read_bytes()
    assert base64.b64encode(png).decode() in page
    assert (tmp_path / "out" / "figures" / "worst-1.png").read_bytes() == png
    assert "(figures/worst-2.png)" in (tmp_path / "out" / "comparison.md").read_text()


def test_without_pictures_there_is_no_section(tmp_path):
    made_run(tmp_path / "a")
    sections = sections_of(compared(tmp_path), published=False, curves=[], pictures=0)
    assert "worst" not in [section.anchor for section in sections]
