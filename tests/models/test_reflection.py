"""Reflection padding in channels-last memory is torch's, and so are its derivatives."""

import pytest
import torch
import torch.nn.functional as F

from simswap.models.reflection import ReflectionPad, _Reflect, reflected


@pytest.mark.parametrize("padding", [1, 2, 3])
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 2, 4, 7)])
def test_values_and_gradients_are_torchs(shape, padding):
    torch.manual_seed(0)
    x = torch.rand(shape, dtype=torch.float64).contiguous(memory_format=torch.channels_last).requires_grad_(True)
    y = _Reflect.apply(x, padding)
    expected = F.pad(x, [padding] * 4, mode="reflect")
    assert torch.equal(y, expected)
    assert y.is_contiguous(memory_format=torch.channels_last)
    weights = torch.rand_like(expected)
    (mine,) = torch.autograd.grad((y * weights).sum(), x)
    (torchs,) = torch.autograd.grad((expected * weights).sum(), x)
    torch.testing.assert_close(mine, torchs, rtol=1e-12, atol=0)
    assert mine.is_contiguous(memory_format=torch.channels_last)
    assert torch.autograd.gradcheck(lambda x: _Reflect.apply(x, padding), (x,))
    assert torch.autograd.gradgradcheck(lambda x: _Reflect.apply(x, padding).square(), (x,))


def test_a_cpu_takes_torchs_own():
    x = torch.rand(1, 2, 4, 4).contiguous(memory_format=torch.channels_last)
    assert reflected(x.requires_grad_(True), 1).grad_fn.name() == "ReflectionPad2DBackward0"
    assert torch.equal(ReflectionPad(2)(x), F.pad(x, [2, 2, 2, 2], mode="reflect"))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gpu_keeps_the_format(dtype):
    x = torch.rand(2, 8, 6, 5, device="cuda", dtype=dtype).contiguous(memory_format=torch.channels_last)
    y = reflected(x.requires_grad_(True), 1)
    assert torch.equal(y, F.pad(x, [1, 1, 1, 1], mode="reflect"))
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert torch.autograd.grad(y.float().sum(), x)[0].is_contiguous(memory_format=torch.channels_last)
