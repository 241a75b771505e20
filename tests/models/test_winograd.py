"""Winograd's 3x3 convolution against torch's own in double precision, and when it is taken."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simswap.models import winograd as method
from simswap.models.generator import Generator
from simswap.models.winograd import Conv3x3, winograd, winograd_pays

FORMATS = [torch.contiguous_format, torch.channels_last]


def direct(x: Tensor, weight: Tensor, bias: Tensor | None, padding_mode: str) -> Tensor:
    padded = F.pad(x, (1, 1, 1, 1), mode="reflect" if padding_mode == "reflect" else "constant")
    return F.conv2d(padded, weight, bias)


def inputs(*sizes: int, memory_format: torch.memory_format = torch.contiguous_format) -> list[Tensor]:
    """x, weight, bias and a gradient of the result."""
    batch, before, after, height, width = sizes
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(batch, before, height, width, generator=draw)
    weight = torch.randn(after, before, 3, 3, generator=draw) / (9 * before) ** 0.5
    gradient = torch.randn(batch, after, height, width, generator=draw)
    moved = [value.to(memory_format=memory_format) for value in (x, weight, gradient)]
    return [
        moved[0].requires_grad_(),
        moved[1].requires_grad_(),
        torch.randn(after, generator=draw).requires_grad_(),
        moved[2],
    ]


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found.double(), wanted.double(), rtol=0, atol=2e-5 * wanted.abs().max().item())


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("padding_mode", ["zeros", "reflect"])
@pytest.mark.parametrize("chunk", [method.CHUNK, 16 * 7 * 6 * 2, 1], ids=["one", "some rows", "each row"])
def test_result_and_gradients_are_those_of_a_direct_sum(memory_format, padding_mode, chunk, monkeypatch):
    monkeypatch.setattr(method, "CHUNK", chunk)
    x, weight, bias, gradient = inputs(3, 5, 7, 8, 12, memory_format=memory_format)
    y = winograd(x, weight, bias, padding_mode)
    found = torch.autograd.grad(y, (x, weight, bias), gradient)
    precise = [value.detach().double().requires_grad_() for value in (x, weight, bias)]
    wanted = direct(*precise, padding_mode)
    close(y, wanted)
    for mine, theirs in zip(found, torch.autograd.grad(wanted, precise, gradient.double()), strict=True):
        close(mine, theirs)
    for value in (y, found[0], found[1]):
        assert value.is_contiguous(memory_format=memory_format)


def test_worked_out_numbers():
    x, weight = torch.ones(1, 1, 4, 4, requires_grad=True), torch.ones(1, 1, 3, 3, requires_grad=True)
    y = winograd(x, weight, torch.tensor([10.0]), "zeros")
    assert y[0, 0].tolist() == [[14, 16, 16, 14], [16, 19, 19, 16], [16, 19, 19, 16], [14, 16, 16, 14]]
    y.sum().backward()
    assert x.grad[0, 0].tolist() == [[4, 6, 6, 4], [6, 9, 9, 6], [6, 9, 9, 6], [4, 6, 6, 4]]
    assert weight.grad[0, 0].tolist() == [[9, 12, 9], [12, 16, 12], [9, 12, 9]]


def test_only_the_gradients_that_are_wanted():
    x, weight, _, gradient = inputs(2, 3, 4, 6, 6)
    (of_x,) = torch.autograd.grad(winograd(x, weight.detach(), None, "zeros"), x, gradient)
    (of_weight,) = torch.autograd.grad(winograd(x.detach(), weight, None, "zeros"), weight, gradient)
    y = direct(x, weight, None, "zeros")
    for mine, theirs in zip((of_x, of_weight), torch.autograd.grad(y, (x, weight), gradient), strict=True):
        close(mine, theirs)


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect"])
def test_second_derivatives(padding_mode):
    def penalty(convolution) -> list[Tensor]:
        x, weight, bias, _ = inputs(2, 3, 4, 6, 6)
        y = convolution(x, weight, bias, padding_mode)
        of_x, of_weight = torch.autograd.grad(y.pow(3).sum(), (x, weight), create_graph=True)
        return list(torch.autograd.grad(of_x.square().sum() + of_weight.square().sum(), (x, weight)))

    for mine, theirs in zip(penalty(winograd), penalty(direct), strict=True):
        close(mine, theirs)


def test_when_it_is_taken():
    x, weight = torch.zeros(2, 128, 16, 16), torch.zeros(128, 128, 3, 3)
    assert winograd_pays(x, weight)
    assert not winograd_pays(x, weight[:32])  # 128 * 32 / 160 = 26 channels
    few = x[:, :, :8, :8]  # 32 tiles
    assert not winograd_pays(few, weight)
    assert winograd_pays(few, weight.to(memory_format=torch.channels_last))
    assert not winograd_pays(x[:, :, :15], weight)
    assert not winograd_pays(x.double(), weight)
    assert not winograd_pays(x.to("meta"), weight)
    with torch.autocast("cpu", torch.bfloat16):
        assert not winograd_pays(x, weight)


def test_the_module_is_torchs_own_but_for_training():
    torch.manual_seed(0)
    mine = Conv3x3(128, 128, padding_mode="reflect")
    torch.manual_seed(0)
    theirs = nn.Conv2d(128, 128, 3, padding=1, padding_mode="reflect")
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), theirs.parameters(), strict=True))
    x = torch.randn(2, 128, 16, 16)
    close(mine(x), theirs(x))
    assert not torch.equal(mine(x), theirs(x))
    assert torch.equal(mine.eval()(x), theirs(x))
    assert torch.equal(mine.train().double()(x.double()), theirs.double()(x.double()))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_generator_trains_alike(checkpointing, monkeypatch):
    def gradients() -> list[Tensor]:
        torch.manual_seed(0)
        generator = Generator(8, 2, 2, 16, checkpointing=checkpointing)
        images, identity = torch.rand(2, 3, 16, 16), F.normalize(torch.randn(2, 16), dim=1)
        generator(images, identity).square().sum().backward()
        return [p.grad for p in generator.parameters()]

    plain = gradients()
    calls = []
    monkeypatch.setattr(method, "LEAST_TILES", dict.fromkeys(FORMATS, 0))
    monkeypatch.setattr(method, "LEAST_CHANNELS", 0)
    monkeypatch.setattr(method, "winograd", lambda *given: calls.append(1) or winograd(*given))
    largest = max(value.abs().max().item() for value in plain)
    for mine, theirs in zip(gradients(), plain, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5 * largest)
    assert len(calls) == (12 if checkpointing else 6)  # two blocks of two and two stages, again for the gradient
