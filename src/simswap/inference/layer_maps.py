"""What each layer of each discriminator says of one swap: the distances of weak feature matching as maps over the face.

The loss has one number a layer, ``1/N_i * |D_i(I_R) - D_i(I_T)|_1``. Its mean over channels alone leaves a map
[H_i, W_i] of where result and target differ for this layer; the mean of the map is the number. Batch norm uses its
running statistics, as a trained network does: in training it uses those of the batch, which one pair does not have.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from simswap import pixels
from simswap.checkpoint import SwapCheckpoint, TrainedDiscriminators
from simswap.errors import InputError
from simswap.losses.feature_matching import feature_matching_loss, layer_distances
from simswap.measuring.swappers import Faces
from simswap.measuring.usable import is_direction, is_picture
from simswap.models.discriminator import Cells
from simswap.models.embedder import Embedder
from simswap.precision import full_precision

Map = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LayerMaps:
    """The distances of one pair, computed once for every range of layers.

    Attributes:
        maps: ``[scale][layer]`` → float32 [H_i, W_i], each value >= 0, the first row at the top of the face.
        distances: float [scales, layers], the distance of each layer as the loss computes it.
        cells: ``[scale][layer]`` → where the values of a map lie on the crop.
        size: Side of the crops, px.
    """

    maps: Sequence[Sequence[Map]]
    distances: Tensor
    cells: Sequence[Sequence[Cells]]
    size: int

    @property
    def scales(self) -> int:
        """The number of discriminators."""
        return len(self.maps)

    @property
    def layers(self) -> int:
        """The number of layers of each discriminator."""
        return len(self.maps[0])

    def loss(self, first_layer: int, last_layer: int, layer_reduction: str = "sum", scale: int | None = None) -> float:
        """The feature-matching loss of the pair for a range of layers, unweighted.

        Args:
            first_layer: m, the first layer that counts, from 0.
            last_layer: M, the last layer that counts.
            layer_reduction: ``sum`` or ``mean`` over the layers.
            scale: Of one discriminator, from 0; None for the sum over all.

        Raises:
            InputError: The reduction is unknown, or the range does not fit the layers.
        """
        chosen = list(self.distances) if scale is None else [self.distances[scale]]
        return float(feature_matching_loss(chosen, first_layer, last_layer, layer_reduction))

    def over_face(self, scale: int, layer: int) -> Map:
        """A layer's map in the size of the crop, [S, S]: every pixel has the value of the nearest cell."""
        found, cells = self.maps[scale][layer], self.cells[scale][layer]
        rows, columns = (_nearest(cells, count, self.size) for count in found.shape)
        return found[rows[:, None], columns]

    def summed(self, first_layer: int, last_layer: int, layer_reduction: str = "sum", scale: int | None = None) -> Map:
        """What a range of layers adds up to, over the face, [S, S]; arguments as `loss`.

        Raises:
            InputError: As `loss`.
        """
        self.loss(first_layer, last_layer, layer_reduction)
        scales = range(self.scales) if scale is None else [scale]
        layers = range(first_layer, last_layer + 1)
        total = np.zeros((self.size, self.size), np.float32)
        for layer in layers:
            for k in scales:
                total += self.over_face(k, layer)
        return total / np.float32(len(layers)) if layer_reduction == "mean" else total

    def ceiling(self) -> float:
        """The largest value of all maps: the end of the scale that they share."""
        return max(float(one.max()) for scale in self.maps for one in scale)


def distance_map(result: Tensor, target: Tensor) -> Tensor:
    """Mean over channels of ``|result - target|``: features [C, H, W] → [H, W]; the map's mean is the distance."""
    return (result - target).abs().mean(0)


@torch.no_grad()
def layer_maps(network: nn.Module, result: Tensor, target: Tensor) -> LayerMaps:
    """The maps of one pair.

    Args:
        network: A `DiscriminatorPyramid` in eval mode.
        result: The swap, float [3, S, S] in the pixel range of the network.
        target: The target, in the same form.

    Raises:
        InputError: A feature is not finite.
    """
    with full_precision():
        of_result, of_target = ([scale.features for scale in network(images[None])] for images in (result, target))
    pairs = list(zip(of_result, of_target, strict=True))
    distances = torch.stack([layer_distances(made, wanted) for made, wanted in pairs]).cpu()
    if not distances.isfinite().all():
        raise InputError("the discriminators' features of this pair are not finite; use another pair or checkpoint")
    maps = [
        [distance_map(r[0], t[0]).float().cpu().numpy() for r, t in zip(made, wanted, strict=True)]
        for made, wanted in pairs
    ]
    size = target.shape[-1]
    own = getattr(network, "cells", None)
    cells = own() if own is not None else [[_evenly(one.shape[0], size) for one in scale] for scale in maps]
    return LayerMaps(maps, distances, cells, size)


@torch.no_grad()
def maps_of_swap(
    trained: SwapCheckpoint, discriminators: TrainedDiscriminators, embedder: Embedder, target: Faces, source: Faces
) -> tuple[LayerMaps, Tensor]:
    """Swap one pair and compare the result with the target.

    Args:
        trained: The checkpoint, which makes the swap.
        discriminators: Of the same checkpoint; they see images in the range of its generator.
        embedder: Of the same checkpoint.
        target: One face, of the checkpoint's crops.
        source: One face.

    Returns:
        The maps, and the swap in unit range, [3, S, S].

    Raises:
        InputError: The swap or a feature is not finite.
    """
    generator = trained.generator
    with full_precision():
        identity = embedder.identity(source.images, source.view)
        images = pixels.to_range(target.images, generator.pixel_range)
        result = generator(images, identity)
    if not (is_picture(result) & is_direction(identity)).all():
        raise InputError("no swap can be made of these faces; give another source")
    found = layer_maps(discriminators.network.to(result.device), result[0], images[0])
    return found, pixels.to_unit(result[0], generator.pixel_range).clamp(0, 1)


def _nearest(cells: Cells, count: int, size: int) -> npt.NDArray[np.int64]:
    """For each pixel of a side the nearest of its cells, int64 [size]."""
    return np.clip(np.floor((np.arange(size) - cells.first) / cells.step + 0.5), 0, count - 1).astype(np.int64)


def _evenly(count: int, size: int) -> Cells:
    """The cells of a network that does not say where they lie: spread over the image."""
    return Cells((size / count - 1) / 2, size / count)
