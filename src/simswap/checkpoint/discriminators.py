"""The discriminators of a checkpoint, rebuilt from its description, and the layer range of their training."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from simswap.checkpoint.description import DISCRIMINATORS_PREFIX, KEY
from simswap.checkpoint.reading import check_finite, check_shapes, read, weights_below
from simswap.errors import InputError
from simswap.losses.feature_matching import check_layer_range
from simswap.models.discriminator import Discriminators
from simswap.models.discriminator_contract import as_module
from simswap.settings.recorded_names import current_target
from simswap.settings.targets import check_target, import_target
from simswap.settings.trusted import is_trusted

OWN = "simswap.models.discriminator.Discriminators"


@dataclass(frozen=True)
class TrainedDiscriminators:
    """A checkpoint's discriminators, and the feature matching that they served.

    Attributes:
        path: The file.
        network: A `DiscriminatorPyramid` in eval mode without gradients: batch norm uses its running statistics, so
            that a pair's features do not depend on other pairs.
        image_size: Side of the crops, px. Images have the pixel range of the checkpoint's generator.
        first_layer: m of training, the first layer that counted.
        last_layer: M of training, the last layer that counted.
        layer_reduction: ``sum`` or ``mean`` over the layers.
        weight: Of feature matching in the combined loss.
    """

    path: Path
    network: nn.Module
    image_size: int
    first_layer: int
    last_layer: int
    layer_reduction: str
    weight: float

    @property
    def layers(self) -> int:
        """The number of layers of each scale."""
        return int(self.network.layer_count)  # type: ignore[arg-type]


def load_discriminators(path: str | Path) -> TrainedDiscriminators:
    """Read the discriminators of a run's checkpoint, or of a slim one that keeps them.

    Raises:
        InputError: The file has none, is no checkpoint or is damaged, or a package that is not trusted defines them.
    """
    path = Path(path)
    content = read(path)
    weights = weights_below(DISCRIMINATORS_PREFIX, content)
    if not weights:
        raise InputError(without_discriminators(path))
    check_finite(weights, str(path))
    try:
        description = content[KEY]
        config, size = description["config"], description["image_size"]
        network = _network(path, config["discriminator"], size, weights)
        network.load_state_dict(weights, strict=True)
        matching = config["objective"]["feature_matching"]
        found = TrainedDiscriminators(
            path,
            network.eval().requires_grad_(False),
            size,
            matching["first_layer"],
            matching["last_layer"],
            matching["layer_reduction"],
            float(config["objective"]["weights"]["feature_matching"]),
        )
        check_layer_range(found.first_layer, found.last_layer, found.layers)
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"{path}: its discriminators are damaged ({type(error).__name__}: {reason}); use another checkpoint"
        ) from error
    return found


def without_discriminators(path: Path) -> str:
    """The line for a checkpoint that has no discriminators, as most that are made to be shared."""
    return (
        f"{path} holds no discriminators, which the distances of layers need; give a run's checkpoints/last.ckpt, or "
        "keep them in a file to share: python -m simswap.checkpoint --discriminators <run>/checkpoints/last.ckpt <file>"
    )


def _network(path: Path, node: Mapping[str, Any], image_size: int, weights: Mapping[str, torch.Tensor]) -> nn.Module:
    """The described network, untrained; sizes are compared before memory is allocated."""
    target = current_target(node["_target_"])
    settings = {name: value for name, value in node.items() if name != "_target_"}
    if target == OWN:
        if settings.get("scales", 1) > len(weights):
            raise RuntimeError(f"{settings['scales']} scales have more weights than there are")
        with torch.device("meta"):
            check_shapes(Discriminators(image_size=image_size, **settings).state_dict(), weights)
        return Discriminators(image_size=image_size, **settings)
    if not is_trusted(target):
        package = str(target).split(".")[0]
        raise InputError(
            f"{path} names unknown discriminators, {target!r}; add trusted=[{package}] if you trust that package"
        )
    check_target(target, "discriminator")
    return as_module(import_target(target)(image_size=image_size, **settings))
