"""Switches that make an iteration faster and leave its result the same within rounding."""

import os
import shutil

import torch

from simswap.errors import InputError
from simswap.training.module import SimSwapModule

COMPILERS = ("g++", "clang++", "c++")


def set_speed(module: SimSwapModule, channels_last: bool, compile: bool) -> None:
    """Lay the trained networks' memory out by pixel, and compile generator and recogniser, as asked.

    The names in the state dict stay, and so do checkpoints. The discriminators are never compiled: torch.compile has
    no second derivative, and the gradient penalty needs one. The averaged generator neither: validation has other
    batch sizes. Compiling happens at the first iteration, which takes a minute or more.
    Raises InputError for ``compile`` where no C++ compiler is found.
    """
    if channels_last:
        module.to(memory_format=torch.channels_last)
    if compile:
        if cpp_compiler() is None:
            raise InputError(
                f"compile=true: torch.compile needs a C++ compiler, and none of {', '.join(COMPILERS)} is found; "
                "install one (such as g++), name it in CXX, or leave compile=false"
            )
        # In place: torch.compile(network) would wrap it, and "_orig_mod." would come into all names.
        module.generator.compile()
        module.embedder.recogniser.compile()


def cpp_compiler() -> str | None:
    """The path of a C++ compiler: the one that CXX names, or the first of the usual ones; None where there is none."""
    named = os.environ.get("CXX")
    return next((path for name in ([named] if named else COMPILERS) if (path := shutil.which(name))), None)
