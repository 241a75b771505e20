"""The combined objective: a map of names to weights; a weight of 0 means measured and logged, not trained.

``L = lambda_ID L_ID + lambda_Recon L_Recon + L_Adv + lambda_GP L_GP + lambda_wFM (L_wFM(D1) + L_wFM(D2))``
(SimSwap, equation 9). The generator's share is summed by `Objective.generator`, the discriminators' by
`Objective.discriminator`; neither knows a network. Terms are worked out in fp32 at least, whatever autocast is on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from simswap.errors import InputError
from simswap.losses.adversarial import hinge_discriminator, hinge_generator
from simswap.losses.feature_matching import check_layer_range, feature_matching_loss, layer_distances
from simswap.losses.gradient_penalty import gradient_penalty
from simswap.losses.identity import identity_loss
from simswap.losses.reconstruction import reconstruction_loss

TERMS = ("identity", "reconstruction", "adversarial", "gradient_penalty", "feature_matching")


@dataclass(frozen=True)
class ScaleOutput:
    """What one discriminator says of its input: every intermediate layer's features, and the patch logits."""

    features: Sequence[Tensor]
    logits: Tensor


class Objective:
    """Weights and settings of the five terms.

    weights: one number >= 0 for each of identity, reconstruction, adversarial, gradient_penalty, feature_matching.
    feature_matching: ``first_layer``, ``last_layer`` (0-based, inclusive), ``layer_reduction`` (sum or mean).
    gradient_penalty: ``patch_reduction`` (mean or sum). Raises InputError for an unknown or negative entry.
    """

    def __init__(self, weights: dict, feature_matching: dict, gradient_penalty: dict) -> None:
        self.weights = {name: float(value) for name, value in _exactly(weights, TERMS, "objective.weights").items()}
        for name, weight in self.weights.items():
            if not 0 <= weight < float("inf"):
                raise InputError(f"objective.weights.{name}={weight}: a weight is a finite number >= 0")
        settings = _exactly(
            feature_matching, ("first_layer", "last_layer", "layer_reduction"), "objective.feature_matching"
        )
        self.first_layer: int = settings["first_layer"]
        self.last_layer: int = settings["last_layer"]
        self.layer_reduction: str = settings["layer_reduction"]
        settings = _exactly(gradient_penalty, ("patch_reduction",), "objective.gradient_penalty")
        self.patch_reduction: str = settings["patch_reduction"]

    def check_layers(self, layers: int) -> None:
        """Raise InputError unless the layer range fits discriminators with so many intermediate layers."""
        check_layer_range(self.first_layer, self.last_layer, layers)

    def discriminator(
        self, real: Sequence[ScaleOutput], fake: Sequence[ScaleOutput], penalty: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Total and terms of the discriminators' phase. penalty: from `Objective.penalty`."""
        real, fake = _precise_outputs(real), _precise_outputs(fake)
        adversarial = hinge_discriminator([s.logits for s in real], [s.logits for s in fake])
        weight = self.weights["gradient_penalty"]
        total = adversarial + weight * penalty if weight else adversarial
        return total, {"discriminator": adversarial.detach(), "gradient_penalty": penalty.detach()}

    def generator(
        self,
        result: Tensor,
        target: Tensor,
        same_identity: Tensor,
        result_identity: Tensor,
        source_identity: Tensor,
        fake: Sequence[ScaleOutput],
        real: Sequence[ScaleOutput],
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Total and terms of the generator's phase.

        result, target: [B, 3, H, W] in the generator's range; identities: [B, E]; fake, real: the discriminators' word
        on result and target, a `ScaleOutput` a scale.
        """
        real, fake = _precise_outputs(real), _precise_outputs(fake)
        result, target = _precise(result), _precise(target)
        result_identity, source_identity = _precise(result_identity), _precise(source_identity)
        distances = [layer_distances(f.features, r.features) for f, r in zip(fake, real, strict=True)]
        terms = {
            "identity": identity_loss(result_identity, source_identity),
            "reconstruction": reconstruction_loss(result, target, same_identity),
            "adversarial": hinge_generator([s.logits for s in fake]),
            "feature_matching": feature_matching_loss(
                distances, self.first_layer, self.last_layer, self.layer_reduction
            ),
        }
        trained = [self.weights[name] * term for name, term in terms.items() if self.weights[name]]
        # Without any weight there is still a graph to walk, so that the phase stays the same.
        total = torch.stack(trained).sum() if trained else 0.0 * result.sum()
        logged = {name: term.detach() for name, term in terms.items()}
        for k, layers in enumerate(distances):  # every layer is logged, also those outside the range
            logged |= {f"feature_matching_d{k + 1}_layer{i}": value for i, value in enumerate(layers.detach())}
        return total, logged

    def penalty(
        self,
        discriminators: Sequence[Callable[[Tensor], Tensor]],
        target: Sequence[Tensor],
        result: Sequence[Tensor],
        mix: Tensor,
    ) -> Tensor:
        """`gradient_penalty` with this objective's settings; without a weight it is only measured."""
        trained = self.weights["gradient_penalty"] > 0
        return gradient_penalty(discriminators, target, result, mix, self.patch_reduction, trained)


def _precise(x: Tensor) -> Tensor:
    """At least fp32: a mean or a cosine of bf16 values would itself be rounded to 8 bits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _precise_outputs(scales: Sequence[ScaleOutput]) -> list[ScaleOutput]:
    return [ScaleOutput([_precise(f) for f in scale.features], _precise(scale.logits)) for scale in scales]


def _exactly(given: Mapping, names: Sequence[str], where: str) -> dict:
    """The mapping as a dict, or InputError where names are missing or unknown."""
    for name in given:
        if name not in names:
            raise InputError(f"unknown key {where}.{name}; valid here: {', '.join(names)}")
    for name in names:
        if name not in given:
            raise InputError(f"{where}.{name} is missing; give it a value (0 measures a term without training it)")
    return dict(given)
