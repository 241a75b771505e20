"""What a discriminator must offer, so that a class of your own can take the place of `Discriminators`.

A discriminator is an ``nn.Module`` with the members of `DiscriminatorPyramid`. Its constructor takes ``image_size``,
the side of the crops in px, as a keyword, beside its own settings from the configuration.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from simswap.errors import InputError


@dataclass(frozen=True)
class ScaleOutput:
    """The output of one scale of a discriminator for B images.

    Attributes:
        features: Every intermediate layer's features, first layer first, each [B, C_i, H_i, W_i].
        logits: The patch logits [B, 1, h, w]; higher means more real.
    """

    features: Sequence[Tensor]
    logits: Tensor


class DiscriminatorPyramid(Protocol):
    """One or more patch discriminators, each with its own scale of the image.

    Attributes:
        layer_count: The number of intermediate layers of each scale, the length of `ScaleOutput.features`.
    """

    layer_count: int

    def __call__(self, images: Tensor) -> Sequence[ScaleOutput]:
        """Images [B, 3, S, S] in the generator's pixel range → the output of each scale."""

    def pyramid(self, images: Tensor) -> Sequence[Tensor]:
        """Images [B, 3, S, S] → each scale's own input [B, 3, h, w]."""

    def patch_functions(self) -> Sequence[Callable[[Tensor], Tensor]]:
        """For each scale a function from its own input [B, 3, h, w] to patch logits [B, 1, ., .].

        The gradient penalty differentiates it twice. Batch norm is put in eval mode around the call; other layers
        must not let the samples of a batch influence each other.
        """


def as_module(discriminators: DiscriminatorPyramid) -> nn.Module:
    """The same object, known to be a module.

    Raises:
        InputError: It is no ``nn.Module`` or lacks a member of `DiscriminatorPyramid`.
    """
    name = type(discriminators).__name__
    if not isinstance(discriminators, nn.Module):
        raise InputError(f"discriminator {name} is not a torch.nn.Module")
    missing = [one for one in ("layer_count", "pyramid", "patch_functions") if not hasattr(discriminators, one)]
    if missing:
        raise InputError(
            f"discriminator {name} lacks {', '.join(missing)}: see simswap.models.discriminator_contract for what "
            "it must offer"
        )
    return discriminators


def outputs(real: Sequence[ScaleOutput], fake: Sequence[ScaleOutput]) -> dict[str, Any]:
    """The discriminators' outputs for targets and swaps, under the names that the loss terms use."""
    return {
        "real_features": [scale.features for scale in real],
        "real_logits": [scale.logits for scale in real],
        "fake_features": [scale.features for scale in fake],
        "fake_logits": [scale.logits for scale in fake],
    }
