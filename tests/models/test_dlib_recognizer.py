"""dlib's network in torch: equal to dlib's own descriptors, differentiable, and what is refused."""

import importlib.util
from pathlib import Path

import cv2
import dlib
import numpy as np
import pytest
import torch

from simswap.errors import InputError
from simswap.faces.alignment import RECOGNIZER_CROPS, apply, crop_to_recognizer, template_points
from simswap.faces.dlib_files import LANDMARKS_68, RECOGNIZER, dlib_file
from simswap.faces.warping import RecognizerView
from simswap.models import dlib_recognizer as module
from simswap.models.dlib_file import read_dlib_weights
from simswap.models.dlib_recognizer import dlib_recognizer, read_center
from simswap.models.embedder import Embedder
from simswap.models.recorded import judge_of, recognizer_of

TARGET = "simswap.models.dlib_recognizer.dlib_recognizer"


@pytest.fixture(scope="module")
def plain():
    return dlib_recognizer(centered=False)


@pytest.fixture(scope="module")
def content():
    return dlib_file(RECOGNIZER, "recognition=dlib").read_bytes()


@pytest.fixture(scope="module")
def chips():
    """dlib's own chips of the faces in insightface's group photo: uint8 [6, 150, 150, 3]."""
    photo = Path(importlib.util.find_spec("insightface").origin).parent / "data/images/t1.jpg"
    image = np.ascontiguousarray(cv2.imread(str(photo))[..., ::-1])
    place = dlib.shape_predictor(str(dlib_file(LANDMARKS_68, "detector=dlib")))
    found = dlib.get_frontal_face_detector()(image, 0)
    return np.stack([dlib.get_face_chip(image, place(image, box), size=150, padding=0.25) for box in found])


def unit(chips):
    return torch.from_numpy(chips).permute(0, 3, 1, 2).float() / 255


def test_real_chips_give_dlibs_own_descriptors(plain, chips):
    own = dlib.face_recognition_model_v1(str(dlib_file(RECOGNIZER, "x")))
    expected = torch.from_numpy(np.stack([np.array(own.compute_face_descriptor(chip)) for chip in chips])).float()
    assert len(chips) == 6
    torch.testing.assert_close(plain.network(unit(chips)), expected, atol=1e-5, rtol=0)
    embeddings = plain(unit(chips))
    torch.testing.assert_close(embeddings, torch.nn.functional.normalize(expected), atol=1e-5, rtol=0)
    strangers = (embeddings @ embeddings.T)[np.triu_indices(6, 1)]
    assert strangers.mean() > 0.75  # why it must be centered for training


def test_centered_strangers_have_nearly_nothing_in_common(plain, chips):
    centered = dlib_recognizer()
    torch.testing.assert_close(
        centered.network(unit(chips)), plain.network(unit(chips)) - torch.tensor(read_center()), atol=1e-6, rtol=0
    )
    embeddings = centered(unit(chips))
    assert abs(float((embeddings @ embeddings.T)[np.triu_indices(6, 1)].mean())) < 0.25


def test_gradient_is_that_of_finite_differences(chips):
    recognizer = dlib_recognizer().double()
    torch.manual_seed(0)
    # 8-bit values tie in the pooling, where there is no derivative
    image = (unit(chips[:1]).double() + torch.rand(1, 3, 150, 150, dtype=torch.float64) / 600).requires_grad_()
    towards, step = torch.nn.functional.normalize(torch.randn(1, 128, dtype=torch.float64)), 1e-6
    (recognizer(image) * towards).sum().backward()
    direction = torch.randn(1, 3, 150, 150, dtype=torch.float64)
    with torch.no_grad():
        ends = [(recognizer(image + sign * step * direction) * towards).sum() for sign in (1, -1)]
    assert float((image.grad * direction).sum()) == pytest.approx(float(ends[0] - ends[1]) / (2 * step), rel=1e-4)


def test_no_gradient_reaches_the_weights(plain):
    assert not any(weight.requires_grad for weight in plain.parameters())


@pytest.mark.parametrize(("template", "view"), [("arcface", 0), ("ffhq", 0), *(("simswap", v) for v in range(5))])
def test_the_chip_of_every_template_is_the_one_of_the_arcface_crop(template, view):
    """Two warps after each other, from crop to arcface crop to chip, are the one that the network's input takes."""
    size, behind = RECOGNIZER_CROPS["dlib"]
    points = template_points(template, 224, view)
    expected = apply(behind, apply(crop_to_recognizer(template, view, 224, 112), points))
    found = apply(crop_to_recognizer(template, view, 224, size, "dlib"), points)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    if template == "arcface":  # worked out by hand for the left eye: 1.524406 x - 0.015054 y - 9.726772
        np.testing.assert_allclose(found[0], [47.8715, 44.3576], atol=1e-3)


def test_the_view_is_the_warp_of_opencv():
    rng = np.random.default_rng(0)
    crop = cv2.GaussianBlur(rng.integers(0, 256, (112, 112, 3), dtype=np.uint8), (0, 0), 2)
    size, warp = RECOGNIZER_CROPS["dlib"]
    expected = cv2.warpAffine(crop.astype(np.float32), warp, (size, size), borderMode=cv2.BORDER_REPLICATE)
    seen = RecognizerView("arcface", 112, size, crop="dlib")(unit(crop[None]), torch.zeros(1, dtype=torch.int64))
    # OpenCV rounds the places to 1/32 px
    assert np.abs(seen[0].permute(1, 2, 0).numpy() * 255 - expected).max() < 3


def test_crops_are_not_resized_for_it(plain):
    with pytest.raises(InputError, match="recognizer_view=nearest: dlib takes its own crop; set recognizer_view=warp"):
        Embedder(plain, "simswap", 224, "nearest")


def test_center_and_warp_are_part_of_the_hash_and_the_network_is_the_same(plain, monkeypatch):
    centered = dlib_recognizer()
    assert centered.sha256 != plain.sha256
    assert centered.weights_sha256 == plain.weights_sha256
    size, warp = RECOGNIZER_CROPS["dlib"]
    monkeypatch.setitem(module.RECOGNIZER_CROPS, "dlib", (size, warp + 0.01))
    assert dlib_recognizer(centered=False).sha256 != plain.sha256


def test_a_checkpoint_names_it_by_plain_values(plain):
    assert judge_of({"judge": {"_target_": TARGET, "path": None, "centered": False}}).sha256 == plain.sha256
    recorded = {"recognition": {"_target_": TARGET, "path": "/gone.dat", "centered": True}}
    moved = str(dlib_file(RECOGNIZER, "x"))
    assert recognizer_of(recorded, moved).sha256 == dlib_recognizer().sha256
    with pytest.raises(InputError, match=r"/gone.dat: no such file"):
        recognizer_of(recorded, None)


@pytest.mark.parametrize("length", [0, 40, 200, 19_100, 1_000_000, 22_400_000, 22_466_000 - 131_072])
def test_a_cut_file_is_one_line(tmp_path, content, length):
    (tmp_path / "cut.dat").write_bytes(content[:length])
    with pytest.raises(InputError, match=r"cut.dat: not dlib's face recognition network, or cut off: .*give dlib_face"):
        read_dlib_weights(tmp_path / "cut.dat")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda b: b.replace(b"con_4", b"con_9", 1), "layer 1 must be a convolution, found affine layer"),
        (lambda b: b.replace(b"\x05con_4\x01\x02", b"\x05con_4\x01\x03", 1), r"layer 1 \(convolution\) must hold 4736"),
        (lambda b: b.replace(b"\x05con_4\x01\x02\x02", b"\x05con_4\x01\x02\x7f", 1), "layer 1 holds no integer"),
        (lambda b: b.replace(b"\x04fc_2", b"\x04fc_3", 1), "must be a fully connected layer, found none"),
    ],
)
def test_another_or_a_damaged_file_is_one_line(tmp_path, content, change, said):
    (tmp_path / "other.dat").write_bytes(change(content))
    with pytest.raises(InputError, match=said):
        read_dlib_weights(tmp_path / "other.dat")


def test_values_that_are_not_finite_are_refused(tmp_path, content):
    place = content.find(b"\x05con_4") + 40
    (tmp_path / "nan.dat").write_bytes(content[:place] + b"\xff" * 8 + content[place + 8 :])
    with pytest.raises(InputError, match=r"layer 1 \(convolution\) holds values that are not finite"):
        read_dlib_weights(tmp_path / "nan.dat")


def test_a_damaged_center_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CENTER_FILE", tmp_path / "center.json")
    with pytest.raises(InputError, match=r"center.json: cannot be read"):
        read_center()
    (tmp_path / "center.json").write_text('{"values": [1, 2]}')
    with pytest.raises(InputError, match=r"center.json: must hold 128 numbers"):
        read_center()
