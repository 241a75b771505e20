"""Switches that make an iteration faster; the result stays the same within rounding."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import lightning as L
import torch
from torch import nn

from simswap.errors import InputError
from simswap.precision import has_bfloat16, products_of_training
from simswap.training.module import SimSwapModule
from simswap.training.training_embedder import Switches

COMPILERS = ("g++", "clang++", "c++")
CHANNELS_LAST_UP_TO = 224
"""Largest crop in px for which channels last was measured on a CPU, and chosen by ``auto``: at 64, 112 and 224 px the
paper's network trains faster with it since its 3x3 convolutions take `simswap.models.winograd`."""


def layout(given: bool | str, device_type: str, crop_size: int) -> bool:
    """Whether the trained networks use channels last: as given, or chosen by device and crop size for ``auto``.

    A CPU takes it up to `CHANNELS_LAST_UP_TO` px. A GPU takes it always, as tensor cores want it; that was
    not measured.
    """
    return given if isinstance(given, bool) else device_type != "cpu" or crop_size <= CHANNELS_LAST_UP_TO


def set_speed(module: SimSwapModule, channels_last: bool, compile: bool, device_type: str = "cpu") -> None:
    """Set the trained networks' memory layout (channels last), and compile generator and recognizer, if asked.

    On a CPU the discriminators stay contiguous: the gradients of their wide 4x4 kernels are slower with channels last.
    The names in the state dict do not change, so checkpoints stay compatible. The discriminators are never compiled:
    torch.compile has no second derivative, and the gradient penalty needs one. Nor is what validation uses, the EMA
    generator and the instruments: it has other batch sizes. Compiling happens at the first iteration, which takes a
    minute or more.

    Raises:
        InputError: ``compile`` without a C++ compiler, or with ``generator.checkpointing``.
    """
    if channels_last:
        networks: list[nn.Module] = [module.generator, module.ema] if device_type == "cpu" else [module]
        for network in networks:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if compile:
        if module.generator.checkpointing:
            raise InputError(
                "compile=true with generator.checkpointing=true: torch.compile chooses itself what to work out again; "
                "set one of them to false"
            )
        if cpp_compiler() is None:
            raise InputError(
                f"compile=true: torch.compile needs a C++ compiler, and none of {', '.join(COMPILERS)} is found; "
                "install one (such as g++), name it in CXX, or leave compile=false"
            )
        # In place: torch.compile(network) would wrap it, and "_orig_mod." would come into all names. A batch has one
        # shape, so no graph has to hold for others.
        module.generator.compile(dynamic=False)
    module.switches = Switches(channels_last, compile)


@contextmanager
def cuda_settings(trainer: L.Trainer, tf32: bool, benchmark: bool) -> Iterator[None]:
    """The process's settings for CUDA while a run trains, as before at the end; nothing on other devices.

    Args:
        trainer: decides the device.
        tf32: fp32 products and convolutions use TF32, except in `full_precision`.
        benchmark: cuDNN times its algorithms at the first iteration and takes the fastest for each shape; batches have
            one shape, so this is done once. False leaves it as it is, where Lightning's ``trainer.benchmark`` or
            ``trainer.deterministic`` has decided.
    """
    if trainer.strategy.root_device.type != "cuda":
        yield
        return
    before = torch.backends.cudnn.benchmark
    with products_of_training(tf32):
        torch.backends.cudnn.benchmark = benchmark or before
        try:
            yield
        finally:
            torch.backends.cudnn.benchmark = before


def check_precision(trainer: L.Trainer, asked: str | int | None) -> None:
    """Check that the device computes in the precision that was asked for.

    On a CPU, Lightning replaces fp16 by bf16. On a GPU older than NVIDIA's Ampere, torch emulates bf16, slowly.

    Raises:
        InputError: it does not.
    """
    if str(asked) in ("16", "16-mixed") and trainer.precision != "16-mixed":
        raise InputError(
            f"trainer.precision={asked} needs a GPU; on this device take trainer.precision=bf16-mixed or 32-true"
        )
    device = trainer.strategy.root_device
    if trainer.precision == "bf16-mixed" and not has_bfloat16(device):
        raise InputError(
            f"trainer.precision={asked}: {torch.cuda.get_device_name(device)} has no bfloat16; take "
            "trainer.precision=16-mixed"
        )


def cpp_compiler() -> str | None:
    """The path of a C++ compiler: the one in CXX, or the first of the usual ones; None if there is none."""
    named = os.environ.get("CXX")
    return next((path for name in ([named] if named else COMPILERS) if (path := shutil.which(name))), None)
