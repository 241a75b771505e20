"""One iteration of `SimSwapModule` counted on torch's fake tensors: nothing is computed, nothing has values."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from iteration import random_resnet50, timed_module
from timing import FORWARD, REST, TimedModule, bare_trainer
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils import _foreach_utils
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from simswap.models.recognition import Recognizer

NOT_STARTED = {
    "alias", "detach", "empty", "empty_like", "empty_strided", "is_same_size", "lift_fresh", "new_empty",
    "new_empty_strided", "_unsafe_view", "set_data", "sym_size",
}  # fmt: skip
"""Operations that start nothing on a GPU, besides views."""


class Tally(TorchDispatchMode):
    """Sums of what passes by, by part: ``operations`` (FLOP), ``traffic`` (bytes of all else), ``kernels``."""

    def __init__(self, module: TimedModule) -> None:
        super().__init__()
        self._module = module
        self.operations: Counter[str] = Counter()
        self.traffic: Counter[str] = Counter()
        self.kernels: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func.is_view or func.namespace != "aten" or func._overloadpacket.__name__ in NOT_STARTED:
            return result
        part = part_of(self._module)
        formula = flop_registry.get(func._overloadpacket)
        self.kernels[part] += 1
        if formula is not None:
            self.operations[part] += formula(*args, **kwargs, out_val=result)
        else:
            tensors = [x for x in torch.utils._pytree.tree_leaves((args, kwargs, result)) if isinstance(x, Tensor)]
            self.traffic[part] += sum(x.numel() * x.element_size() for x in tensors)
        return result


def part_of(module: TimedModule) -> str:
    """The innermost part of the iteration that runs now."""
    return module._open[-1] if module._open else REST


class Kept:
    """Bytes that autograd keeps between forward and backward: each memory once, the networks' own left out.

    bytes: by ``both`` (the generator's graph, which lives through both phases), ``D`` and ``G``.
    """

    def __init__(self, module: TimedModule) -> None:
        self._module = module
        networks = [module, module.embedder]
        self._own = {p.untyped_storage()._cdata for n in networks for p in (*n.parameters(), *n.buffers())}
        self._held: dict[int, Any] = {}
        self.bytes: Counter[str] = Counter()
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor)

    def _keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._own and storage._cdata not in self._held:
            self._held[storage._cdata] = storage  # held, so that no other memory gets its number
            self.bytes["both" if part_of(self._module) == FORWARD else self._module.phase] += storage.nbytes()
        return tensor

    def __enter__(self) -> "Kept":
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._hooks.__exit__(*error)

    @property
    def most(self) -> int:
        """Bytes in the larger phase."""
        return self.bytes["both"] + max(self.bytes["D"], self.bytes["G"])


class Watched(L.Callback):
    """Enters the observers for the second iteration: the first one makes the optimizers' moments."""

    def __init__(self, *observers: Any) -> None:
        self.observers = observers

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 1:
            for observer in self.observers:
                observer.__enter__()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 1:
            for observer in reversed(self.observers):
                observer.__exit__(None, None, None)


@dataclass
class Iteration:
    """Of one iteration with that batch: FLOP, bytes and operations by part, bytes kept and exchanged, parameters."""

    batch: int
    operations: Counter[str]
    traffic: Counter[str]
    started: Counter[str]
    kept: int
    gradients: int
    generator: int
    discriminators: int
    recognizer: int

    @property
    def kernels(self) -> int:
        return self.started.total()


@contextmanager
def fake_tensors() -> Iterator[FakeTensorMode]:
    """Operations give tensors without values, many of which go into one operation, as on a GPU."""
    kinds = _foreach_utils._foreach_supported_types
    kinds.append(FakeTensor)
    try:
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            yield mode
    finally:
        kinds.remove(FakeTensor)


def module_of(
    size: int, *overrides: str, experiment: str = "vggface2_224", face: Recognizer | None = None
) -> TimedModule:
    """The experiment's module, with a ResNet-50 as the recognizer unless another is given."""
    return timed_module(experiment, size, face or random_resnet50(), "channels_last=false", *overrides)[0]


def count(module: TimedModule, size: int, batch: int) -> Iteration:
    """One iteration of the module in bf16-mixed."""
    module.decide_on_device = True
    module.watch()
    tally, kept = Tally(module), Kept(module)
    trainer = bare_trainer(Watched(tally, kept), precision="bf16-mixed", max_steps=2, log_every_n_steps=10**6)
    with fake_tensors():
        trainer.fit(module, Batches(size, batch))  # type: ignore[arg-type]
    exchanged = [p for phase in module.phases.values() for p in phase.network.parameters()]
    return Iteration(
        batch,
        tally.operations,
        tally.traffic,
        tally.kernels,
        kept.most,
        sum(p.numel() * p.element_size() for p in exchanged),
        *(sum(p.numel() for p in n.parameters()) for n in (module.generator, module.discriminators, module.embedder)),
    )


class Batches:
    """SwapBatches without end, of fake tensors where those are made."""

    def __init__(self, size: int, pairs: int) -> None:
        self.size, self.pairs = size, pairs

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        numbers = ("target_index", "source_index", "target_view", "source_view")
        shape = (self.pairs, 3, self.size, self.size)
        while True:
            yield {
                **{name: torch.zeros(shape, dtype=torch.uint8) for name in ("target", "source")},
                **{name: torch.zeros(self.pairs, dtype=torch.int64) for name in numbers},
                "same_identity": torch.ones(self.pairs, dtype=torch.bool),
                "mix": torch.rand(self.pairs, dtype=torch.float64),
            }
