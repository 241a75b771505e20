"""Networks that are never trained, and trained ones that are frozen for a while."""

import torch
from torch import nn

from simswap.models.embedder import Embedder
from simswap.models.frozen import FrozenModule, frozen
from simswap.models.gaze import GazeEstimator
from simswap.models.pose import PoseEstimator
from simswap.models.recognition import Recognizer


def test_a_frozen_module_passes_gradient_and_stays_as_it_is():
    class Scaled(FrozenModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5))
            self.freeze()

    module = Scaled()
    assert module.train() is module
    assert not any(each.training for each in module.modules())
    assert not any(p.requires_grad for p in module.parameters())
    image = torch.rand(2, 1, 3, 3, requires_grad=True)
    out = module.network(image)
    torch.testing.assert_close(out, image, rtol=1e-4, atol=1e-4)
    out.sum().backward()
    assert image.grad.abs().sum() > 0
    assert module.network[0].num_batches_tracked == 0


def test_every_frozen_network_of_the_project_is_one():
    assert all(issubclass(kind, FrozenModule) for kind in (Embedder, GazeEstimator, PoseEstimator, Recognizer))


def test_a_trained_network_is_frozen_for_a_while():
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
    image = torch.rand(2, 1, 3, 3, requires_grad=True)
    with frozen(network):
        network(image)[0].sum().backward()
    assert image.grad is not None
    assert network[0].weight.grad is None
    assert network[1].num_batches_tracked == 0
    assert network.training
    network(image).sum().backward()
    assert network[0].weight.grad is not None
    assert network[1].num_batches_tracked == 1
