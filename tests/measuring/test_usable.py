"""What cannot be measured is counted as missed, in one line that names it, and the rest keeps its figures."""

import json
import logging

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from simswap import checkpoint, evaluate, export, import_weights, swap
from simswap.data.datamodule import SwapDataModule
from simswap.errors import InputError
from simswap.inference.swapper import most_alike
from simswap.measuring.evaluator import Evaluator
from simswap.measuring.gallery import choose_pairs
from simswap.measuring.instruments import Instruments
from simswap.measuring.swappers import COPY_SOURCE, DO_NOTHING, Faces, PreparedFaces, Swapper, swap_faces
from simswap.models import builtin
from simswap.models.embedder import Embedder
from simswap.models.generator import Generator
from simswap.models.pose import PoseEstimator
from simswap.models.recognition import Recognizer
from simswap.pixels import to_uint8
from tests.test_evaluate import SMALL
from tests.training.tiny import tiny_recognizer


class MeanPose(PoseEstimator):
    """The mean red, green and blue; a picture with a NaN would raise, as OpenCV's solvers do."""

    def __init__(self):
        super().__init__("mean", "0" * 64, None)

    def forward(self, images, template, view):
        assert images.isfinite().all()
        return images.mean(dim=(2, 3)) * 100


class Features(nn.Module):
    """Mean color; NaN for dark pictures."""

    name, sha256, settings = "features", "f" * 64, {"kind": "features"}

    def forward(self, images):
        mean = images.mean(dim=(2, 3))
        return mean.masked_fill(mean.sum(dim=1, keepdim=True) < 0.3, torch.nan)


class Blind(nn.Module):
    """A recognizer's network that gives ``value`` for pictures that are red in a corner, else their mean colors."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, images):
        marked = (images[:, 0, 0, 0] > 0.99) & (images[:, 1, 0, 0] < -0.99)
        return torch.where(marked[:, None], self.value, images.mean(dim=2).flatten(1))


def judge(value=0.0):
    return Embedder(Recognizer(Blind(value), "blind", "b" * 64, 32, 96, "symmetric"), "arcface", 32)


@pytest.fixture(scope="module")
def data(crops):
    return SwapDataModule(crops, batch_size=1, fractions={"train": 0.5, "val": 0.25, "test": 0.25})


class Marked(PreparedFaces):
    """Some rows' pictures are red in a corner."""

    def __init__(self, data, rows=()):
        super().__init__(data)
        self.rows = rows

    def load(self, rows, device, landmarks=False, offset=0):
        faces = super().load(rows, device, landmarks, offset)
        for place, row in enumerate(rows):
            if row in self.rows:
                faces.images[place, :, 0, 0] = torch.tensor([1.0, 0.0, 0.0])
        return faces


def ruler(data, value=0.0, marked=(), features=None):
    pairs = choose_pairs(data, "train", 6, 2, 12, seed=1)
    rows = [pairs.gallery[place] for place in marked]
    return Evaluator(
        Marked(data, rows), pairs, Instruments(judge(value), MeanPose(), features=features), 5, torch.device("cpu")
    )


def spoiled(how):
    """A blend that is spoiled for bright targets."""

    def blend(target, source):
        images = 0.75 * target.images + 0.25 * source.images
        return Faces(how(images), target.view)

    return Swapper("spoiled", "other", blend)


def where_bright(images, value, whole=True):
    bright = images.flatten(1).mean(dim=1) > images.flatten(1).mean(dim=1).median()
    images = images.clone()
    if whole:
        images[bright] = value
    else:
        images[bright, 1, 3, 3] = value
    return images


WAYS = {
    "NaN": lambda images: where_bright(images, torch.nan),
    "one NaN": lambda images: where_bright(images, torch.nan, whole=False),
    "infinity": lambda images: where_bright(images, torch.inf, whole=False),
    "not to be embedded": lambda images: where_bright(images, torch.tensor([1.0, 0.0, 0.0])[:, None, None]),
}


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("value", [0.0, torch.nan, torch.inf])
def test_unusable_results_are_missed_and_the_others_keep_their_figures(data, caplog, way, value):
    measuring = ruler(data, value)
    good = measuring.measure(spoiled(lambda images: images)).samples()
    assert not caplog.records
    measured = measuring.measure(spoiled(WAYS[way]))
    missed = measured.samples()["id_similarity"].isnan()
    assert 2 <= measured.missed_results == int(missed.sum()) < 12
    for name, values in measured.samples().items():
        if not name.startswith("self_"):
            assert torch.equal(values[~missed].nan_to_num(7), good[name][~missed].nan_to_num(7)), name
        assert values[missed].isnan().all(), name
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [f"spoiled: {measured.missed_results} of 12 pairs have no usable result and count as missed"]


def test_a_swapper_without_any_picture_has_no_figures_and_stops_nobody(data):
    measuring = ruler(data, features=Features())
    measured = measuring.measure(spoiled(lambda images: images * torch.nan))
    assert measured.missed_results == 12
    assert all(np.isnan(figure.value) for figure in measured.figures().values())
    assert measuring.measure(COPY_SOURCE).figures()["id_retrieval"].value == 1
    constant = measuring.measure(spoiled(lambda images: torch.full_like(images, 0.6)))  # bad, but a picture
    assert constant.missed_results == 0
    assert constant.figures()["pose_error_deg"].value > 0


def test_gallery_images_that_cannot_be_embedded_leave_the_gallery_and_their_pairs(data, caplog):
    caplog.set_level(logging.WARNING)
    for value in (0.0, torch.nan):
        caplog.clear()
        measuring = ruler(data, value, marked=(2, 5))
        bad = measuring.pairs.gallery[[2, 5]]
        expected = np.isin(measuring.pairs.target, bad) | np.isin(measuring.pairs.source, bad)
        assert 0 < expected.sum() < 12
        for swapper in (DO_NOTHING, COPY_SOURCE):
            measured = measuring.measure(swapper)
            assert measured.samples()["id_similarity"].isnan().numpy().tolist() == expected.tolist()
            assert measured.missed_results == expected.sum()
        assert measured.figures()["id_retrieval"].value == 1
        assert caplog.records[0].getMessage() == (
            "the judge blind cannot embed 2 of 12 gallery images; their pairs count as missed"
        )


def test_a_judge_that_can_embed_nothing_is_named(data):
    with pytest.raises(InputError, match=r"the judge blind gives no usable embedding .* of any of the 12 gallery"):
        ruler(data, torch.nan, marked=range(12))


def test_features_that_are_not_finite_stay_out_of_fid(data):
    measuring = ruler(data, features=Features())
    whole = measuring.measure(spoiled(lambda images: images)).figures()["fid"].value
    dark = measuring.measure(spoiled(lambda images: where_bright(images, 0.05))).figures()["fid"].value
    assert np.isfinite([whole, dark]).all()


@pytest.mark.parametrize("part", ["weights", "infinite weights", "source"])
def test_a_swap_that_cannot_be_made_is_nan(part):
    torch.manual_seed(0)
    generator = Generator(4, 2, 1, 8, 8, pixel_range="imagenet").eval()
    recognizer = tiny_recognizer()
    if part == "source":
        recognizer.network = nn.Sequential(recognizer.network, nn.Threshold(9.0, 0.0))  # nothing is above 9: zero
    else:
        generator.last[1].bias.data[0] = torch.nan if part == "weights" else torch.inf
    faces = Faces(torch.rand(2, 3, 32, 32), torch.zeros(2, dtype=torch.int64))
    result = swap_faces(generator, Embedder(recognizer, "arcface", 32), faces, faces).images
    assert result.isnan().all()
    assert (to_uint8(result) == 0).all()


def test_who_cannot_be_embedded_is_like_nobody():
    references = torch.eye(3)[:2]
    faces = torch.stack([torch.full((3,), torch.nan), references[1]])
    assert most_alike(faces, references, 0.3) == ([None, 1], 1.0)


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """A checkpoint of which one weight is NaN."""
    torch.manual_seed(0)
    generator = Generator(width=4, stages=2, blocks=1, identity_size=64, max_width=8)
    generator.encoder[0][0].weight.data[0, 0, 0, 0] = torch.nan
    path = tmp_path_factory.mktemp("broken") / "broken.ckpt"
    checkpoint.write_generator(path, generator, checkpoint.describe(generator, "arcface", 32, builtin.recognizer(), {}))
    return path


def test_an_evaluation_goes_on_beside_a_broken_checkpoint(broken, crops, tmp_path, door):
    torch.manual_seed(1)
    generator = Generator(width=4, stages=2, blocks=1, identity_size=64, max_width=8)
    config = {"data": {"root": str(crops), "fractions": {"train": 0.5, "val": 0.25, "test": 0.25}},
              "pose": {"_target_": "simswap.models.builtin.pose_estimator"}}  # fmt: skip
    good = tmp_path / "good.ckpt"
    description = checkpoint.describe(generator, "arcface", 32, builtin.recognizer(), config)
    checkpoint.write_generator(good, generator, description)
    code, out, errors = door(evaluate.main, f"checkpoint={good}", f"shipped={broken}", f"out={tmp_path}/out", *SMALL)
    assert code == 0, errors
    assert "shipped: 12 of 12 pairs have no usable result and count as missed" in out + errors
    results = json.loads((tmp_path / "out" / "evaluation.json").read_text())["results"]
    assert results["shipped"]["missed_results"] == 12
    assert results["shipped"]["id_retrieval"]["value"] is None
    assert results["trained"]["missed_results"] == results["copy_source"]["missed_results"] == 0
    assert results["trained"]["id_similarity"]["value"] is not None


def one_line(errors):
    (line,) = [line for line in errors.splitlines() if line.strip()]
    return line


def test_swap_export_import_and_sharing_refuse_weights_that_are_not_finite(broken, tmp_path, door):
    said = "1 of its weights are no finite numbers, the first in encoder.0.0.weight"
    photo = tmp_path / "photo.png"
    for file in (photo, tmp_path / "other.png"):
        Image.new("RGB", (64, 64)).save(file)
    columns = ["NAME_ID", *(f"P{number}{axis}" for number in range(1, 6) for axis in "XY")]
    points = "20,24,44,24,32,36,24,48,40,48"
    (tmp_path / "points.csv").write_text(f"{','.join(columns)}\nphoto,{points}\nother,{points}\n")
    arguments = [f"source={photo}", f"target={tmp_path}/other.png", f"landmarks={tmp_path}/points.csv"]
    code, _, errors = door(swap.main, f"checkpoint={broken}", f"out={tmp_path}/made.png", *arguments)
    assert (code, said in one_line(errors)) == (2, True), errors
    for ending in ("onnx", "safetensors"):
        code, _, errors = door(export.main, f"checkpoint={broken}", f"out={tmp_path}/made.{ending}")
        assert (code, said in one_line(errors)) == (2, True), errors
    with pytest.raises(InputError, match=r"1 of its weights are no finite numbers, the first in ema.encoder"):
        checkpoint.write_slim(broken, tmp_path / "made.ckpt")
    torch.save({"first.weight": torch.tensor([1.0, torch.inf])}, tmp_path / "net.pth")
    code, _, errors = door(
        import_weights.main,
        f"weights={tmp_path}/net.pth",
        f"out={tmp_path}/made.ckpt",
        "size=224",
        "generation=2021",
        "recognition=builtin",
    )
    assert code == 2, errors
    assert "1 of its weights are no finite numbers, the first in first.weight" in one_line(errors)
    assert not list(tmp_path.glob("made.*"))


def test_half_precision_that_overflows_is_refused(tmp_path):
    generator = Generator(width=4, stages=2, blocks=1, identity_size=64, max_width=8)
    generator.first[1].weight.data[0, 0, 0, 0] = 1e6
    path = tmp_path / "large.ckpt"
    checkpoint.write_generator(path, generator, checkpoint.describe(generator, "arcface", 32, builtin.recognizer(), {}))
    with pytest.raises(InputError, match=r"large.ckpt in half precision: 1 of its weights"):
        checkpoint.write_slim(path, tmp_path / "slim.ckpt")
