"""A feature network for FID from an ONNX file."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from simswap.errors import InputError
from simswap.models.features import FeatureNetwork

WEIGHT = np.random.default_rng(0).normal(size=(5, 3, 3, 3)).astype(np.float32)


def write_features(path, side: int | str = 16):
    """A convolution and its mean over the picture: 5 features of pictures of ``side`` px."""
    nodes = [
        helper.make_node("Conv", ["image", "weight"], ["maps"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["maps"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["features"]),
    ]
    graph = helper.make_graph(
        nodes,
        "features",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, side, side])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 5, 1, 1])],
        [numpy_helper.from_array(WEIGHT, "weight")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), str(path))
    return path


def test_features_are_the_networks(tmp_path):
    network = FeatureNetwork(str(write_features(tmp_path / "f.onnx")), pixel_range="symmetric")
    images = torch.rand(2, 3, 16, 16)
    expected = torch.nn.functional.conv2d(images * 2 - 1, torch.from_numpy(WEIGHT), padding=1).relu().mean((2, 3))
    torch.testing.assert_close(network(images), expected)
    assert network(torch.rand(3, 3, 40, 40)).shape == (3, 5)  # resized to the file's 16 px
    assert len(network.sha256) == 64


def test_files_that_do_not_fit_are_refused(tmp_path):
    open_size = write_features(tmp_path / "open.onnx", "side")
    with pytest.raises(InputError, match=r"set fid\.size=299"):
        FeatureNetwork(str(open_size))
    assert FeatureNetwork(str(open_size), size=20).size == 20
    with pytest.raises(InputError, match="no such file"):
        FeatureNetwork(str(tmp_path / "none.onnx"))
    with pytest.raises(InputError, match="not known"):
        FeatureNetwork(str(open_size), "bytes", 20)
