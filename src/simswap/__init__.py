"""SimSwap Lab: train, sweep, ablate and measure SimSwap face-swapping networks.

The names in ``__all__`` are what notebooks and other packages need most. They are imported when they are first used, so
``import simswap`` and ``simswap-train --help`` do not wait for torch.

Example:
    >>> from simswap import load_checkpoint
    >>> generator = load_checkpoint("last.ckpt").generator
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from simswap.launching.home import (
    NO_HOME as NO_HOME,  # the first import: libraries look for the home folder when they load
)
from simswap.version import __version__

if TYPE_CHECKING:
    from simswap.checkpoint import load as load_checkpoint
    from simswap.data.datamodule import SwapDataModule
    from simswap.measuring.swappers import Swapper
    from simswap.models.discriminator import Discriminators
    from simswap.models.generator import Generator
    from simswap.training.module import SimSwapModule

__all__ = [
    "Discriminators",
    "Generator",
    "SimSwapModule",
    "SwapDataModule",
    "Swapper",
    "__version__",
    "load_checkpoint",
]

_LAZY = {
    "Discriminators": ("simswap.models.discriminator", "Discriminators"),
    "Generator": ("simswap.models.generator", "Generator"),
    "SimSwapModule": ("simswap.training.module", "SimSwapModule"),
    "SwapDataModule": ("simswap.data.datamodule", "SwapDataModule"),
    "Swapper": ("simswap.measuring.swappers", "Swapper"),
    "load_checkpoint": ("simswap.checkpoint", "load"),
}

WAITING = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "1"}
"""How OpenMP's threads wait for work: 1,000 looks, some microseconds (GNU's OpenMP, torch's on Linux); 1 ms (LLVM's).

Their own way is 300 times as long. Beside other processes they then keep the core from the very thread that they wait
for. Without any looks they sleep at once, and a training that has the machine to itself is a fifth slower
(docs/performance.md, benchmarks/threads.py). OpenMP reads it once, when torch is first imported.
"""

if not {"OMP_WAIT_POLICY", *WAITING} & set(os.environ):
    os.environ.update(WAITING)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used.

    Raises:
        AttributeError: the package has no such public name.
    """
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    value = globals()[name] = getattr(importlib.import_module(module), attribute)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
