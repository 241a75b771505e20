"""Loss terms of a user's own: weights, settings, logging, and what cannot be registered."""

import pytest
import torch
from tests.losses.test_objective import SETTINGS, WEIGHTS, discriminator_inputs, generator_inputs, logits, make

from simswap.errors import InputError
from simswap.losses import terms as registry
from simswap.losses.objective import Objective
from simswap.losses.terms import DISCRIMINATOR, GENERATOR, register_term


@pytest.fixture
def own_terms(monkeypatch):
    monkeypatch.setattr(registry, "TERMS", dict(registry.TERMS))
    monkeypatch.setattr("simswap.losses.objective.TERMS", registry.TERMS)


@pytest.mark.usefixtures("own_terms")
def test_a_registered_term_has_a_weight_and_settings_and_is_logged():
    @register_term("total_variation", GENERATOR)
    def total_variation(inputs, *, power: float = 1.0):
        steps = inputs.result[..., 1:] - inputs.result[..., :-1]
        return steps.abs().pow(power).mean(), {"total_variation_largest": steps.abs().max()}

    result = torch.tensor([0.0, 2.0, 2.0]).expand(1, 3, 3, 3)
    inputs = generator_inputs(result=result, target=torch.zeros(1, 3, 3, 3))
    _, terms = make().generator(inputs)
    assert terms["total_variation"].item() == 1
    assert terms["total_variation_largest"].item() == 2
    objective = Objective({"total_variation": 3.0}, **SETTINGS, total_variation={"power": 2.0})
    assert objective.generator(inputs)[0].item() == 3 * 2
    with pytest.raises(InputError, match=r"unknown key objective\.total_variation\.pow; did you mean power\?"):
        Objective(WEIGHTS, **SETTINGS, total_variation={"pow": 2.0})


@pytest.mark.usefixtures("own_terms")
def test_a_term_of_the_discriminators_phase_is_added_to_their_loss():
    @register_term("drift", DISCRIMINATOR)
    def drift(inputs):
        return torch.stack([one.square().mean() for one in inputs.real_logits]).mean()

    total, _ = make(drift=0.25, gradient_penalty=0.0).discriminator(discriminator_inputs(real_logits=logits(2.0)))
    assert total.item() == 0.25 * 4


@pytest.mark.usefixtures("own_terms")
def test_what_cannot_be_registered_is_named():
    def other(inputs):
        return inputs.result

    with pytest.raises(InputError, match=r"loss term identity of .*other is already registered by .*identity_term"):
        register_term("identity", GENERATOR)(other)
    with pytest.raises(InputError, match="give an identifier and generator or discriminator"):
        register_term("my term", GENERATOR)(other)
    with pytest.raises(InputError, match="give an identifier and generator or discriminator"):
        register_term("mine", "encoder")(other)
    register_term("mine", GENERATOR)(other)
    register_term("mine", GENERATOR)(other)  # as a reloaded notebook does
    with pytest.raises(InputError, match=r"loss term mine returns a tensor \[1, 3, 2, 2\]: it must be a scalar"):
        make(mine=1.0).generator(generator_inputs())
