"""What would make the host wait for a GPU, counted on the CPU: ``with HostWaits() as waits: ...; waits.places``.

- *reads* of a value by the host: ``item()``, ``float(tensor)``, ``if tensor``, ``tolist()``, ``numpy()``, ``cpu()``;
- *sizes that depend on values*: ``nonzero``, ``masked_select``, an index by a bool mask, ``unique``;
- *constants of the host*: tensors made of Python's or NumPy's numbers, which have to be copied to the device.

Calls inside of the block alone are counted, with the innermost line of ``src/simswap`` that led to them.
"""

import sys
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

PACKAGE = str(Path(__file__).resolve().parents[1] / "src" / "simswap")
BY_DISPATCH = {
    "_local_scalar_dense": "read",
    "nonzero": "size",
    "masked_select": "size",
    "_unique2": "size",
    "unique_dim": "size",
    "repeat_interleave": "size",
    "lift_fresh": "constant",
}
"""Below Python, so that torch's own Python code is seen as well."""
BY_METHOD = {"tolist": "read", "numpy": "read", "cpu": "read", "__array__": "read"}
"""Reads that a CPU tensor answers without an operation."""
MADE = ("from_numpy", "as_tensor", "asarray", "frombuffer")


class HostWaits:
    """Counts what would make the host wait.

    Attributes:
        places: (kind, operation, file and function) → how often.
    """

    def __init__(self) -> None:
        self.places: Counter[tuple[str, str, str]] = Counter()

    def __enter__(self) -> "HostWaits":
        with ExitStack() as stack:
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            for name in MADE:
                patch.setattr(torch, name, self._counted(getattr(torch, name), name))
            stack.enter_context(_Methods(self))
            stack.enter_context(_Operations(self))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def count(self, kind: str, operation: str) -> None:
        self.places[kind, operation, _place()] += 1

    def of(self, *kinds: str) -> dict[tuple[str, str, str], int]:
        """The places of these kinds."""
        return {place: count for place, count in self.places.items() if place[0] in kinds}

    def _counted(self, function: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
        def counted(*arguments: Any, **keywords: Any) -> Tensor:
            self.count("constant", name)
            return function(*arguments, **keywords)

        return counted


class _Methods(TorchFunctionMode):
    def __init__(self, waits: HostWaits) -> None:
        super().__init__()
        self.waits = waits

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in BY_METHOD:
            self.waits.count(BY_METHOD[name], name)
        return func(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):
    def __init__(self, waits: HostWaits) -> None:
        super().__init__()
        self.waits = waits

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        kind = BY_DISPATCH.get(name)
        if name in ("index", "index_put", "index_put_") and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        ):
            kind = "size"
        if kind is not None:
            self.waits.count(kind, name)
        return func(*args, **(kwargs or {}))


def _place() -> str:
    """The innermost function of the package on the stack, or the innermost of any other file if there is none."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename == __file__:
        frame = frame.f_back  # type: ignore[assignment]
    first, package = frame.f_code, None
    while package is None and frame is not None:
        package = frame.f_code if frame.f_code.co_filename.startswith(PACKAGE) else None
        frame = frame.f_back  # type: ignore[assignment]
    code = package or first
    return f"{Path(code.co_filename).name}: {code.co_name}"
