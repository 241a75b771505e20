"""Every frozen network on stand-ins for a GPU (`tests.device`) and on a GPU, if there is one.

It runs, and gives what it gives on the CPU: to the bit on a stand-in, within fp32's rounding on a GPU.
"""

import pytest
import torch
from landmark_network import write_network
from onnx_cases import CASES
from onnx_files import save
from test_features import write_features
from tests.device import APPLE, DEVICE, StandIn

from simswap.faces.alignment import TEMPLATES
from simswap.models import builtin
from simswap.models.embedder import Embedder
from simswap.models.features import FeatureNetwork
from simswap.models.gaze import gaze_estimator
from simswap.models.hopenet import HopenetNetwork, HopenetPose
from simswap.models.landmark_pose import Landmarks68Pose
from simswap.models.onnx_reader.graph import OnnxGraph
from simswap.models.pose import PnPPose
from simswap.precision import full_precision

PLACES = [
    pytest.param((DEVICE, True), id="cuda"),
    pytest.param((APPLE, True), id="mps"),
    pytest.param((DEVICE, False), id="gpu", marks=pytest.mark.gpu),
]
ROUNDING = {"rtol": 1e-3, "atol": 2e-4}
"""Of a GPU: its kernels add up in another order, and a network of fifty layers passes that on."""


@pytest.fixture(params=PLACES, autouse=True)
def place(request, monkeypatch):
    """Both stand-ins, and a GPU."""
    monkeypatch.setattr(f"{__name__}.PLACE", request.param)
    return request.param


PLACE = (DEVICE, True)


def both_ways(network, *inputs):
    """What it gives on the CPU, and on the device."""
    device, stands_in = PLACE
    here = network(*inputs)
    with StandIn(device) if stands_in else full_precision():
        network.to(device)
        there = network(*(value.to(device) if isinstance(value, torch.Tensor) else value for value in inputs))
        assert there.device == device
        back = there.cpu()
    return here, back


def rounding():
    """What `torch.testing.assert_close` may let pass here."""
    return {} if PLACE[1] else ROUNDING


@pytest.mark.parametrize("case", CASES)
def test_every_onnx_operator(tmp_path, case):
    nodes, weights, opset = CASES[case]
    here, there = both_ways(OnnxGraph(save(tmp_path, nodes, weights, opset=opset)), torch.rand(3, 4, 9, 8))
    if PLACE[1]:
        assert torch.equal(here, there)
    torch.testing.assert_close(here, there, **rounding())


def hopenet(folder):
    torch.manual_seed(0)
    torch.save(HopenetNetwork().state_dict(), folder / "net.pkl")
    return HopenetPose(str(folder / "net.pkl"))


class NoDetector:
    """Finds a face where the crop is bright."""

    name, sha256, size, threshold = "none", "0" * 64, 128, 0.3

    def detect(self, image):
        return []


def pnp(folder, monkeypatch):
    monkeypatch.setattr("simswap.models.pose.InsightFaceDetector", lambda pack, size, threshold: NoDetector())
    return PnPPose("pack")


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("what", ["recognizer", "pose", "gaze", "hopenet", "landmarks68", "pnp"])
def test_every_instrument(tmp_path, monkeypatch, what, template):
    network = {
        "recognizer": lambda: Embedder(builtin.recognizer(), template, 48),
        "pose": builtin.pose_estimator,
        "gaze": gaze_estimator,
        "hopenet": lambda: hopenet(tmp_path),
        "landmarks68": lambda: Landmarks68Pose(str(write_network(tmp_path / "1k3d68.onnx"))),
        "pnp": lambda: pnp(tmp_path, monkeypatch),
    }[what]()
    images, view = torch.rand(2, 3, 48, 48), torch.arange(2) % len(TEMPLATES[template])
    inputs = (images, view) if what == "recognizer" else (images, template, view)
    here, there = both_ways(network, *inputs)
    torch.testing.assert_close(here, there, equal_nan=True, **rounding())


def test_the_feature_network(tmp_path):
    network = FeatureNetwork(str(write_features(tmp_path / "f.onnx")))
    here, there = both_ways(network, torch.rand(2, 3, 32, 32))
    torch.testing.assert_close(here, there, **rounding())
