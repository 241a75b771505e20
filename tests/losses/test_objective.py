"""The combined objective: which terms train, which are only measured, and how a term of one's own is added."""

import pytest
import torch

from simswap.errors import InputError
from simswap.losses.objective import Objective
from simswap.losses.terms import DiscriminatorInputs, GeneratorInputs

WEIGHTS = {
    "identity": 10.0,
    "reconstruction": 10.0,
    "adversarial": 1.0,
    "gradient_penalty": 1e-5,
    "feature_matching": 10.0,
}
SETTINGS = {
    "feature_matching": {"first_layer": 1, "last_layer": 1, "layer_reduction": "sum"},
    "gradient_penalty": {"patch_reduction": "mean"},
}


def make(**changes):
    return Objective(WEIGHTS | changes, **SETTINGS)


def features(level, scales=2):
    return [[torch.full((1, 1, 2, 2), level), torch.full((1, 1, 1, 1), 2 * level)] for _ in range(scales)]


def logits(level, scales=2):
    return [torch.full((1, 1, 1, 1), level) for _ in range(scales)]


def forbidden(*_):
    raise AssertionError("no term that is on asks for it")


def generator_inputs(**changes):
    given = {
        "result": torch.full((1, 3, 2, 2), 0.5),
        "target": torch.zeros(1, 3, 2, 2),
        "same_identity": torch.tensor([True]),
        "result_identity": torch.tensor([[1.0, 0.0]]),
        "source_identity": torch.tensor([[0.0, 1.0]]),
        "fake_features": features(3.0),
        "fake_logits": logits(3.0),
        "real_features": features(1.0),
        "real_logits": logits(1.0),
        "generate": forbidden,
        "embed": forbidden,
        "to_unit": forbidden,
    }
    return GeneratorInputs(**(given | changes))


def discriminator_inputs(**changes):
    given = {
        "result": torch.zeros(1, 3, 1, 1),
        "target": torch.zeros(1, 3, 1, 1),
        "same_identity": torch.tensor([True]),
        "fake_features": features(-1.0),
        "fake_logits": logits(-1.0),
        "real_features": features(1.0),
        "real_logits": logits(1.0),
        "real_pyramid": [torch.ones(1, 1, 1, 1)],
        "fake_pyramid": [torch.ones(1, 1, 1, 1)],
        "patch_functions": [lambda x: 3 * x],
        "mix": torch.zeros(1),
    }
    return DiscriminatorInputs(**(given | changes))


def test_generator_total_is_the_weighted_sum():
    total, terms = make().generator(generator_inputs())
    # identity 1 - 0; reconstruction 0.5; adversarial -3; feature matching at layer 1: |6 - 2| on each of two scales
    assert {k: terms[k].item() for k in ("identity", "reconstruction", "adversarial", "feature_matching")} == {
        "identity": 1,
        "reconstruction": 0.5,
        "adversarial": -3,
        "feature_matching": 8,
    }
    assert total.item() == pytest.approx(10 * 1 + 10 * 0.5 + 1 * -3 + 10 * 8)


def test_every_layer_is_logged_also_outside_the_range():
    _, terms = make().generator(generator_inputs())
    assert terms["feature_matching_d1_layer0"].item() == 2
    assert terms["feature_matching_d2_layer1"].item() == 4


def test_a_weight_of_zero_measures_without_training():
    total, terms = make(feature_matching=0.0, reconstruction=0.0).generator(generator_inputs())
    assert terms["feature_matching"].item() == 8
    assert total.item() == pytest.approx(10 - 3)


def test_a_weight_that_is_left_out_is_zero():
    older = {name: weight for name, weight in WEIGHTS.items() if name != "reconstruction"}
    objective = Objective(older, **SETTINGS)
    assert objective.weights["reconstruction"] == 0
    total, terms = objective.generator(generator_inputs())
    assert terms["reconstruction"].item() == 0.5
    assert total.item() == pytest.approx(10 * 1 + 1 * -3 + 10 * 8)


def test_no_feature_matching_gives_no_gradient_from_it():
    result = torch.tensor([[[[5.0]]]], requires_grad=True)
    pictures, identity = torch.zeros(1, 3, 1, 1, requires_grad=True), torch.ones(1, 2)
    total, _ = Objective(dict.fromkeys(WEIGHTS, 0.0), **SETTINGS).generator(
        generator_inputs(
            result=pictures,
            target=pictures,
            same_identity=torch.tensor([False]),
            result_identity=identity,
            source_identity=identity,
            fake_features=[[result, result]],
            fake_logits=logits(0.0, 1),
            real_features=[[torch.zeros(1, 1, 1, 1)] * 2],
            real_logits=logits(0.0, 1),
        )
    )
    total.backward()
    assert result.grad is None
    assert pictures.grad is not None
    assert pictures.grad.abs().sum().item() == 0


def test_discriminator_total_adds_the_weighted_penalty():
    total, terms = make(gradient_penalty=0.5).discriminator(discriminator_inputs())
    assert terms["discriminator"].item() == 0
    assert terms["gradient_penalty"].item() == 4  # the gradient of 3 x is 3, and (3 - 1)^2
    assert total.item() == 2.0


def test_penalty_without_weight_is_measured_without_a_graph():
    weight = torch.tensor(3.0, requires_grad=True)
    inputs = discriminator_inputs(patch_functions=[lambda x: weight * x])
    total, terms = make(gradient_penalty=0.0).discriminator(inputs)
    assert terms["gradient_penalty"].item() == 4
    assert not total.requires_grad
    assert make(gradient_penalty=0.5).discriminator(inputs)[0].requires_grad


def test_terms_without_weight_can_be_left_out():
    def of_real(images):
        raise AssertionError("the penalty has no weight")

    objective = Objective(WEIGHTS | {"gradient_penalty": 0.0, "adversarial": 0.0}, measure_at_zero=False, **SETTINGS)
    total, terms = objective.discriminator(discriminator_inputs(patch_functions=[of_real]))
    assert list(terms) == ["discriminator"]
    assert total.item() == 0
    total, terms = objective.generator(generator_inputs())
    assert terms["identity"].item() == 1
    assert "adversarial" not in terms
    measured = make(gradient_penalty=0.0, adversarial=0.0).generator(generator_inputs())
    assert total.item() == measured[0].item()
    assert set(measured[1]) - set(terms) == {"adversarial"}


def test_the_cycle_swaps_the_result_back_to_the_targets_identity():
    gain = torch.tensor(0.5, requires_grad=True)
    target_identity, seen = torch.tensor([[0.6, 0.8]]), []

    def generate(images, identity):
        assert torch.equal(identity, target_identity)
        return gain * images

    def embed(images):
        seen.append(torch.is_grad_enabled())
        return target_identity

    inputs = generator_inputs(
        result=torch.full((1, 3, 2, 2), 0.5),
        target=torch.full((1, 3, 2, 2), -1.0),
        generate=generate,
        embed=embed,
        to_unit=lambda images: (images + 1) / 2,
    )
    total, terms = Objective({"cycle": 4.0}, **SETTINGS).generator(inputs)
    # swapped back to 0.25, which is 0.625 in unit range, where the target is 0
    assert terms["cycle"].item() == pytest.approx(0.625)
    assert total.item() == pytest.approx(4 * 0.625)
    total.backward()
    assert gain.grad.item() == pytest.approx(4 * 0.5 / 2)  # of |(gain * 0.5 + 1) / 2| by gain, times its weight
    assert seen == [False]


def test_a_term_that_is_not_measured_at_zero_is_not_called():
    _, terms = make(cycle=0.0).generator(generator_inputs())  # generate and embed would raise
    assert "cycle" not in terms


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (WEIGHTS | {"identiy": 1.0}, r"unknown key objective\.weights\.identiy; did you mean identity\?"),
        (WEIGHTS | {"discriminator": 1.0}, r"unknown key objective\.weights\.discriminator"),
        (WEIGHTS | {"identity": -1.0}, "a weight is a finite number >= 0"),
        (WEIGHTS | {"identity": float("nan")}, "a weight is a finite number >= 0"),
        (WEIGHTS | {"identity": "ten"}, "a weight is a finite number >= 0"),
        (3, r"objective\.weights is 3: it takes keys and values"),
    ],
)
def test_wrong_weights_are_named(weights, message):
    with pytest.raises(InputError, match=message):
        Objective(weights, **SETTINGS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gradient_penalty": {}}, r"objective\.gradient_penalty\.patch_reduction is missing"),
        (
            {"gradient_penalty": {"patch_reduction": "mean", "patches": 1}},
            r"unknown key objective\.gradient_penalty\.p",
        ),
        ({"feature_matchin": {}}, r"unknown key objective\.feature_matchin; did you mean feature_matching\?"),
        ({"identity": {"margin": 1}}, r"unknown key objective\.identity; valid here: .*feature_matching"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        Objective(WEIGHTS, **(SETTINGS | settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"first_layer": 2, "last_layer": 4, "layer_reduction": "sum"}, r"layers 0\.\.3"),
        ({"first_layer": 2, "last_layer": 3, "layer_reduction": "max"}, r"layer_reduction=max: choose sum or mean"),
    ],
)
def test_a_range_past_the_last_layer_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Objective(WEIGHTS, **(SETTINGS | {"feature_matching": settings})).check_layers(4)


def test_a_term_reads_features_in_fp32_and_unread_ones_are_not_converted():
    class Layers(list):
        def __getitem__(self, layer):
            read.append(layer)
            return super().__getitem__(layer)

    def lowered(level):
        return [Layers(layer.bfloat16() for layer in layers) for layers in features(level)]

    read = []
    make().discriminator(discriminator_inputs(real_features=lowered(1.0), fake_features=lowered(-1.0)))
    assert read == []
    total, terms = make().generator(
        generator_inputs(real_features=[Layers(t + 0.5078125 for t in layers) for layers in lowered(1.0)],
                         fake_features=[Layers(t * 0 + 0.5 for t in layers) for layers in lowered(1.0)])
    )  # fmt: skip
    assert read
    assert total.dtype == terms["feature_matching"].dtype == torch.float32
