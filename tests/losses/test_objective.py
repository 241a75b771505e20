"""The combined objective: which terms train, which are only measured."""

import pytest
import torch

from simswap.errors import InputError
from simswap.losses.objective import Objective, ScaleOutput

WEIGHTS = {
    "identity": 10.0,
    "reconstruction": 10.0,
    "adversarial": 1.0,
    "gradient_penalty": 1e-5,
    "feature_matching": 10.0,
}
RANGE = {"first_layer": 1, "last_layer": 1, "layer_reduction": "sum"}
PENALTY = {"patch_reduction": "mean"}


def make(**changes):
    return Objective(WEIGHTS | changes, RANGE, PENALTY)


def outputs(level, scales=2):
    features = [torch.full((1, 1, 2, 2), level), torch.full((1, 1, 1, 1), 2 * level)]
    return [ScaleOutput(features, torch.full((1, 1, 1, 1), level)) for _ in range(scales)]


def generator_terms(objective):
    return objective.generator(
        result=torch.full((1, 3, 2, 2), 0.5),
        target=torch.zeros(1, 3, 2, 2),
        same_identity=torch.tensor([True]),
        result_identity=torch.tensor([[1.0, 0.0]]),
        source_identity=torch.tensor([[0.0, 1.0]]),
        fake=outputs(3.0),
        real=outputs(1.0),
    )


def test_generator_total_is_the_weighted_sum():
    total, terms = generator_terms(make())
    # identity 1 - 0; reconstruction 0.5; adversarial -3; feature matching at layer 1: |6 - 2| on each of two scales
    assert {k: terms[k].item() for k in ("identity", "reconstruction", "adversarial", "feature_matching")} == {
        "identity": 1,
        "reconstruction": 0.5,
        "adversarial": -3,
        "feature_matching": 8,
    }
    assert total.item() == pytest.approx(10 * 1 + 10 * 0.5 + 1 * -3 + 10 * 8)


def test_every_layer_is_logged_also_outside_the_range():
    _, terms = generator_terms(make())
    assert terms["feature_matching_d1_layer0"].item() == 2
    assert terms["feature_matching_d2_layer1"].item() == 4


def test_a_weight_of_zero_measures_without_training():
    total, terms = generator_terms(make(feature_matching=0.0, reconstruction=0.0))
    assert terms["feature_matching"].item() == 8
    assert total.item() == pytest.approx(10 - 3)


def test_no_feature_matching_gives_no_gradient_from_it():
    result = torch.tensor([[[[5.0]]]], requires_grad=True)
    fake = [ScaleOutput([result, result], torch.zeros(1, 1, 1, 1))]
    real = [ScaleOutput([torch.zeros(1, 1, 1, 1)] * 2, torch.zeros(1, 1, 1, 1))]
    weights = dict.fromkeys(WEIGHTS, 0.0)
    pictures, identity = torch.zeros(1, 3, 1, 1, requires_grad=True), torch.ones(1, 2)
    total, _ = Objective(weights, RANGE, PENALTY).generator(
        pictures, pictures, torch.tensor([False]), identity, identity, fake, real
    )
    total.backward()
    assert result.grad is None
    assert pictures.grad is not None
    assert pictures.grad.abs().sum().item() == 0


def test_discriminator_total_adds_the_weighted_penalty():
    objective = make(gradient_penalty=0.5)
    total, terms = objective.discriminator(outputs(1.0), outputs(-1.0), torch.tensor(4.0))
    assert terms["discriminator"].item() == 0
    assert total.item() == 2.0


def test_penalty_without_weight_is_measured_without_a_graph():
    images = [torch.ones(1, 1, 1, 1)]
    weight = torch.tensor(3.0, requires_grad=True)
    penalty = make(gradient_penalty=0.0).penalty([lambda x: weight * x], images, images, torch.zeros(1))
    assert penalty.item() == 4
    assert not penalty.requires_grad


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (WEIGHTS | {"identiy": 1.0}, r"unknown key objective\.weights\.identiy"),
        ({k: v for k, v in WEIGHTS.items() if k != "identity"}, r"objective\.weights\.identity is missing"),
        (WEIGHTS | {"identity": -1.0}, "a weight is a finite number >= 0"),
        (WEIGHTS | {"identity": float("nan")}, "a weight is a finite number >= 0"),
    ],
)
def test_wrong_weights_are_named(weights, message):
    with pytest.raises(InputError, match=message):
        Objective(weights, RANGE, PENALTY)


def test_a_range_past_the_last_layer_is_refused():
    with pytest.raises(InputError, match=r"layers 0\.\.3"):
        Objective(WEIGHTS, {"first_layer": 2, "last_layer": 4, "layer_reduction": "sum"}, PENALTY).check_layers(4)
