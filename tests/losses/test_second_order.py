"""Layers for the gradient penalty give the values and derivatives of torch's own."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from simswap.losses.gradient_penalty import gradient_penalty
from simswap.losses.second_order import input_gradient, twice_differentiable
from simswap.models.discriminator import NORMS, Discriminators


def discriminators(norm, dtype=torch.float64):
    torch.manual_seed(0)
    made = Discriminators(48, width=4, norm=norm).to(dtype)
    for part in made.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-0.5, 0.5)
            part.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(part.weight, 0.5, 1.5)
    return made.eval()


def penalty(made, functions, layout=torch.contiguous_format):
    torch.manual_seed(1)
    real, fake = (torch.rand(2, 3, 48, 48, dtype=torch.float64).to(memory_format=layout) for _ in range(2))
    mix = torch.tensor([0.3, 0.8], dtype=torch.float64)
    made.zero_grad()
    value = gradient_penalty(functions, made.pyramid(real), made.pyramid(fake), mix, "sum")
    value.backward()
    return value.detach(), {name: p.grad for name, p in made.named_parameters()}


def torchs_own(made):
    return [lambda x, scale=scale: scale(x).logits for scale in made.scales]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("norm", NORMS)
def test_the_penalty_and_its_gradient_are_those_of_torchs_layers(norm, layout):
    made = discriminators(norm).to(memory_format=layout)
    value, gradients = penalty(made, made.patch_functions(), layout)
    expected, others = penalty(made, torchs_own(made), layout)
    assert value == pytest.approx(float(expected), rel=1e-12)
    for name, gradient in gradients.items():
        other = others[name]
        if other is None or not other.any():  # a bias does not move the gradient: none, or zeros
            assert gradient is None or not gradient.any(), name
        else:
            torch.testing.assert_close(gradient, other, rtol=1e-9, atol=1e-12)
    assert sum(gradient is not None for gradient in gradients.values()) >= 2 * made.layer_count


def test_first_derivatives_of_the_weights_are_torchs_too():
    made = discriminators("batch")
    x = torch.rand(2, 3, 48, 48, dtype=torch.float64)
    found = []
    for functions in (made.patch_functions(), torchs_own(made)):
        made.zero_grad()
        functions[0](x).square().mean().backward()
        found.append([p.grad.clone() for p in made.scales[0].parameters()])
    for mine, torchs in zip(*found, strict=True):
        torch.testing.assert_close(mine, torchs, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize(("stride", "padding"), [(1, 1), (2, 1), (2, 0)])
def test_derivatives_of_a_convolution_by_differences(stride, padding):
    torch.manual_seed(2)
    layer = nn.Conv2d(2, 3, 4, stride, padding, dtype=torch.float64)
    x = torch.rand(2, 2, 7, 6, dtype=torch.float64, requires_grad=True)

    def input_gradients(x, weight):
        with input_gradient():
            (gradient,) = torch.autograd.grad(call(x, weight).square().sum(), x, create_graph=True)
        return gradient

    def call(x, weight):
        held = nn.Conv2d(2, 3, 4, stride, padding, dtype=torch.float64)
        held.bias = layer.bias
        del held.weight
        held.weight = weight
        return twice_differentiable(held, x)

    weight = layer.weight.detach().clone().requires_grad_(True)
    assert torch.autograd.gradcheck(call, (x, weight))
    assert torch.autograd.gradcheck(input_gradients, (x, weight))


class Operations(TorchDispatchMode):
    """Counts the operations of convolutions."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.count += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=result)
        return result


def test_it_takes_four_passes_instead_of_six():
    made = discriminators("batch", torch.float32)
    counts = []
    for functions in (made.patch_functions(), torchs_own(made)):
        pictures = [torch.rand(2, 3, side, side) for side in (48, 24)]
        with Operations() as operations:
            gradient_penalty(functions, pictures, [1 - p for p in pictures], torch.rand(2)).backward()
        counts.append(operations.count)
    with Operations() as operations, torch.no_grad():
        made(torch.rand(2, 3, 48, 48))
    assert counts[0] == pytest.approx(4 * operations.count, rel=0.02)
    assert counts[1] > 5.5 * operations.count
