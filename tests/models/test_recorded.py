"""Instruments describe themselves: what decides their answers is in the digest, and nothing else."""

import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from tests.training.tiny import tiny_recognizer

from simswap.evaluation.disk_work import DiskWork
from simswap.launching.evaluation_ranks import EvaluationRanks
from simswap.measuring.instruments import Instruments, descriptions, signature
from simswap.models.described import describe
from simswap.models.embedder import Embedder
from simswap.models.features import FeatureNetwork
from simswap.models.gaze import gaze_estimator
from simswap.models.pose import PnPPose
from simswap.models.recognition import Recognizer


class Detector:
    """Stands for a pack's: its hash is the file's, whatever the threshold."""

    name, sha256 = "det", "d" * 64

    def __init__(self, pack, size, threshold):
        self.settings = {"kind": "detector", "size": size, "threshold": threshold}


@pytest.fixture
def pnp(monkeypatch):
    monkeypatch.setattr("simswap.models.pose.InsightFaceDetector", Detector)
    return lambda **settings: PnPPose("pack", **settings)


def features(path, **settings):
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["y"])]
    sizes = ["batch", 3, "side", "side"]
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3, 1, 1])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return FeatureNetwork(str(path), **settings)


@pytest.fixture
def instruments(pnp, tmp_path):
    return Instruments(
        Embedder(tiny_recognizer(), "arcface", 32),
        pnp(),
        Embedder(tiny_recognizer(2), "arcface", 32),
        gaze_estimator(),
        features(tmp_path / "net.onnx", size=16),
    )


def with_range(recognizer, pixel_range):
    return Recognizer(recognizer.network, recognizer.name, recognizer.sha256, 32, 8, pixel_range)


@pytest.mark.parametrize("change", [
    lambda i, pnp, folder: replace(i, pose=pnp(threshold=0.5)),
    lambda i, pnp, folder: replace(i, pose=pnp(size=160)),
    lambda i, pnp, folder: replace(i, features=features(folder / "net.onnx", size=24)),
    lambda i, pnp, folder: replace(i, features=features(folder / "net.onnx", size=16, pixel_range="unit")),
    lambda i, pnp, folder: replace(i, features=None),
    lambda i, pnp, folder: replace(i, judge=Embedder(tiny_recognizer(), "arcface", 32, "bicubic")),
    lambda i, pnp, folder: replace(i, judge=Embedder(with_range(tiny_recognizer(), "unit"), "arcface", 32)),
    lambda i, pnp, folder: replace(i, trained=Embedder(tiny_recognizer(3), "arcface", 32)),
    lambda i, pnp, folder: replace(i, judge=i.trained, trained=i.judge),
])  # fmt: skip
def test_a_change_of_any_instrument_changes_what_a_cache_goes_by(instruments, pnp, tmp_path, change):
    changed = change(instruments, pnp, tmp_path)
    assert signature(changed) != signature(instruments)
    made = []

    def compute(rows):
        made.append(len(rows))
        return {"embedding": torch.zeros(len(rows), 2)}

    for each in (instruments, changed, instruments):
        DiskWork(tmp_path / "cache", EvaluationRanks(), signature(each))("gallery", [np.arange(3)], compute)
    assert made == [3, 3]  # read anew for the other instruments, and once only for the same


def test_the_same_network_under_another_name_is_the_same(instruments, tmp_path):
    shutil.copy(tmp_path / "net.onnx", tmp_path / "renamed.onnx")
    renamed = FeatureNetwork(str(tmp_path / "renamed.onnx"), size=16)
    assert renamed.name != instruments.features.name
    assert describe(renamed)["digest"] == describe(instruments.features)["digest"]
    assert signature(replace(instruments, features=renamed)) == signature(instruments)


def test_evaluation_json_gets_every_setting(instruments):
    found = descriptions(instruments)
    assert found["pose"]["settings"] | {"head": None} == {
        "kind": "pnp",
        "size": 128,
        "threshold": 0.3,
        "border": 0.25,
        "focal": 5.0,
        "head": None,
    }
    assert found["judge"]["settings"] == {
        "kind": "recognizer",
        "input_size": 32,
        "pixel_range": "symmetric",
        "view": "warp",
    }
    assert found["fid"]["settings"] == {"kind": "features", "size": 16, "pixel_range": "symmetric"}
    assert found.pop("lpips") is None  # not among these instruments
    for description in found.values():
        assert set(description) == {"name", "sha256", "settings", "digest"}
