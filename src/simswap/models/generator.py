"""The SimSwap generator: encoder, ID injection by AdaIN residual blocks, decoder (SimSwap, section 3.2).

One class for every size: the public 224 net is ``Generator(width=64, stages=3)``, the public 512 net
``Generator(width=32, stages=4)``, the published trainer's ``Gdeep`` is ``Generator(width=64, stages=4)``.
"""

from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from simswap.errors import InputError
from simswap.models.reflection import ReflectionPad
from simswap.models.statistics import unmoved_batch_norm_statistics
from simswap.models.winograd import Conv3x3
from simswap.pixels import get_range

NORMS = ("batch", "instance", "none")


class Doubling(nn.Module):
    """Bilinear upsampling by 2, in the dtype of its input: autocast would take fp32, with a copy before and after."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C, 2H, 2W]."""
        lowered = x.dtype in (torch.bfloat16, torch.float16)
        with torch.autocast(x.device.type, enabled=False) if lowered else nullcontext():
            return nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class AdaIN(nn.Module):
    """Adaptive instance normalization: ``x * (scale + 1) + shift`` of the normalized x.

    Mean and (biased) variance are per sample and channel, eps is 1e-8. Scale and shift are linear in the identity.

    Args:
        channels: C of x.
        identity_size: Values of the identity embedding.
    """

    def __init__(self, channels: int, identity_size: int) -> None:
        super().__init__()
        self.style = nn.Linear(identity_size, 2 * channels)

    def forward(self, x: Tensor, identity: Tensor) -> Tensor:
        """Features [B, C, H, W] and identities [B, identity_size] → [B, C, H, W]."""
        x = nn.functional.instance_norm(x, eps=1e-8)
        scale, shift = self.style(identity)[:, :, None, None].chunk(2, dim=1)  # [B, C, 1, 1]
        return x * (scale + 1) + shift


class IDBlock(nn.Module):
    """A residual block whose two normalizations are AdaIN; no activation follows the sum."""

    def __init__(self, channels: int, identity_size: int) -> None:
        super().__init__()
        self.conv1 = Conv3x3(channels, channels, padding_mode="reflect")
        self.adain1 = AdaIN(channels, identity_size)
        self.conv2 = Conv3x3(channels, channels, padding_mode="reflect")
        self.adain2 = AdaIN(channels, identity_size)

    def forward(self, x: Tensor, identity: Tensor) -> Tensor:
        """Features [B, C, H, W] and identities [B, identity_size] → [B, C, H, W]."""
        h = self.adain1(self.conv1(x), identity).relu()
        return x + self.adain2(self.conv2(h), identity)


class Generator(nn.Module):
    """A target image and a source identity in, a swapped image out.

    Args:
        width: Channels after the first convolution; each stage doubles them, up to ``max_width``.
        stages: Halvings of the image before the ID blocks, and doublings after them.
        blocks: Number of ID blocks.
        identity_size: Values of the identity embedding.
        max_width: Largest number of channels.
        pixel_range: Of input and output, a name of `simswap.pixels.RANGES`; it decides the last activation.
        norm: Of encoder and decoder: ``batch`` as in the public code, ``instance`` or ``none``.
        identity_scale: Factor on the unit-length identity before the style layers; 1 is the paper's. With
            sqrt(identity_size) their inputs have unit variance, and a short training learns to inject identity
            several times as fast.
        checkpointing: Gradient checkpointing: in training, each stage and block keeps only its input and is computed
            again for the gradient. The result is the same, with less memory and one more forward pass. It is not in
            `settings`, because it does not change the network.

    Raises:
        InputError: A number is below 1, or the norm or the pixel range is unknown.
    """

    def __init__(
        self,
        width: int = 64,
        stages: int = 3,
        blocks: int = 9,
        identity_size: int = 512,
        max_width: int = 512,
        pixel_range: str = "unit",
        norm: str = "batch",
        identity_scale: float = 1.0,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        for name, value in {"width": width, "stages": stages, "blocks": blocks, "identity_size": identity_size}.items():
            if value < 1:
                raise InputError(f"generator.{name}={value}: it must be at least 1")
        if norm not in NORMS:
            raise InputError(f"generator.norm={norm}: choose one of {', '.join(NORMS)}")
        self.settings = {
            "width": width,
            "stages": stages,
            "blocks": blocks,
            "identity_size": identity_size,
            "max_width": max_width,
            "pixel_range": pixel_range,
            "norm": norm,
            "identity_scale": identity_scale,
        }
        self.identity_scale = identity_scale
        self.checkpointing = checkpointing
        self.pixel_range = pixel_range
        self.stride = 2**stages
        self._tanh = get_range(pixel_range).tanh
        channels = [min(width * 2**stage, max_width) for stage in range(stages + 1)]
        self.first = nn.Sequential(ReflectionPad(3), nn.Conv2d(3, width, 7), *_normalized(width, norm))
        self.encoder = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, d, 3, stride=2, padding=1), *_normalized(d, norm)) for c, d in pairwise(channels)
        )
        self.id_blocks = nn.ModuleList(IDBlock(channels[-1], identity_size) for _ in range(blocks))
        self.decoder = nn.ModuleList(
            nn.Sequential(
                Doubling(),
                Conv3x3(d, c),
                *_normalized(c, norm),
            )
            for c, d in zip(reversed(channels[:-1]), reversed(channels[1:]), strict=True)
        )
        self.last = nn.Sequential(ReflectionPad(3), nn.Conv2d(width, 3, 7))

    def check_size(self, size: int) -> None:
        """Raise InputError unless the generator takes square images of this size in px and returns the same size."""
        if size % self.stride or size < 2 * self.stride:
            raise InputError(
                f"the generator halves the image {self.settings['stages']} times: its size must be a multiple of "
                f"{self.stride} and at least {2 * self.stride}, but it is {size}; prepare another size or set "
                "generator.stages"
            )

    def forward(self, target: Tensor, identity: Tensor) -> Tensor:
        """Swap the faces of B images.

        Args:
            target: Images [B, 3, S, S] in `pixel_range`.
            identity: Unit-length embeddings [B, identity_size].

        Returns:
            The swaps [B, 3, S, S] in `pixel_range`.

        Raises:
            ValueError: A shape is another.
        """
        if target.ndim != 4 or target.shape[1] != 3 or identity.shape != (len(target), self.settings["identity_size"]):
            raise ValueError(
                f"target must be [B, 3, S, S] and identity [B, {self.settings['identity_size']}]: "
                f"{tuple(target.shape)} and {tuple(identity.shape)}"
            )
        identity = identity * self.identity_scale
        x = self._run(self.first, target)
        for stage in self.encoder:
            x = self._run(stage, x)
        for block in self.id_blocks:
            x = self._run(block, x, identity)
        for stage in self.decoder:
            x = self._run(stage, x)
        x = self.last(x)
        if not self._tanh:
            return x
        x = torch.tanh(x)
        return (x + 1) / 2 if self.pixel_range == "unit" else x

    def _run(self, part: nn.Module, *inputs: Tensor) -> Tensor:
        if not (self.checkpointing and self.training and torch.is_grad_enabled()):
            return part(*inputs)

        def contexts() -> tuple[Any, Any]:
            return nullcontext(), unmoved_batch_norm_statistics(part)

        # No part is random, so there is no random state to restore.
        return checkpoint(part, *inputs, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)


def _normalized(channels: int, norm: str) -> list[nn.Module]:
    """The norm and the ReLU after each convolution of encoder and decoder."""
    if norm == "none":
        return [nn.ReLU()]
    return [nn.BatchNorm2d(channels) if norm == "batch" else nn.InstanceNorm2d(channels, affine=True), nn.ReLU()]
