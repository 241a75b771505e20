"""The registry of figures: complete, documented, and open to figures of others."""

import re
from pathlib import Path

import pytest
import torch

from simswap.errors import InputError
from simswap.measuring.predictions import PairPredictions, compute_registered, registered_digests
from simswap.metrics.figures import FIGURES, Figure, figure, register, registered, required, table, validated
from simswap.settings.recorded_names import FIGURES as EARLIER
from simswap.settings.words import CONF_DIR

PAGE = Path(CONF_DIR).parent / "docs" / "figures.md"


@pytest.fixture
def own():
    """Registers figures for one test."""
    before = dict(FIGURES)
    yield register
    for name in FIGURES.keys() - before.keys():
        del FIGURES[name]


def test_every_figure_has_a_definition_and_a_better_side():
    assert all(one.definition and one.better in ("higher", "lower") for one in FIGURES.values())
    assert all(name == one.name for name, one in FIGURES.items())


def test_required_figures_are_in_every_table():
    assert [one.name for one in required()] == [
        "id_retrieval",
        "id_similarity",
        "target_similarity",
        "pose_error_deg",
        "self_reconstruction_l1",
    ]
    assert all(one.printed and one.headline and one.validated for one in required())
    assert list(validated()) == [f"val/{one.name}" for one in required()]


def test_no_current_name_is_an_earlier_one():
    assert set(EARLIER.values()) <= set(FIGURES)
    assert not set(EARLIER) & set(FIGURES)


def test_the_page_has_the_registrys_table():
    page = PAGE.read_text(encoding="utf-8")
    found = re.search("<!-- figures: begin -->\n\n(.*?)\n<!-- figures: end -->", page, re.DOTALL)
    assert found is not None
    assert found[1] == table(), "put the output of python -m simswap.metrics.figures between the markers"


def test_an_unknown_figure_is_shown_under_its_own_name():
    assert figure("mouth_error") == Figure("mouth_error", "mouth error")


def image_of(value, count=2):
    return {"image": torch.full((count, 3, 4, 4), value)}


def test_a_registered_figure_is_computed_from_predictions(own):
    own(Figure("light", "light"), lambda pairs: (pairs.result["image"] - pairs.target["image"]).mean(dim=(1, 2, 3)))
    assert [one.name for one in registered()] == ["light"]
    found = compute_registered(PairPredictions(image_of(0.5), image_of(0.25), image_of(0.0)))
    assert found["figure_light"].tolist() == [0.25, 0.25]
    assert len(registered_digests()) == 1
    assert registered_digests()[0].startswith("light ")


CONTRAST = "def contrast(pairs):\n    return pairs.result['image'].flatten(1).std(dim=1)\n"


def test_a_figure_of_the_project_is_an_entry_and_a_function(own, tmp_path, monkeypatch):
    (tmp_path / "contrast.py").write_text(CONTRAST)
    monkeypatch.syspath_prepend(tmp_path)
    FIGURES["contrast"] = Figure("contrast", "contrast", compute="contrast.contrast")  # what the registry would say
    found = compute_registered(PairPredictions(*(image_of(0.5) for _ in range(3))))
    assert found["figure_contrast"].tolist() == [0.0, 0.0]
    before = registered_digests()
    (tmp_path / "contrast.py").write_text(CONTRAST.replace("std", "mean"))
    assert registered_digests() != before


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (lambda pairs: 1.0, "'light' returned float: one number per pair is needed, [2]"),
        (lambda pairs: torch.zeros(2, 3), "'light' returned [2, 3]: one number per pair is needed, [2]"),
        (lambda pairs: torch.zeros(()), "'light' returned []: one number per pair is needed, [2]"),
    ],
)
def test_what_is_no_number_per_pair_is_refused(own, values, said):
    own(Figure("light", "light"), values)
    with pytest.raises(InputError, match=re.escape(said)):
        compute_registered(PairPredictions(*(image_of(0.0) for _ in range(3))))


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (Figure("pose_error_deg", "mine"), "'pose_error_deg' is already registered"),
        (Figure("mouth error", "mine"), "use letters, digits and underscores"),
        (Figure("mouth", "mine", required=True), "leave out required"),
        (Figure("mouth", "mine", per_target=True), "leave out required"),
        (Figure("mouth", "mine", interval=False), "leave out required"),
    ],
)
def test_a_figure_that_cannot_be_one_is_refused(own, one, said):
    with pytest.raises(InputError, match=said):
        own(one, lambda pairs: pairs.result["pose"].norm(dim=1))
