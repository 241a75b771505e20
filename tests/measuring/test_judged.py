"""Several judges: what each says of a swapper, and how far they agree, on embeddings whose figures are worked out."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from simswap.data.datamodule import SwapDataModule
from simswap.errors import InputError
from simswap.measuring.evaluator import Evaluator
from simswap.measuring.gallery import ProtocolPairs, choose_pairs
from simswap.measuring.instruments import Instruments, instruments_for, signature
from simswap.measuring.judged import Judged, agreement, kappa
from simswap.measuring.swappers import COPY_SOURCE, DO_NOTHING, Faces, PreparedFaces, Swapper
from simswap.metrics.figures import figure, judge_of, of_judge
from simswap.metrics.intervals import share_interval
from simswap.metrics.similarity import IdentityTransfer
from simswap.models.embedder import Embedder
from simswap.models.recognition import Recognizer
from tests.measuring.test_evaluator import BrightnessPose
from tests.training.tiny import tiny_recognizer

# Rows 0 and 1 show one person, rows 2 and 3 another; each pair swaps across.
PAIRS = ProtocolPairs(np.arange(4), np.array([0, 2, 1, 3]), np.array([2, 0, 3, 1]))
PERSON = torch.tensor([0, 0, 1, 1])
GALLERY = torch.tensor([[1, 0], [0.8, 0.6], [0, 1], [-0.6, 0.8]])
# The first judge finds the sources of pairs 0 and 1, the second those of pairs 0 and 2.
FIRST = torch.tensor([[0, 1], [1, 0], [0.8, 0.6], [0, 1]])
SECOND = torch.tensor([[0, 1], [0, 1], [-0.6, 0.8], [0, 1]])


def judged(results, gallery=GALLERY, places=(0, 1, 2, 3)):
    found = Judged(PAIRS, PERSON, gallery)
    place = torch.tensor(places)
    found.add(place, results[place])
    return found


def test_two_judges_that_agree_on_half_of_the_pairs():
    one, other = judged(FIRST).samples(), judged(SECOND).samples()
    assert one["id_retrieval"].tolist() == [1, 1, 0, 0]
    assert other["id_retrieval"].tolist() == [1, 0, 1, 0]
    assert agreement(one["id_retrieval"], other["id_retrieval"]).tolist() == [1, 0, 0, 1]
    assert kappa(one["id_retrieval"], other["id_retrieval"]) == 0  # as often as two coins
    assert one["id_similarity"].tolist() == pytest.approx([1, 1, 0, 0.6])
    assert one["identity_share"].tolist() == pytest.approx([1, 1, 0, 0.6])  # targets and sources are orthogonal
    assert judged(FIRST).chance == 0.5


def test_kappa_is_cohens():
    """20 and 15 of 50 agree on yes and no, 5 and 10 disagree: (0.7 - 0.5) / (1 - 0.5), by hand."""
    first = torch.tensor([1.0] * 25 + [0.0] * 25)
    second = torch.tensor([1.0] * 20 + [0.0] * 5 + [1.0] * 10 + [0.0] * 15)
    assert kappa(first, second) == pytest.approx(0.4)
    assert kappa(first, first) == 1
    assert math.isnan(kappa(torch.ones(5), torch.ones(5)))
    assert math.isnan(kappa(torch.full((3,), torch.nan), torch.ones(3)))
    unknown = torch.tensor([torch.nan] * 7)
    assert kappa(torch.cat([first, unknown]), torch.cat([second, torch.ones(7)])) == pytest.approx(0.4)


def test_places_decide_the_order_and_a_missed_pair_has_no_value():
    blind = FIRST.clone()
    blind[1] = torch.nan
    found = judged(blind, places=(3, 1, 0))
    samples = found.samples()
    assert samples["id_retrieval"].tolist() == pytest.approx([1, math.nan, math.nan, 0], nan_ok=True)
    assert found.missed == 2
    gallery = GALLERY.clone()
    gallery[3] = 0  # a target and a source that this judge cannot embed
    found = judged(FIRST, gallery)
    assert found.missed == 2
    assert found.samples()["id_retrieval"].tolist() == pytest.approx([1, 1, math.nan, math.nan], nan_ok=True)
    assert found.chance == pytest.approx((1 / 3 + 2 / 3) / 2)
    assert agreement(found.samples()["id_retrieval"], judged(SECOND).samples()["id_retrieval"]).tolist() == (
        pytest.approx([1, 0, math.nan, math.nan], nan_ok=True)
    )


def test_transfer_needs_no_cosine_of_strangers():
    """A number that all embeddings share brings all cosines together, as dlib's do, and moves no transfer."""
    generator = torch.Generator().manual_seed(0)
    faces = [functional.normalize(torch.randn(9, 16, generator=generator), dim=1) for _ in range(3)]
    near = [functional.normalize(torch.cat([face, torch.full((9, 1), 2.0)], dim=1), dim=1) for face in faces]
    plain, shared = IdentityTransfer(), IdentityTransfer()
    plain.update(*faces)
    shared.update(*near)
    assert (near[1] * near[2]).sum(dim=1).min() > 0.6
    torch.testing.assert_close(plain.values("transfer"), shared.values("transfer"), rtol=1e-4, atol=1e-6)
    ends = IdentityTransfer()
    ends.update(torch.cat([faces[1], faces[2]]), faces[1].repeat(2, 1), faces[2].repeat(2, 1))
    assert ends.values("transfer").tolist() == pytest.approx([0] * 9 + [1] * 9, abs=1e-6)
    ends.update(faces[0], faces[1], faces[1])
    assert ends.values("transfer")[-9:].isnan().all()
    with pytest.raises(ValueError, match="same shape"):
        ends.update(faces[0], faces[1], faces[2][:3])


class Seen(nn.Module):
    """The tiny recognizer's unit vectors, changed by a function."""

    def __init__(self, change) -> None:
        super().__init__()
        self.network, self.change = tiny_recognizer().network, change

    def forward(self, images):
        return self.change(functional.normalize(self.network(images), dim=1))


def seen(change, sha256):
    return Embedder(Recognizer(Seen(change), "seen", sha256 * 64, 32, 8, "symmetric"), "arcface", 32)


TURN = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(1)))[0]
JUDGES = {
    "turned": seen(lambda v: v @ TURN, "a"),
    "shared": seen(lambda v: torch.cat([v, torch.full_like(v[:, :1], 2.0)], dim=1), "b"),
    # It cannot embed some of the faces.
    "blind": seen(lambda v: v.masked_fill(v[:, :1] > 0.2, torch.nan), "c"),
    "other": Embedder(tiny_recognizer(5), "arcface", 32),
}
BLEND = Swapper("blend", "other", lambda t, s: Faces(0.5 * t.images + 0.5 * s.images, t.view))


@pytest.fixture(scope="module")
def measured(crops):
    data = SwapDataModule(crops, batch_size=1, fractions={"train": 0.5, "val": 0.25, "test": 0.25})
    pairs = choose_pairs(data, "train", 8, 3, 30, seed=1)
    first = Embedder(tiny_recognizer(), "arcface", 32)

    def by(judges):
        instruments = Instruments(first, BrightnessPose(), judges=judges)
        return Evaluator(PreparedFaces(data, 1), pairs, instruments, 7, torch.device("cpu"))

    return by({}), by(JUDGES)


def test_the_first_judges_figures_do_not_depend_on_the_others(measured):
    alone, several = (ruler.measure(BLEND) for ruler in measured)
    one, two = alone.figures(), several.figures()
    assert list(two) == [*list(one)[:5], "identity_share", *list(one)[5:]]
    assert repr({name: found for name, found in two.items() if name != "identity_share"}) == repr(one)
    assert alone.judge_figures() == {}
    assert alone.missed_results == several.missed_results == 0


def test_each_judge_has_figures_of_its_own(measured):
    found = measured[1].measure(BLEND)
    first, samples, figures = found.figures(), found.judge_samples(), found.judge_figures()
    assert list(figures) == list(JUDGES)
    for name in ("turned", "shared"):  # the same neighbors
        assert figures[name]["id_retrieval"] == first["id_retrieval"]
        assert figures[name]["judges_agree"].value == 1
        assert figures[name]["judges_kappa"].value == 1
        assert figures[name]["identity_share"] == pytest.approx(first["identity_share"], rel=1e-4)
    for name in ("id_similarity", "target_similarity"):
        assert figures["turned"][name].value == pytest.approx(first[name].value, abs=1e-5)
        assert figures["shared"][name].value == pytest.approx((first[name].value + 4) / 5, abs=1e-5)
    assert 0 < figures["other"]["judges_agree"].value < 1
    agree = samples["other"]["judges_agree"]
    hits = found.samples()["id_retrieval"], samples["other"]["id_retrieval"]
    assert torch.equal(agree, (hits[0] == hits[1]).float())
    person, pairs = found._person.numpy(), measured[1].pairs
    expected = share_interval(agree, person[pairs.source], person[pairs.target])
    assert figures["other"]["judges_agree"] == pytest.approx((*expected, 30))


def test_a_judge_misses_pairs_of_its_own(measured):
    found = measured[1].measure(BLEND)
    blind, missed = found.judge_samples()["blind"], found.judges["blind"].missed
    assert 0 < missed < 30
    assert int(blind["id_retrieval"].isnan().sum()) == missed
    assert found.judge_figures()["blind"]["id_similarity"].n == 30 - missed
    assert found.judge_figures()["blind"]["judges_agree"].n == 30 - missed
    seen_by_both = ~blind["id_similarity"].isnan()
    same = found.samples()["id_similarity"][seen_by_both]
    torch.testing.assert_close(blind["id_similarity"][seen_by_both], same, atol=1e-5, rtol=0)


def test_the_controls_are_the_ends_for_every_judge(measured):
    nothing, copied = (measured[1].measure(control).judge_figures() for control in (DO_NOTHING, COPY_SOURCE))
    for name in ("turned", "shared", "other"):
        assert nothing[name]["identity_share"].value == pytest.approx(0, abs=1e-5)
        assert copied[name]["identity_share"].value == pytest.approx(1, abs=1e-5)
        assert copied[name]["id_retrieval"].value == 1
        assert math.isnan(nothing[name]["judges_kappa"].value)  # both find no one


def test_a_slice_has_its_judges(measured):
    found = measured[1].measure(BLEND)
    mask = np.arange(30) < 12
    each = found.judge_samples()["other"]["id_retrieval"][:12]
    part = found.judge_figures(mask)["other"]
    assert part["id_retrieval"][::3] == pytest.approx((each.mean().item(), 12))
    assert part["judges_kappa"].value == pytest.approx(kappa(found.samples()["id_retrieval"][:12], each), nan_ok=True)


def test_a_judge_that_embeds_nothing_is_refused(crops, measured):
    nothing = seen(lambda v: v * torch.nan, "d")
    instruments = Instruments(measured[0].instruments.judge, BrightnessPose(), judges={"broken": nothing})
    with pytest.raises(InputError, match="the judge seen gives no usable embedding"):
        Evaluator(measured[0].faces, measured[0].pairs, instruments, 7, torch.device("cpu"))


def test_one_network_judges_once():
    one, other = tiny_recognizer(1), tiny_recognizer(2)

    def made(judge, **judges):
        return instruments_for(None, None, judge, BrightnessPose(), None, None, "arcface", 32, judges)

    assert list(made(one, second=other).judges) == ["second"]
    with pytest.raises(InputError, match=r"^judges.second and judge are the same network \(tiny, sha256 00000000\)"):
        made(one, second=tiny_recognizer(1))
    with pytest.raises(InputError, match=r"^judges.c and judges.b are the same network"):
        made(one, b=other, c=tiny_recognizer(2))


def test_cached_readings_are_those_of_all_judges():
    one, other = (Embedder(tiny_recognizer(seed), "arcface", 32) for seed in (1, 2))
    alone, both = Instruments(one, BrightnessPose()), Instruments(one, BrightnessPose(), judges={"second": other})
    (further,) = (line for line in signature(both) if line not in signature(alone))
    assert further.startswith("fp32 judges.second ")
    assert signature(alone) == [line for line in signature(both) if "judges." not in line]


def test_names_of_figures_lead_to_their_judge():
    assert of_judge("dlib", "id_retrieval") == "judges.dlib.id_retrieval"
    assert judge_of("judges.dlib.id_retrieval") == ("dlib", "id_retrieval")
    assert judge_of("id_retrieval") == ("", "id_retrieval")
    shown = figure("judges.dlib.id_retrieval")
    assert (shown.label, shown.unit, shown.share) == ("ID retrieval, dlib", "%", True)
    assert shown.name == "judges.dlib.id_retrieval"
