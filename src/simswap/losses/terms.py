"""The registry of loss terms, and what a term may read.

A term is a function with a name and a phase. `register_term` adds it; its weight is ``objective.weights.<name>``, and
its keyword-only parameters are the settings below ``objective.<name>``::

    @register_term("total_variation", GENERATOR)
    def total_variation(inputs: GeneratorInputs, *, power: float = 1.0) -> Tensor:
        steps = inputs.result[..., 1:] - inputs.result[..., :-1]
        return steps.abs().pow(power).mean()
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from torch import Tensor

from simswap.errors import InputError

GENERATOR, DISCRIMINATOR = "generator", "discriminator"
"""The two phases of an iteration. A term's gradient reaches the network of its phase only."""


class Recognized(NamedTuple):
    """What one recognizer of the identity loss sees.

    Attributes:
        result: [B, E], its unit-length embeddings of the swaps; gradient passes to the images.
        source: [B, E], its unit-length embeddings of the sources; no gradient.
        weight: Of this recognizer among the others, above 0.
    """

    result: Tensor
    source: Tensor
    weight: float


class _Deferred:
    """A field that holds a tensor, or a function that computes it at the first read."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_{name}"

    def __get__(self, instance: Any, owner: type) -> Tensor:
        if instance is None:
            raise AttributeError("a dataclass asks for a default, and there is none")
        value = instance.__dict__[self._name]
        if not isinstance(value, Tensor):
            value = instance.__dict__[self._name] = value()
        return value

    def __set__(self, instance: Any, value: Tensor | Callable[[], Tensor]) -> None:
        instance.__dict__[self._name] = value


@dataclass(frozen=True, kw_only=True)
class GeneratorInputs:
    """What a term of the generator's phase may read: one micro-batch of B pairs.

    Images are float RGB [B, 3, S, S] in the generator's own pixel range. In a term, tensors are at least fp32.

    Attributes:
        target: The target images.
        result: The swaps, with the generator's graph.
        same_identity: bool [B], True where target and source show one person.
        source_identity: [B, E], the unit-length embeddings that the generator was given; no gradient.
        result_identity: [B, E], the unit-length embeddings of ``result`` by the same recognizer; gradient passes to the
            images. Where no recognizer of ``recognized`` is that one, it is computed at the first read.
        real_features: The discriminators' features of ``target``, ``[scale][layer]`` → [B, C, H, W]; no gradient.
        real_logits: The discriminators' patch logits of ``target``, ``[scale]`` → [B, 1, h, w]; no gradient.
        fake_features: The features of ``result``; gradient passes to the images.
        fake_logits: The patch logits of ``result``; gradient passes to the images.
        generate: Runs the generator again: images and unit-length embeddings [B, E] → images. Gradient passes to the
            generator and to the images; running statistics do not move. Each call costs as much time and memory as
            the first pass.
        embed: Images aligned like the targets → unit-length embeddings [B, E]; gradient passes to the images.
        to_unit: Images → the unit range [0, 1], not clamped.
        recognized: Name → what that recognizer of the identity loss sees, for ``loss_recognition``; empty where
            ``source_identity`` and ``result_identity`` are all there is.
    """

    target: Tensor
    result: Tensor
    same_identity: Tensor
    source_identity: Tensor
    result_identity: _Deferred = _Deferred()
    real_features: Sequence[Sequence[Tensor]]
    real_logits: Sequence[Tensor]
    fake_features: Sequence[Sequence[Tensor]]
    fake_logits: Sequence[Tensor]
    generate: Callable[[Tensor, Tensor], Tensor]
    embed: Callable[[Tensor], Tensor]
    to_unit: Callable[[Tensor], Tensor]
    recognized: Mapping[str, Recognized] = field(default_factory=dict)


@dataclass(frozen=True)
class DiscriminatorInputs:
    """What a term of the discriminators' phase may read: one micro-batch of B pairs.

    Attributes:
        target: The target images, float RGB [B, 3, S, S] in the generator's own pixel range.
        result: The swaps, detached, in the same form.
        same_identity: bool [B], True where target and source show one person.
        real_features: The features of ``target``, ``[scale][layer]`` → [B, C, H, W].
        real_logits: The patch logits of ``target``, ``[scale]`` → [B, 1, h, w].
        fake_features: The features of ``result``.
        fake_logits: The patch logits of ``result``.
        real_pyramid: Each scale's own input made of ``target``, ``[scale]`` → [B, 3, h, w].
        fake_pyramid: Each scale's own input made of ``result``.
        patch_functions: ``[scale]`` → a function from that scale's own input to patch logits. Batch norm is in eval
            mode, so that samples do not influence each other.
        mix: [B] in [0, 1), drawn by (seed, iteration, position), the same after a resume and for any number of ranks.
    """

    target: Tensor
    result: Tensor
    same_identity: Tensor
    real_features: Sequence[Sequence[Tensor]]
    real_logits: Sequence[Tensor]
    fake_features: Sequence[Sequence[Tensor]]
    fake_logits: Sequence[Tensor]
    real_pyramid: Sequence[Tensor]
    fake_pyramid: Sequence[Tensor]
    patch_functions: Sequence[Callable[[Tensor], Tensor]]
    mix: Tensor


@dataclass(frozen=True)
class Term:
    """A registered term; `register_term` explains the fields."""

    name: str
    phase: str
    loss: Callable[..., Tensor | tuple[Tensor, dict[str, Tensor]]]
    measured_at_zero: bool
    fixed_weight: float | None
    second_derivative: bool
    check: Callable[..., None] | None

    def settings(self) -> dict[str, inspect.Parameter]:
        """The keyword-only parameters of the function: what ``objective.<name>`` may hold."""
        parameters = inspect.signature(self.loss).parameters
        return {name: one for name, one in parameters.items() if one.kind is one.KEYWORD_ONLY}


TERMS: dict[str, Term] = {}
"""Name → term, in the order of registration."""

Loss = TypeVar("Loss", bound=Callable[..., Any])


def register_term(
    name: str,
    phase: str,
    *,
    measured_at_zero: bool = True,
    fixed_weight: float | None = None,
    second_derivative: bool = False,
    check: Callable[..., None] | None = None,
) -> Callable[[Loss], Loss]:
    """Register the decorated function as a loss term.

    The function takes `GeneratorInputs` or `DiscriminatorInputs` and its settings as keyword-only arguments. It
    returns a scalar, or a scalar and a dict of further scalars to log. A weight that a configuration lacks is 0.

    Args:
        name: The key below ``objective.weights``, and of the logged series ``train/<name>``.
        phase: ``GENERATOR`` or ``DISCRIMINATOR``.
        measured_at_zero: Whether the term is computed, without a graph, and logged while its weight is 0. False for
            an expensive term: with weight 0 it is not called at all.
        fixed_weight: A weight that no configuration changes; None for a term with a weight in the configuration.
        second_derivative: Whether the term contains a gradient, so that its own gradient is a second derivative.
        check: Called as ``check(layers, **settings)`` before training, ``layers`` the number of the discriminators'
            intermediate layers; raises InputError where the settings do not fit.

    Returns:
        A decorator that returns the function unchanged.

    Raises:
        InputError: The name is no identifier or already taken, or there is no such phase.
    """

    def register(loss: Loss) -> Loss:
        earlier = TERMS.get(name)
        if not name.isidentifier() or phase not in (GENERATOR, DISCRIMINATOR):
            raise InputError(
                f"loss term {name!r} of phase {phase!r}: give an identifier and {GENERATOR} or {DISCRIMINATOR}"
            )
        if earlier is not None and _place(earlier.loss) != _place(loss):  # a reloaded module registers itself again
            raise InputError(f"loss term {name} of {_place(loss)} is already registered by {_place(earlier.loss)}")
        TERMS[name] = Term(name, phase, loss, measured_at_zero, fixed_weight, second_derivative, check)
        return loss

    return register


def weighted_terms() -> list[str]:
    """Names of the terms with a weight in the configuration, in the order of registration."""
    return [name for name, term in TERMS.items() if term.fixed_weight is None]


def _place(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"
