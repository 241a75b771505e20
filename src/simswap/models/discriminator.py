"""Patch discriminators on a pyramid of scales that return the features of every layer (SimSwap, section 3.4).

Each scale follows the public code: 4x4 convolutions with padding 1; stride 2 while the width doubles (64, 128, 256,
512), then one layer of stride 1, then a convolution of stride 1 to the patch logits; LeakyReLU 0.2; a norm from the
second layer on.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from simswap.errors import InputError
from simswap.losses.second_order import twice_differentiable
from simswap.models.discriminator_contract import ScaleOutput
from simswap.models.memory_format import memory_format_of

FULL_LAYERS = 5
NORMS = ("batch", "instance", "group", "none")


class Cells(NamedTuple):
    """Where the features of a layer lie on the full-size image, the same in both directions.

    Attributes:
        first: Center of the first cell in px; the image's first pixel has its center at 0.
        step: From one center to the next in px.
    """

    first: float
    step: float

    def after(self, kernel: int, stride: int, padding: int) -> "Cells":
        """The cells of what a convolution or pooling computes from these."""
        return Cells(self.first + self.step * ((kernel - 1) / 2 - padding), self.step * stride)


def layer_sizes(size: int, layers: int) -> list[int]:
    """Side of the features of each intermediate layer and, last, of the logits; <= 0 for an image that is too small."""
    sizes = []
    for _ in range(layers - 1):
        size = size // 2  # (size + 2 - 4) // 2 + 1
        sizes.append(size)
    return [*sizes, size - 1, size - 2]


def half_size(size: int) -> int:
    """Side after AvgPool(3, stride 2, padding 1)."""
    return (size + 1) // 2


def most_layers(image_size: int, scales: int) -> int:
    """The largest number of intermediate layers, up to the paper's five, that leaves the smallest scale one patch."""
    size = image_size
    for _ in range(scales - 1):
        size = half_size(size)
    for layers in range(FULL_LAYERS, 1, -1):
        if layer_sizes(size, layers)[-1] >= 1:
            return layers
    return 0


class PatchDiscriminator(nn.Module):
    """One scale of the pyramid: a patch discriminator."""

    def __init__(self, width: int, layers: int, norm: str) -> None:
        super().__init__()
        channels = [min(width * 2**i, width * 8) for i in range(layers)]
        self.layers = nn.ModuleList()
        previous = 3
        for i, c in enumerate(channels):
            stride = 2 if i < layers - 1 else 1
            norms = [] if i == 0 else _norm(c, norm)
            self.layers.append(
                nn.Sequential(nn.Conv2d(previous, c, 4, stride=stride, padding=1), *norms, nn.LeakyReLU(0.2))
            )
            previous = c
        self.logits = nn.Conv2d(previous, 1, 4, padding=1)

    def forward(self, x: Tensor) -> ScaleOutput:
        """Images [B, 3, H, W] in the generator's pixel range → the features of every layer and logits [B, 1, h, w]."""
        features = []
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        return ScaleOutput(features, self.logits(x))

    def patches(self, x: Tensor) -> Tensor:
        """The same logits [B, 1, h, w], for the gradient penalty."""
        for layer in self.layers:
            x = twice_differentiable(layer, x)
        return twice_differentiable(self.logits, x)


class Discriminators(nn.Module):
    """The pyramid: scale k sees the image halved k times by AvgPool(3, stride 2, padding 1, padding not counted).

    Args:
        image_size: Side of the crops in px; it decides how many layers fit.
        width: Channels of the first layer.
        layers: Intermediate layers of each scale; None for as many as the crops allow (the paper's five from 95 px).
        norm: ``batch`` (the public code; the gradient penalty then uses it in eval mode), ``instance``, ``group`` or
            ``none``.
        scales: Number of scales.

    Raises:
        InputError: The norm is unknown, a number is below 1, or the crops are too small for the layers; the message
            says how many fit.
    """

    def __init__(
        self, image_size: int, width: int = 64, layers: int | None = None, norm: str = "batch", scales: int = 2
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise InputError(f"discriminator.norm={norm}: choose one of {', '.join(NORMS)}")
        if width < 1 or scales < 1:
            raise InputError(f"discriminator.width={width}, discriminator.scales={scales}: both must be at least 1")
        fitting = most_layers(image_size, scales)
        self.layer_count = fitting if layers is None else layers
        if not 2 <= self.layer_count <= fitting:
            raise InputError(
                f"discriminators with {self.layer_count} layers on {scales} scales do not fit crops of {image_size} "
                f"px, which allow at most {fitting}; change discriminator.layers or discriminator.scales, or prepare "
                "larger crops"
            )
        self.norm = norm
        self.scales = nn.ModuleList(PatchDiscriminator(width, self.layer_count, norm) for _ in range(scales))
        self.halving = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """Images [B, 3, H, W] → the input of each scale, the full size first.

        They come in the memory format of the weights: torch would compute all layers in that of the images.
        """
        weight = next(self.parameters())
        inputs = [images.contiguous(memory_format=memory_format_of(weight))]
        while len(inputs) < len(self.scales):
            inputs.append(self.halving(inputs[-1]))
        return inputs

    def forward(self, images: Tensor) -> list[ScaleOutput]:
        """Images [B, 3, S, S] in the generator's pixel range → the output of each scale, the full size first."""
        return [scale(x) for scale, x in zip(self.scales, self.pyramid(images), strict=True)]

    def cells(self) -> list[list[Cells]]:
        """Where the features of each layer lie on the full-size image, ``[scale][layer]``."""
        seen, found = Cells(0.0, 1.0), []
        for scale in self.scales:
            inside, layers = seen, []
            for layer in scale.layers:  # type: ignore[union-attr]
                convolution = layer[0]  # type: ignore[index]
                inside = inside.after(convolution.kernel_size[0], convolution.stride[0], convolution.padding[0])
                layers.append(inside)
            found.append(layers)
            seen = seen.after(self.halving.kernel_size, self.halving.stride, self.halving.padding)  # type: ignore[arg-type]
        return found

    def patch_functions(self) -> list[Callable[[Tensor], Tensor]]:
        """For each scale a function from its own input [B, 3, h, w] to patch logits [B, 1, ., .]."""
        return [scale.patches for scale in self.scales]  # type: ignore[union-attr, misc]


def _norm(channels: int, norm: str) -> list[nn.Module]:
    if norm == "none":
        return []
    if norm == "batch":
        return [nn.BatchNorm2d(channels)]
    if norm == "instance":
        return [nn.InstanceNorm2d(channels, affine=True)]
    groups = next(g for g in (32, 16, 8, 4, 2, 1) if channels % g == 0)
    return [nn.GroupNorm(groups, channels)]
