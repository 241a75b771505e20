"""Every frozen network on a stand-in for a GPU (`tests.device`): it runs, and gives what it gives on the CPU."""

import pytest
import torch
from onnx_cases import CASES
from onnx_files import save
from test_features import write_features
from test_landmark_pose import write_network
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


@pytest.fixture(params=[DEVICE, APPLE], ids=["cuda", "mps"], autouse=True)
def device(request, monkeypatch):
    """Both stand-ins."""
    monkeypatch.setattr(f"{__name__}.PLACE", request.param)
    return request.param


PLACE = DEVICE


def both_ways(network, *inputs):
    """What it gives on the CPU, and from the stand-in."""
    here = network(*inputs)
    with StandIn(PLACE):
        network.to(PLACE)
        there = network(*(value.to(PLACE) if isinstance(value, torch.Tensor) else value for value in inputs))
        assert there.device == PLACE
        back = there.cpu()
    return here, back


@pytest.mark.parametrize("case", CASES)
def test_every_onnx_operator(tmp_path, case):
    nodes, weights, opset = CASES[case]
    here, there = both_ways(OnnxGraph(save(tmp_path, nodes, weights, opset=opset)), torch.rand(3, 4, 9, 8))
    assert torch.equal(here, there)


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
    torch.testing.assert_close(here, there, equal_nan=True)


def test_the_feature_network(tmp_path):
    network = FeatureNetwork(str(write_features(tmp_path / "f.onnx")))
    here, there = both_ways(network, torch.rand(2, 3, 32, 32))
    torch.testing.assert_close(here, there)
