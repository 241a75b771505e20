"""A stand-in for a GPU on a machine without one: ``with StandIn():`` and ``torch.device("cuda", 0)``.

``StandIn(APPLE)`` stands in for Apple's (MPS), which refuses float64 as well.

Tensors that are moved or made there stay where they are, but are remembered, say ``cuda:0`` when they are asked, and
refuse what CUDA's refuse: NumPy, and other tensors that are still on the CPU. It works through torch's own hook for
function calls (`TorchFunctionMode`), so all of our code runs as it is; inside of torch's functions it is switched off.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils.weak import WeakTensorKeyDictionary

from simswap import pixels

DEVICE = torch.device("cuda", 0)
APPLE = torch.device("mps", 0)

TO_NUMPY = {"numpy", "__array__", "__dlpack__"}
ACROSS = {
    "copy_",
    "to",
    "cpu",
    "cuda",
    "type_as",
    "__set__",
    "__get__",
    "is_same_size",
    "set_",
    "__deepcopy__",
    "_has_compatible_shallow_copy_type",
}
"""May take tensors of both places."""
INDEXING = {"__getitem__", "__setitem__", "index_put_", "index_put", "index"}
"""A tensor of the device may be indexed from the CPU, but not the other way round."""


class StandIn(TorchFunctionMode):
    """calls: how often each of torch's functions was called on a tensor of the device."""

    def __init__(self, device: torch.device = DEVICE) -> None:
        super().__init__()
        self.device = device
        self._there = WeakTensorKeyDictionary()
        pixels._columns.cache_clear()  # another stand-in's tensors would lie on no device that this one knows
        self.calls: Counter[str] = Counter()

    def __enter__(self) -> Any:
        self._made = torch.nn.Parameter.__new__

        def make(cls: Any, data: Any = None, requires_grad: bool = True) -> Any:
            parameter = self._made(cls, data, requires_grad)
            if data is not None and self.is_there(data):  # torch's hook does not see this, nor a deep copy
                self._put(parameter, True)
            return parameter

        torch.nn.Parameter.__new__ = staticmethod(make)  # type: ignore[assignment]
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        torch.nn.Parameter.__new__ = staticmethod(self._made)  # type: ignore[assignment]
        super().__exit__(*error)

    def is_there(self, tensor: Tensor) -> bool:
        return tensor in self._there

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", str(func))
        whole = resolve_name(func) or name
        given = list(_tensors((args, kwargs)))
        there = [tensor for tensor in given if self.is_there(tensor)]
        if name == "__get__" and given and self.is_there(given[0]):
            answers = {"device": self.device, "is_cuda": self.device.type == "cuda", "is_cpu": False}
            if _property(func) in answers:
                return answers[_property(func)]
        if there:
            self._check(name, whole, args, given, there, kwargs)
            self.calls[name] += 1
        target, args, kwargs = self._moved(name, args, kwargs)
        if target or there:
            self._check_generator(kwargs.get("generator"))
        result = func(*args, **kwargs)
        if name == "__set__":
            if len(given) > 1 and _property(func) == "data":  # parameter.data = another place's
                self._put(given[0], self.is_there(given[1]))
        elif target is not None:
            for tensor in _tensors(result):
                # torch gives the same tensor where nothing is to be done; between two places there are two
                if any(tensor is other for other in given) and self.is_there(tensor) != target:
                    result = tensor = _copy(tensor)
                self._put(tensor, target)
        elif there and whole != "torch.tensor":
            for tensor in _tensors(result):
                if not any(tensor is other for other in given):
                    self._put(tensor, True)
        return result

    def _put(self, tensor: Tensor, there: bool) -> None:
        if there:
            if tensor.dtype == torch.float64 and self.device.type == "mps":
                raise TypeError(
                    "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support "
                    "float64. Please use float32 instead."
                )
            self._there[tensor] = True
        else:
            self._there.pop(tensor, None)

    def _moved(self, name: str, args: Any, kwargs: Any) -> tuple[bool | None, Any, Any]:
        """Where results go (True: the device, False: the CPU, None: as the arguments), and the arguments without it."""
        if name in ("cpu", "cuda"):
            return name == "cuda", args[:1], {}
        wanted = kwargs.get("device")
        if isinstance(wanted, str | int):
            wanted = torch.device(wanted) if isinstance(wanted, str) else self.device
        if wanted is not None:
            kwargs["device"] = torch.device("cpu")
        elif name == "to":
            args = list(args)
            for place, value in enumerate(args[1:], start=1):
                if isinstance(value, str | torch.device):
                    wanted, args[place] = torch.device(value), torch.device("cpu")
                elif isinstance(value, Tensor):
                    wanted = self.device if self.is_there(value) else torch.device("cpu")
        return (None if wanted is None else wanted.type != "cpu"), tuple(args), kwargs

    def _check_generator(self, generator: torch.Generator | None) -> None:
        if generator is not None and generator.device.type == "cpu":
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")

    def _check(self, name: str, whole: str, args: Any, given: list, there: list, kwargs: Any) -> None:
        if name in TO_NUMPY:
            raise TypeError(
                "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to "
                "host memory first."
            )
        if name in ACROSS or whole == "torch.tensor":
            return
        others = [tensor for tensor in given if not self.is_there(tensor) and tensor.ndim > 0]
        if name in INDEXING:
            if not self.is_there(args[0]):
                raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
            return
        if others:
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, cuda:0 "
                f"and cpu! ({whole})"
            )


def _property(accessor: Any) -> str:
    """Of ``Tensor.data.__set__``: data."""
    return getattr(getattr(accessor, "__self__", None), "__name__", "")


def _copy(tensor: Tensor) -> Tensor:
    return tensor.clone()


def _tensors(node: Any) -> Iterator[Tensor]:
    if isinstance(node, Tensor):
        yield node
    elif isinstance(node, dict):
        for value in node.values():
            yield from _tensors(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _tensors(value)
