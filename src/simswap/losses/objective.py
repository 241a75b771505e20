"""The combined objective: the weighted sum of the registered terms, for each of the two phases.

``L = lambda_ID L_ID + lambda_Recon L_Recon + L_Adv + lambda_GP L_GP + lambda_wFM (L_wFM(D1) + L_wFM(D2))``
(SimSwap, equation 9), and every further term of `simswap.losses.terms`. A weight of 0 means: measured and logged, not
trained, or not even measured with ``measure_at_zero=False``. Terms are computed in at least fp32, also under autocast.
"""

import difflib
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from simswap.errors import InputError
from simswap.losses.terms import (
    DISCRIMINATOR,
    GENERATOR,
    TERMS,
    DiscriminatorInputs,
    GeneratorInputs,
    Term,
    weighted_terms,
)


class Objective:
    """The weights and settings of all terms.

    Args:
        weights: Term → its weight, a finite number >= 0. A term that is left out has weight 0. Terms are summed in
            this order.
        measure_at_zero: Whether a term with weight 0 is still computed in each iteration, without a graph, and logged.
            False leaves it out: faster, and nothing is logged of it.
        settings: Term → its settings, such as ``feature_matching={"first_layer": 2, …}``.

    Attributes:
        weights: Term → its weight, for every registered term with a weight of its own.

    Raises:
        InputError: A term or setting is unknown, a setting is missing, or a weight is negative or not finite.
    """

    def __init__(self, weights: dict, measure_at_zero: bool = True, **settings: dict) -> None:
        known = weighted_terms()
        for name, node in {"weights": weights, **settings}.items():
            if not isinstance(node, dict):
                raise InputError(f"objective.{name} is {node!r}: it takes keys and values")
        for name, weight in weights.items():
            _check_known(name, known, "objective.weights")
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
                raise InputError(f"objective.weights.{name}={weight}: a weight is a finite number >= 0")
        for name in settings:
            _check_known(name, [name for name, term in TERMS.items() if term.settings()], "objective")
        self.measure_at_zero = measure_at_zero
        self.weights = {name: float(weights.get(name, 0)) for name in [*weights, *known]}
        fixed = [name for name in TERMS if name not in self.weights]
        self._terms = [TERMS[name] for name in [*fixed, *self.weights]]
        self._settings = {term.name: _settings_of(term, settings.get(term.name, {})) for term in self._terms}

    def check_layers(self, layers: int) -> None:
        """Raise InputError where a term's settings do not fit discriminators with this many intermediate layers."""
        for term in self._terms:
            if term.check is not None:
                term.check(layers, **self._settings[term.name])

    def second_derivatives(self) -> list[str]:
        """Names of the trained terms whose gradient is a second derivative; it needs full precision."""
        return [term.name for term in self._terms if term.second_derivative and self._weight(term) > 0]

    def discriminator(self, inputs: DiscriminatorInputs) -> tuple[Tensor, dict[str, Tensor]]:
        """The discriminators' total, a scalar with a graph, and each logged value, scalars without one."""
        return self._sum(DISCRIMINATOR, replace(inputs, **_precise_outputs(inputs)))

    def generator(self, inputs: GeneratorInputs) -> tuple[Tensor, dict[str, Tensor]]:
        """The generator's total, a scalar with a graph, and each logged value, scalars without one."""
        generate = inputs.generate
        return self._sum(
            GENERATOR,
            replace(
                inputs,
                target=_precise(inputs.target),
                result=_precise(inputs.result),
                source_identity=_precise(inputs.source_identity),
                result_identity=lambda: _precise(inputs.result_identity),
                recognized={
                    name: one._replace(result=_precise(one.result), source=_precise(one.source))
                    for name, one in inputs.recognized.items()
                },
                generate=lambda images, identity: _precise(generate(images, identity)),
                **_precise_outputs(inputs),
            ),
        )

    def _weight(self, term: Term) -> float:
        return self.weights[term.name] if term.fixed_weight is None else term.fixed_weight

    def _sum(self, phase: str, inputs: Any) -> tuple[Tensor, dict[str, Tensor]]:
        trained: list[Tensor] = []
        terms: dict[str, Tensor] = {}
        further: dict[str, Tensor] = {}
        for term in self._terms:
            weight = self._weight(term)
            if term.phase != phase or not (weight or (self.measure_at_zero and term.measured_at_zero)):
                continue
            with nullcontext() if weight else torch.no_grad():
                found = term.loss(inputs, **self._settings[term.name])
            value, more = found if isinstance(found, tuple) else (found, {})
            if value.dim():
                raise InputError(f"loss term {term.name} returns a tensor {list(value.shape)}: it must be a scalar")
            if weight:
                trained.append(weight * value)
            terms[term.name] = value.detach()
            further |= {name: one.detach() for name, one in more.items()}
        # Without any weight there is still a graph to walk, so that the phase stays the same.
        total = torch.stack(trained).sum() if trained else 0.0 * inputs.result.sum()
        return total, terms | further


def _settings_of(term: Term, given: dict[str, Any]) -> dict[str, Any]:
    """The given settings of a term, or InputError where one is unknown or missing."""
    parameters, where = term.settings(), f"objective.{term.name}"
    for name in given:
        _check_known(name, parameters, where)
    for name, parameter in parameters.items():
        if name not in given and parameter.default is parameter.empty:
            raise InputError(f"{where}.{name} is missing; give it a value")
    return dict(given)


def _check_known(name: str, known: Iterable[str], where: str) -> None:
    names = list(known)
    if name not in names:
        near = difflib.get_close_matches(str(name), names, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; valid here: {', '.join(names)}"
        raise InputError(f"unknown key {where}.{name}{hint}")


def _precise(x: Tensor) -> Tensor:
    """At least fp32: a mean or a cosine of bf16 values would itself be rounded to 8 bits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class _PreciseLayers(Sequence):
    """The features of a scale's layers in at least fp32; a layer that no term reads is not converted."""

    def __init__(self, layers: Sequence[Tensor]) -> None:
        self._layers = layers

    def __len__(self) -> int:
        return len(self._layers)

    def __getitem__(self, layer: Any) -> Any:
        found = self._layers[layer]
        return _precise(found) if isinstance(found, Tensor) else _PreciseLayers(found)


def _precise_outputs(inputs: Any) -> dict[str, Any]:
    """The discriminators' outputs in at least fp32, by field."""

    def features(scales: Sequence[Sequence[Tensor]]) -> list[Sequence[Tensor]]:
        return [_PreciseLayers(layers) for layers in scales]

    return {
        "real_features": features(inputs.real_features),
        "real_logits": [_precise(x) for x in inputs.real_logits],
        "fake_features": features(inputs.fake_features),
        "fake_logits": [_precise(x) for x in inputs.fake_logits],
    }
