"""The ruler on rendered crops with a tiny judge: what is known of the controls, and how pairs are chosen."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from simswap.data.datamodule import SwapDataModule
from simswap.errors import InputError
from simswap.measuring.evaluator import Evaluator
from simswap.measuring.gallery import ProtocolPairs, choose_pairs
from simswap.measuring.instruments import Instruments
from simswap.measuring.sampling import grid_rows, unseen_grid
from simswap.measuring.swappers import COPY_SOURCE, DO_NOTHING, Faces, PrecomputedSwaps, PreparedFaces, Swapper
from simswap.metrics.intervals import mean_interval, share_interval
from simswap.metrics.reconstruction import PairsReconstruction
from simswap.models.embedder import Embedder
from simswap.models.frozen import FrozenModule
from simswap.models.pose import PoseEstimator
from tests.training.tiny import tiny_recognizer


class BrightnessPose(PoseEstimator):
    """Says the mean red, green and blue as the three angles, so that every error can be worked out."""

    def __init__(self) -> None:
        super().__init__("brightness", "0" * 64, None)

    def forward(self, images: Tensor, template: str, view: Tensor) -> Tensor:
        return images.mean(dim=(2, 3)) * 10


@pytest.fixture(scope="module")
def data(crops):
    return SwapDataModule(crops, batch_size=1, fractions={"train": 0.5, "val": 0.25, "test": 0.25})


@pytest.fixture(scope="module")
def ruler(data):
    pairs = choose_pairs(data, "train", 8, 3, 20, seed=1)
    instruments = Instruments(Embedder(tiny_recognizer(), "arcface", 32), BrightnessPose())
    return Evaluator(PreparedFaces(data), pairs, instruments, 7, torch.device("cpu"))


@pytest.mark.parametrize(("workers", "keep_mb"), [(0, 1), (1, 0), (3, 1)])
def test_reading_ahead_and_keeping_crops_change_no_value(data, ruler, workers, keep_mb):
    faces = PreparedFaces(data, keep_mb)
    other = Evaluator(faces, ruler.pairs, ruler.instruments, 7, torch.device("cpu"), workers=workers)
    blend = Swapper("blend", "other", lambda target, source: Faces((target.images + source.images) / 2, target.view))
    one, two = (each.measure(blend).samples() for each in (ruler, other))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name].nan_to_num(9), two[name].nan_to_num(9)) for name in one)
    assert len(faces._kept) == (len(ruler.pairs.gallery) if keep_mb else 0)


def test_pairs_are_of_two_persons_of_the_split_and_in_the_gallery(data):
    pairs = choose_pairs(data, "train", 5, 2, 30, seed=0)
    person = data.manifest.person
    assert len(pairs.gallery) == 10
    assert len(np.unique(person[pairs.gallery])) == 5
    assert np.unique(person[pairs.gallery], return_counts=True)[1].tolist() == [2] * 5
    assert set(pairs.gallery) <= set(data.rows("train"))
    assert set(pairs.target) | set(pairs.source) <= set(pairs.gallery)
    assert (person[pairs.target] != person[pairs.source]).all()
    again = choose_pairs(data, "train", 5, 2, 30, seed=0)
    assert all(np.array_equal(a, b) for a, b in zip(pairs, again, strict=True))
    assert not np.array_equal(choose_pairs(data, "train", 5, 2, 30, seed=1).source, pairs.source)


def test_a_split_of_one_person_cannot_be_measured(crops):
    lonely = SwapDataModule(crops, batch_size=1, fractions={"train": 0.98, "val": 0.02, "test": 0.0})
    with pytest.raises(InputError, match=r"the (val|test) split .* swaps need two"):
        choose_pairs(lonely, "test", 5, 2, 3, seed=0)


def test_the_controls_figures_are_known(ruler):
    nothing, copied = ruler.measure(DO_NOTHING).figures(), ruler.measure(COPY_SOURCE).figures()
    targets = len(np.unique(ruler.pairs.target))
    assert targets < 20
    assert nothing["pose_error_deg"] == (0, 0, 0, 20)
    assert nothing["self_reconstruction_l1"] == (0, 0, 0, targets)
    assert nothing["target_similarity"].value == pytest.approx(1)
    assert nothing["id_retrieval"].value == 0  # the target itself is in the gallery, and nearest
    assert copied["id_retrieval"].value == 1
    assert nothing["id_retrieval"].high > 0.2  # eight persons are no proof that it never happens
    assert copied["id_retrieval"].low < 0.8
    assert copied["id_similarity"].value == pytest.approx(1)
    assert nothing["id_similarity"].value == pytest.approx(copied["target_similarity"].value)


def test_figures_are_worked_out_from_the_pictures(ruler, data):
    blend = Swapper("blend", "other", lambda t, s: Faces(0.75 * t.images + 0.25 * s.images, t.view))
    measured = ruler.measure(blend)
    target = data.load(ruler.pairs.target).float() / 255
    source = data.load(ruler.pairs.source).float() / 255
    expected = 0.25 * 10 * (source.mean(dim=(2, 3)) - target.mean(dim=(2, 3)))  # what the blend adds to each angle
    figures = measured.figures()
    assert figures["pose_error_deg"].value == pytest.approx(expected.norm(dim=1).mean().item(), rel=1e-4)
    assert figures["yaw_error_deg"].value == pytest.approx(expected[:, 0].abs().mean().item(), rel=1e-4)
    assert figures["self_reconstruction_l1"].value == pytest.approx(0, abs=1e-6)
    judge = ruler.instruments.judge
    view = torch.zeros(len(target), dtype=torch.int64)
    cosine = (judge(0.75 * target + 0.25 * source, view) * judge(source, view)).sum(dim=1)
    assert figures["id_similarity"].value == pytest.approx(cosine.mean().item(), abs=1e-5)
    sources, targets = (data.manifest.person[rows] for rows in (ruler.pairs.source, ruler.pairs.target))
    assert figures["id_similarity"] == pytest.approx((*mean_interval(cosine, sources, targets), 20), abs=1e-4)
    hits = measured.samples()["id_retrieval"]
    assert figures["id_retrieval"] == pytest.approx((*share_interval(hits, sources, targets), 20))
    means = measured.means(distributed=False)
    assert means["id_similarity"] == pytest.approx(cosine.mean().item(), abs=1e-5)
    assert measured.chance == pytest.approx(1 / 8)
    assert measured.missed_poses == 0


def test_the_identity_loss_is_the_trained_recognizers(data):
    pairs = choose_pairs(data, "train", 4, 2, 6, seed=1)
    judge, trained = (Embedder(tiny_recognizer(seed), "arcface", 32) for seed in (1, 2))
    ruler = Evaluator(PreparedFaces(data), pairs, Instruments(judge, BrightnessPose(), trained), 4, torch.device("cpu"))
    samples = ruler.measure(DO_NOTHING).samples()
    view = torch.zeros(6, dtype=torch.int64)
    target, source = (data.load(rows).float() / 255 for rows in (pairs.target, pairs.source))
    expected = 1 - (trained(target, view) * trained(source, view)).sum(dim=1)
    torch.testing.assert_close(samples["identity_loss"], expected, atol=1e-5, rtol=0)
    assert not torch.allclose(samples["identity_loss"], 1 - samples["id_similarity"], atol=1e-3)


def test_a_slice_counts_its_pairs_alone(ruler):
    measured = ruler.measure(COPY_SOURCE)
    mask = np.zeros(20, dtype=bool)
    mask[[2, 5, 11]] = True
    each = measured.samples()["pose_error_deg"].numpy()
    assert measured.figures(mask)["pose_error_deg"].value == pytest.approx(each[mask].mean(), rel=1e-6)


def test_a_target_counts_once_in_self_reconstruction(ruler, data):
    """Its swap with itself is the same in all its pairs: also over ranks, which see some of the pairs each."""
    dark = Swapper("dark", "other", lambda t, s: Faces(0.5 * t.images, t.view))
    whole, parts = ruler.measure(dark), [ruler.new_measurement() for _ in range(2)]
    for k in range(20):
        ruler.measure_chunk(dark, np.array([k]), parts[k % 2])
    targets = np.unique(ruler.pairs.target)
    each = 0.5 * (data.load(targets).float() / 255).mean(dim=(1, 2, 3)).double()
    figure = whole.figures()["self_reconstruction_l1"]
    assert figure.n == len(targets) < 20
    persons = data.manifest.person[targets]
    assert figure[:3] == pytest.approx(mean_interval(each.numpy(), persons, persons), rel=1e-5)
    assert whole.means(distributed=False)["self_reconstruction_l1"] == pytest.approx(each.mean().item(), rel=1e-5)
    gathered = ruler.new_measurement().self_reconstruction
    for part in parts[::-1]:
        gathered.update(**{name: part.self_reconstruction.values(name) for name in gathered.columns})
    assert gathered.compute()["l1"] == pytest.approx(each.mean().item(), rel=1e-5)


def test_a_target_whose_first_pair_is_missed_counts_at_its_next():
    targets = np.array([7, 7, 3, 7, 3, 9])
    metric = PairsReconstruction(targets)
    values = torch.tensor([0.7, 0.4, 0.7, 0.4])  # of pairs 3, 2, 1, 4: pair 0, and 9's only one, are missed
    metric.update(l1=values, psnr=10 * values, ssim=values, place=torch.tensor([3, 2, 1, 4]))
    nan = float("nan")
    assert metric.in_pairs("l1").tolist() == pytest.approx([nan, 0.7, 0.4, nan, nan, nan], nan_ok=True)
    chosen = np.array([True, False, False, True, True, True])
    assert metric.in_pairs("psnr", chosen).tolist() == pytest.approx([nan, nan, nan, 7, 4, nan], nan_ok=True)
    assert metric.compute()["l1"].item() == pytest.approx(0.55)


def test_missed_pairs_take_no_target_from_the_self_reconstruction(ruler, data):
    targets, first = np.unique(ruler.pairs.target, return_index=True)
    again = next(t for t in targets if (ruler.pairs.target == t).sum() > 1)
    missed = first[targets == again][0]

    def swap(target, source):
        lost = (source.images == faces.images).flatten(1).all(1) & (target.images == onto.images).flatten(1).all(1)
        return Faces((0.5 * target.images).masked_fill(lost.view(-1, 1, 1, 1), torch.nan), target.view)

    faces, onto = (
        ruler.faces.load(rows[[missed]], torch.device("cpu")) for rows in (ruler.pairs.source, ruler.pairs.target)
    )
    measured = ruler.measure(Swapper("now and then", "other", swap))
    each = 0.5 * (data.load(targets).float() / 255).mean(dim=(1, 2, 3)).double()
    figure = measured.figures()["self_reconstruction_l1"]
    assert measured.missed_results == 1
    assert (figure.n, figure.value) == (len(targets), pytest.approx(each.mean().item(), rel=1e-5))
    second = np.flatnonzero(ruler.pairs.target == again)
    place = targets.tolist().index(again)
    assert measured.samples()["self_reconstruction_l1"][second[1]].item() == pytest.approx(each[place].item(), rel=1e-5)
    slice_of_it = np.isin(np.arange(20), second[1:])
    assert measured.figures(slice_of_it)["self_reconstruction_l1"].n == 1


class Difference(FrozenModule):
    """In place of LPIPS: twice the mean absolute difference."""

    name, sha256, settings = "difference", "0" * 64, {"kind": "lpips"}

    def forward(self, results: Tensor, targets: Tensor) -> Tensor:
        return 2 * (results - targets).abs().mean(dim=(1, 2, 3))


def test_lpips_compares_results_with_targets_and_self_swaps(data, ruler):
    instruments = replace(ruler.instruments, lpips=Difference())
    other = Evaluator(ruler.faces, ruler.pairs, instruments, 7, torch.device("cpu"))
    brighter = Swapper("b", "other", lambda t, s: Faces(0.5 * t.images + 0.5 * s.images.clamp(max=0.5), t.view))
    measured = other.measure(brighter)
    found, samples = measured.figures(), measured.samples()
    target, source = (data.load(rows).float() / 255 for rows in (ruler.pairs.target, ruler.pairs.source))
    expected = 2 * (0.5 * source.clamp(max=0.5) - 0.5 * target).abs().mean(dim=(1, 2, 3))
    torch.testing.assert_close(samples["lpips"], expected, rtol=1e-4, atol=1e-6)
    assert found["lpips"].n == 20
    alone = 2 * found["self_reconstruction_l1"].value  # the same differences, once per target
    assert found["self_reconstruction_lpips"].value == pytest.approx(alone, rel=1e-3)
    assert found["self_reconstruction_lpips"].n == len(np.unique(ruler.pairs.target))

    made = PrecomputedSwaps("made", lambda places, offset, device: (
        Faces(1 - other.faces.load(ruler.pairs.target[places], device).images, torch.zeros(len(places)).long()),
        torch.ones(len(places), dtype=torch.bool)))  # fmt: skip
    figures = other.measure(made).figures()
    assert figures["lpips"].value == pytest.approx(float(2 * (1 - 2 * target).abs().mean()), rel=1e-4)
    assert "self_reconstruction_lpips" not in figures
    assert "lpips" not in ruler.measure(brighter).figures()


def test_the_grid_shows_other_persons_as_sources(data):
    grid = unseen_grid(data, "train", 2, 0, lambda t, s: s, torch.device("cpu"))
    assert grid.shape == (3 * 32 + 8, 3 * 32 + 8, 3)
    assert np.array_equal(grid[36:68, 36:68], grid[:32, 36:68])  # the swap that copies its source
    assert (grid[:32, :32] == 255).all()


def test_a_grid_takes_as_many_persons_as_there_are(data):
    faces = PreparedFaces(data)
    first = [int(np.flatnonzero(faces.person == person)[0]) for person in range(4)]
    pairs = ProtocolPairs(np.array(first), np.array(first), np.array([first[1], first[0], first[3], first[2]]))
    targets, sources = grid_rows(faces, pairs, 6)
    assert (targets.tolist(), sources.tolist()) == (first[:2], [first[3], first[2]])
    alone = ProtocolPairs(np.array(first[:1]), np.array(first[:1]), np.array(first[:1]))
    assert len(grid_rows(faces, alone, 6)[0]) == 0


def test_an_attribute_that_is_text_is_said(crops, tmp_path):
    import shutil

    from simswap.errors import InputError

    root = shutil.copytree(crops, tmp_path / "crops")
    lines = (root / "attributes.csv").read_text().splitlines()
    names = [line.split(",")[0] for line in lines[1:]]
    (root / "attributes.csv").write_text("NAME_ID,yaw\n" + "".join(f"{name},left\n" for name in names))
    faces = PreparedFaces(SwapDataModule(str(root), batch_size=1))
    assert faces.attribute("roll") is None
    with pytest.raises(InputError, match="the column yaw contains text instead of numbers"):
        faces.attribute("yaw")
