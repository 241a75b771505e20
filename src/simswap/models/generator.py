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
from simswap.models.statistics import unmoved_batch_norm_statistics
from simswap.pixels import get_range

NORMS = ("batch", "instance", "none")


class AdaIN(nn.Module):
    """``x * (scale + 1) + shift`` on the instance-normalized x; scale and shift are linear in the identity.

    x: [B, C, H, W]; identity: [B, identity_size]. Mean and (biased) variance per sample and channel, eps 1e-8.
    """

    def __init__(self, channels: int, identity_size: int) -> None:
        super().__init__()
        self.style = nn.Linear(identity_size, 2 * channels)

    def forward(self, x: Tensor, identity: Tensor) -> Tensor:
        x = nn.functional.instance_norm(x, eps=1e-8)
        scale, shift = self.style(identity)[:, :, None, None].chunk(2, dim=1)  # [B, C, 1, 1]
        return x * (scale + 1) + shift


class IDBlock(nn.Module):
    """Residual block whose two normalizations are AdaIN; the sum has no activation."""

    def __init__(self, channels: int, identity_size: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")
        self.adain1 = AdaIN(channels, identity_size)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")
        self.adain2 = AdaIN(channels, identity_size)

    def forward(self, x: Tensor, identity: Tensor) -> Tensor:
        h = self.adain1(self.conv1(x), identity).relu()
        return x + self.adain2(self.conv2(h), identity)


class Generator(nn.Module):
    """Target image and source identity in, swapped image out.

    width: channels after the first convolution; doubled by each stage up to max_width. stages: halvings before and
    doublings after the ID-blocks. blocks: number of ID-blocks. identity_size: values of the identity embedding.
    pixel_range: a name of `simswap.pixels.RANGES`, of input and output alike; it decides the last activation.
    norm: of encoder and decoder, ``batch`` as in the public code, ``instance`` or ``none``. identity_scale: the unit
    identity is multiplied by it before the style layers; 1 is the paper's. sqrt(identity_size) gives them inputs of
    unit variance, from which a short training learns to inject identity several times as fast. checkpointing: in
    training each stage and block keeps its input alone and is worked out again for the gradient: the same result with
    less memory and one more forward pass; no part of `settings`, since it makes no other network.
    Raises InputError for settings that make no network.
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
        self.first = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7), *_normalized(width, norm))
        self.encoder = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, d, 3, stride=2, padding=1), *_normalized(d, norm)) for c, d in pairwise(channels)
        )
        self.id_blocks = nn.ModuleList(IDBlock(channels[-1], identity_size) for _ in range(blocks))
        self.decoder = nn.ModuleList(
            nn.Sequential(
                nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
                nn.Conv2d(d, c, 3, padding=1),
                *_normalized(c, norm),
            )
            for c, d in zip(reversed(channels[:-1]), reversed(channels[1:]), strict=True)
        )
        self.last = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7))

    def check_size(self, size: int) -> None:
        """Raise InputError unless square images of that many pixels go through: in = out, and room for the padding."""
        if size % self.stride or size < 2 * self.stride:
            raise InputError(
                f"the generator halves the picture {self.settings['stages']} times: its size must be a multiple of "
                f"{self.stride} and at least {2 * self.stride}, but it is {size}; prepare another size or set "
                "generator.stages"
            )

    def forward(self, target: Tensor, identity: Tensor) -> Tensor:
        """target: [B, 3, S, S] in `pixel_range`; identity: [B, identity_size], L2-normalized. Returns [B, 3, S, S]."""
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

        # There is nothing random in here whose state would have to be kept.
        return checkpoint(part, *inputs, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)


def _normalized(channels: int, norm: str) -> list[nn.Module]:
    """The chosen norm and the ReLU that follow each convolution of encoder and decoder."""
    if norm == "none":
        return [nn.ReLU()]
    return [nn.BatchNorm2d(channels) if norm == "batch" else nn.InstanceNorm2d(channels, affine=True), nn.ReLU()]
