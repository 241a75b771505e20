"""Full precision: what it switches off, what it restores, and who runs in it."""

import pytest
import torch
from torch import nn

from simswap import precision
from simswap.data.datamodule import SwapDataModule
from simswap.data.identities import TableParts
from simswap.losses.gradient_penalty import gradient_penalty
from simswap.measuring.evaluator import Evaluator
from simswap.measuring.gallery import choose_pairs
from simswap.measuring.instruments import Instruments
from simswap.measuring.swappers import Faces, PreparedFaces, Swapper
from simswap.models.embedder import Embedder
from simswap.models.pose import PoseEstimator
from simswap.precision import full_precision, products_of_training
from simswap.training.embedding_table import fill
from tests.skips import NO_GPU
from tests.training.tiny import batches, fit, tiny_module, tiny_recognizer


def every_switch():
    return precision._newer_switches(*precision.GPU, precision.CPU)


def switches():
    """All that decides how fp32 is computed; "mixed" where torch refuses to say."""

    def read(switch):
        try:
            return switch()
        except RuntimeError:
            return "mixed"

    return [
        read(lambda: torch.backends.cudnn.allow_tf32),
        read(torch.get_float32_matmul_precision),
        read(lambda: torch.backends.cuda.matmul.allow_tf32),
        torch.is_autocast_enabled("cpu"),
        *(switch.fp32_precision for switch in every_switch()),
    ]


def is_full():
    newer = {switch.fp32_precision for switch in every_switch()}
    older = switches()[:3]
    return (
        (newer or {"ieee"}) == {"ieee"}
        and not torch.is_autocast_enabled("cpu")
        and (older == [False, "highest", False] or "mixed" in older)
    )


@pytest.fixture(autouse=True)
def _as_before():
    newer = [switch.fp32_precision for switch in every_switch()]
    yield
    torch.backends.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("highest")
    for switch, before in zip(every_switch(), newer, strict=True):
        switch.fp32_precision = before
    assert switches()[:4] == [True, "highest", False, False]


def tf32_by_the_newer_switch():
    if not every_switch():
        pytest.skip("torch before 2.9 has none")
    torch.backends.cudnn.conv.fp32_precision = "ieee"
    torch.backends.cuda.matmul.fp32_precision = "tf32"


SETTINGS = {
    "as torch has it": lambda: None, "medium": lambda: torch.set_float32_matmul_precision("medium"),
    "high": lambda: torch.set_float32_matmul_precision("high"), "mixed": tf32_by_the_newer_switch,
}  # fmt: skip


@pytest.mark.parametrize("setting", list(SETTINGS))
@pytest.mark.parametrize("autocast", [False, True])
def test_it_holds_inside_and_restores_even_after_an_error(setting, autocast):
    SETTINGS[setting]()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        before = switches()
        with full_precision():
            assert is_full()
            assert (torch.rand(4, 4) @ torch.rand(4, 4)).dtype == torch.float32
            with full_precision():
                pass
            assert is_full()
        assert switches() == before
        with pytest.raises(KeyError), full_precision():
            raise KeyError
        assert switches() == before
        assert (torch.rand(4, 4) @ torch.rand(4, 4)).dtype == (torch.bfloat16 if autocast else torch.float32)


@pytest.mark.parametrize("setting", [name for name in SETTINGS if name != "mixed"])
@pytest.mark.parametrize("tf32", [True, False])
def test_the_products_of_training_are_tf32_on_cuda_alone_but_in_full_precision(setting, tf32):
    SETTINGS[setting]()
    before = switches()
    with products_of_training(tf32):
        # torch's own code reads both sets: torch.compile, for one
        assert switches()[:3] == [tf32, "high" if tf32 else "highest", tf32]
        for owners, expected in ((precision.GPU, "tf32" if tf32 else "ieee"), ([precision.CPU], "ieee")):
            assert {switch.fp32_precision for switch in precision._newer_switches(*owners)} <= {expected}
        inside = switches()
        with full_precision():
            assert is_full()
        assert switches() == inside
    assert switches() == before
    with pytest.raises(KeyError), products_of_training(tf32):
        raise KeyError
    assert switches() == before


@pytest.mark.gpu
def test_tf32_is_where_it_belongs_on_a_gpu():
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip(f"{NO_GPU}: TF32 needs an Ampere GPU or newer")
    torch.manual_seed(0)
    image, kernel = torch.randn(4, 64, 32, 32).cuda(), torch.randn(64, 64, 3, 3).cuda()
    matrix = torch.randn(512, 512).cuda()
    exact = nn.functional.conv2d(image.double(), kernel.double()), matrix.double() @ matrix.double()

    def errors():
        found = nn.functional.conv2d(image, kernel), matrix @ matrix
        return [float((a - b).abs().mean() / b.abs().mean()) for a, b in zip(found, exact, strict=True)]

    with products_of_training(True):
        rough = errors()  # 10 bits: about 3e-4
        with full_precision():
            precise = errors()
    with products_of_training(False):
        precise += errors()
    assert min(rough) > 1e-4
    assert max(precise) < 1e-5


def test_the_gradient_penalty_runs_in_it():
    layer, images, seen = nn.Conv2d(3, 1, 3), [torch.rand(2, 3, 8, 8)], []

    def discriminate(x):
        seen.append(is_full())
        return layer(x)

    with torch.autocast("cpu", torch.bfloat16):
        gradient_penalty([discriminate], images, [images[0].bfloat16()], torch.rand(2))
    assert seen == [True]


@pytest.mark.parametrize(("weight", "expected"), [(0.1, True), (0.0, False)])
def test_its_backward_pass_does_too_and_the_generators_does_not(weight, expected):
    module, seen = tiny_module(weights={"gradient_penalty": weight}), {}
    for name in ("discriminators", "generator"):
        parameter = next(getattr(module, name).parameters())
        parameter.register_hook(lambda gradient, name=name: seen.setdefault(name, []).append(is_full()))
    fit(module, batches(2), precision="bf16-mixed")
    assert seen == {"discriminators": [expected] * 2, "generator": [False] * 2}


class MeanPose(PoseEstimator):
    """The mean red, green and blue; remembers whether it was asked in full precision."""

    def __init__(self):
        super().__init__("mean", "0" * 64, None)
        self.seen = []

    def forward(self, images, template, view):
        self.seen.append((is_full(), images.dtype))
        return images.mean(dim=(2, 3)) * 100


def test_a_measurement_is_the_same_whatever_runs_around_it(crops):
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 3, 3, padding=1)
    blur = Swapper("blur", "other", lambda target, source: Faces(layer(target.images).sigmoid(), target.view))
    data = SwapDataModule(crops, batch_size=1, fractions={"train": 0.5, "val": 0.25, "test": 0.25})
    pairs = choose_pairs(data, "train", 5, 2, 8, seed=1)
    found = []
    for autocast in (False, True):
        pose = MeanPose()
        instruments = Instruments(
            Embedder(tiny_recognizer(), "arcface", 32), pose, Embedder(tiny_recognizer(2), "arcface", 32)
        )
        ruler = Evaluator(PreparedFaces(data), pairs, instruments, 3, torch.device("cpu"))
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            found.append(ruler.measure(blur).samples())
        assert set(pose.seen) == {(True, torch.float32)}
    assert found[0].keys() == found[1].keys()
    for name, values in found[0].items():
        assert torch.equal(values.nan_to_num(7), found[1][name].nan_to_num(7)), name


def test_instruments_read_half_precision_pictures_as_float32():
    pose = MeanPose()
    instruments = Instruments(Embedder(tiny_recognizer(), "arcface", 32), pose)
    faces = Faces(torch.rand(2, 3, 32, 32).bfloat16(), torch.zeros(2, dtype=torch.int64))
    readings = instruments.read(faces, "arcface")
    assert pose.seen == [(True, torch.float32)]
    assert {values.dtype for values in readings.values()} == {torch.float32}


def test_the_table_of_identities_is_filled_in_it(crops, tmp_path):
    data, recognizer, seen = SwapDataModule(crops, batch_size=1), tiny_recognizer(), []
    recognizer.network.register_forward_hook(lambda *_: seen.append(is_full()))
    tables = []
    for autocast in (False, True):
        parts = TableParts(tmp_path / f"{autocast}.npy", len(data.manifest), 50)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            fill(parts, data, Embedder(recognizer, "arcface", 32), 0, 1)
        parts.join()
        tables.append((tmp_path / f"{autocast}.npy").read_bytes())
    assert set(seen) == {True}
    assert tables[0] == tables[1]
