"""The embedder of training: the weights of the one that measures, in the form with which an iteration is fastest."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from simswap.models.embedder import Embedder

COMPUTE_DTYPES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""Lightning's precisions with autocast → the dtype that it computes in."""


@dataclass(frozen=True)
class Switches:
    """The switches for speed that concern the recognizer, too.

    Attributes:
        channels_last: The memory layout of the trained networks; on a GPU the recognizer follows it.
        compile: Compile the recognizer.
    """

    channels_last: bool = False
    compile: bool = False


def training_embedder(embedder: Embedder, precision: str, switches: Switches) -> Embedder:
    """The embedder for the sources and results of training, on the device of ``embedder``.

    With mixed precision, the weights that autocast would cast in every pass are kept in the compute dtype. The
    embeddings are the same, bit for bit. ``embedder``, which measures, stays as it is.

    Returns:
        ``embedder`` itself if nothing is to be changed, else an embedder with modules of its own, which share all
        tensors that have not changed.
    """
    device, dtype = embedder.view.matrices.device, COMPUTE_DTYPES.get(str(precision))
    channels_last = switches.channels_last and device.type == "cuda"
    if dtype is None and not channels_last and not switches.compile:
        return embedder
    lowered = set() if dtype is None else _only_cast(embedder, dtype)
    laid_out = {id(weight) for weight in embedder.parameters() if channels_last and weight.dim() == 4}
    tensors = [*embedder.parameters(), *embedder.buffers()]
    own = copy.deepcopy(embedder, {id(t): t for t in tensors if id(t) not in lowered | laid_out})
    for old, new in zip(embedder.parameters(), own.parameters(), strict=True):
        if id(old) in lowered:
            new.data = new.data.to(dtype)
        if id(old) in laid_out:
            new.data = new.data.to(memory_format=torch.channels_last)
    if switches.compile:
        # The network alone: what is around it checks shapes and makes constants.
        own.recognizer.network = _Compiled(own.recognizer.network)
        own.recognizer.network.compile(dynamic=False)
    return own


def _only_cast(embedder: Embedder, dtype: torch.dtype) -> set[int]:
    """The ids of the parameters with which autocast does nothing but cast them, found by one forward pass."""
    device, recognizer = embedder.view.matrices.device, embedder.recognizer
    images = torch.zeros(1, 3, recognizer.input_size, recognizer.input_size, device=device)
    with torch.no_grad(), torch.autocast(device.type, dtype, cache_enabled=False), _Uses(recognizer, dtype) as uses:
        recognizer(images)
    return uses.cast - uses.other


class _Compiled(nn.Module):
    """A network inside of a module of this file: torch.compile does nothing for torch's own, such as ``Sequential``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)


class _Uses(TorchDispatchMode):
    """Which parameters of a network are cast to a dtype, and which are used in any other way."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.cast: set[int] = set()
        self.other: set[int] = set()
        self._known = {id(parameter) for parameter in network.parameters()}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        lowers = func is torch.ops.aten._to_copy.default and kwargs.get("dtype") == self.dtype
        used = {id(value) for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)}
        (self.cast if lowers else self.other).update(used & self._known)
        return func(*args, **kwargs)
