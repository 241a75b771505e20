"""The five terms against numbers worked out by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simswap.errors import InputError
from simswap.losses.adversarial import hinge_discriminator, hinge_generator
from simswap.losses.feature_matching import feature_matching_loss, layer_distances
from simswap.losses.gradient_penalty import gradient_penalty
from simswap.losses.identity import identity_loss
from simswap.losses.reconstruction import reconstruction_loss


def logits(*values):
    return torch.tensor(values, dtype=torch.float64).view(-1, 1, 1, 1)


def test_hinge_discriminator_is_half_the_two_means_summed_over_scales():
    # scale 1: real 2, 0.5 → relu(1 - x) = 0, 0.5 → 0.25; fake -2, 0 → relu(1 + x) = 0, 1 → 0.5; half the sum 0.375
    # scale 2: real -1 → 2; fake 3 → 4; half the sum 3
    loss = hinge_discriminator([logits(2, 0.5), logits(-1)], [logits(-2, 0), logits(3)])
    assert loss.item() == pytest.approx(3.375)


def test_hinge_generator_is_the_mean_over_scales_of_minus_the_mean():
    assert hinge_generator([logits(1, 3), logits(-6)]).item() == pytest.approx((-2 + 6) / 2)


def test_hinge_needs_as_many_real_as_fake_scales():
    with pytest.raises(ValueError, match="the same number of scales"):
        hinge_discriminator([logits(1)], [])
    with pytest.raises(ValueError, match="logits of at least one scale"):
        hinge_generator([])


def test_identity_is_one_minus_cosine_whatever_the_lengths():
    result = torch.tensor([[2.0, 0.0], [1.0, 1.0], [1.0, 0.0]])
    source = torch.tensor([[5.0, 0.0], [0.0, 3.0], [-4.0, 0.0]])
    assert identity_loss(result, source).item() == pytest.approx((0 + (1 - math.sqrt(0.5)) + 2) / 3, abs=1e-6)


@given(st.lists(st.floats(-5, 5), min_size=6, max_size=6))
def test_identity_stays_between_0_and_2(values):
    a = torch.tensor(values, dtype=torch.float64).view(2, 3)
    assert -1e-9 <= identity_loss(a, a.flip(0)).item() <= 2 + 1e-9


def test_reconstruction_counts_same_person_samples_and_divides_by_the_batch():
    target = torch.zeros(4, 1, 1, 2)
    result = torch.tensor([[1.0, 3.0], [10, 10], [0.5, 0.5], [7, 7]]).view(4, 1, 1, 2)
    same = torch.tensor([True, False, True, False])
    assert reconstruction_loss(result, target, same).item() == pytest.approx((2 + 0.5) / 4)
    assert reconstruction_loss(result, target, torch.zeros(4, dtype=torch.bool)).item() == 0


def test_reconstruction_of_micro_batches_averages_to_the_large_batch():
    torch.manual_seed(0)
    result, target, same = torch.rand(4, 3, 2, 2), torch.rand(4, 3, 2, 2), torch.tensor([True, False, True, True])
    parts = [reconstruction_loss(result[i : i + 2], target[i : i + 2], same[i : i + 2]) for i in (0, 2)]
    assert torch.stack(parts).mean().item() == pytest.approx(reconstruction_loss(result, target, same).item())


def test_reconstruction_refuses_other_shapes():
    with pytest.raises(ValueError, match="same_identity must be bool"):
        reconstruction_loss(torch.zeros(2, 3, 2, 2), torch.zeros(2, 3, 2, 2), torch.zeros(2))


def test_feature_matching_sums_the_layers_of_the_range_over_both_discriminators():
    one = layer_distances([torch.full((1, 2, 2, 2), v) for v in (1.0, 2.0, 4.0)], [torch.zeros(1, 2, 2, 2)] * 3)
    two = layer_distances([torch.full((1, 1), v) for v in (10.0, 20.0, 40.0)], [torch.zeros(1, 1)] * 3)
    assert one.tolist() == [1, 2, 4]
    assert feature_matching_loss([one, two], 1, 2).item() == 2 + 4 + 20 + 40
    assert feature_matching_loss([one, two], 0, 2, "mean").item() == pytest.approx(7 / 3 + 70 / 3)
    assert feature_matching_loss([one, two], 2, 2).item() == 44


def test_feature_matching_passes_no_gradient_to_the_target():
    result, target = torch.ones(1, 3, requires_grad=True), torch.zeros(1, 3, requires_grad=True)
    layer_distances([result], [target]).sum().backward()
    assert target.grad is None
    assert result.grad is not None
    assert result.grad.tolist() == [[pytest.approx(1 / 3)] * 3]


@pytest.mark.parametrize(("first", "last"), [(2, 1), (0, 3), (-1, 2), (3, 3)])
def test_feature_matching_names_the_layers_there_are(first, last):
    with pytest.raises(InputError, match=r"layers 0\.\.2"):
        feature_matching_loss([torch.zeros(3)], first, last)


def test_gradient_penalty_of_a_linear_discriminator():
    # D(x) = 3*x0 + 4*x1 has the gradient (3, 4) of length 5 everywhere: (5 - 1)^2 = 16
    def discriminate(x):
        return (x * torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)).sum(dim=1, keepdim=True)

    images = [torch.rand(3, 2, 1, 1)]
    assert gradient_penalty([discriminate], images, images, torch.rand(3)).item() == pytest.approx(16, rel=1e-5)


def test_gradient_penalty_averages_or_sums_over_patches():
    # Two patches, each x itself, one channel: mean → gradient (1/2, 1/2), length sqrt(1/2); sum → length sqrt(2)
    images = [torch.rand(2, 1, 1, 2)]
    mean = gradient_penalty([lambda x: x], images, images, torch.rand(2), "mean")
    total = gradient_penalty([lambda x: x], images, images, torch.rand(2), "sum")
    assert mean.item() == pytest.approx((math.sqrt(0.5) - 1) ** 2, rel=1e-5)
    assert total.item() == pytest.approx((math.sqrt(2) - 1) ** 2, rel=1e-5)
    with pytest.raises(InputError, match="patch_reduction"):
        gradient_penalty([lambda x: x], images, images, torch.rand(2), "max")


def test_gradient_penalty_is_taken_where_the_mix_says_and_per_sample():
    # D(x) = x^2 / 2 has the gradient x: at mix 1 that is the target (3), at mix 0 the result (1), in between 2
    target, result = torch.full((3, 1, 1, 1), 3.0), torch.full((3, 1, 1, 1), 1.0)
    penalty = gradient_penalty([lambda x: x**2 / 2], [target], [result], torch.tensor([1.0, 0.0, 0.5]))
    assert penalty.item() == pytest.approx((4 + 0 + 1) / 3)


def test_gradient_penalty_reaches_the_weights_and_can_be_measured_alone():
    weight = torch.tensor(2.0, requires_grad=True)
    images = [torch.ones(2, 1, 1, 1)]
    gradient_penalty([lambda x: weight * x], images, images, torch.rand(2)).backward()
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(2.0)  # d (w - 1)^2 / dw at w = 2
    with torch.no_grad():
        assert not gradient_penalty([lambda x: weight * x], images, images, torch.rand(2)).requires_grad


def test_gradient_penalty_is_fp32_under_autocast():
    conv = torch.nn.Conv2d(3, 1, 3)
    images = [torch.rand(2, 3, 8, 8)]
    mix = torch.rand(2)
    with torch.autocast("cpu", torch.bfloat16):
        low = gradient_penalty([conv], images, images, mix)
    assert low.dtype == torch.float32
    assert low.item() == gradient_penalty([conv], images, images, mix).item()
