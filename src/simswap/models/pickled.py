"""Weights out of a file in which somebody pickled a whole torch module, without running what the pickle asks for.

A pickle is a program. Here it may name tensors, containers and network classes only; tensors are rebuilt afterwards and
network classes become inert records. Anything else is refused by name before anything is called. Both of torch's forms
are read: the zip file of today, and the row of pickles from before torch 1.6.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from simswap.errors import InputError

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {
    "FloatStorage": torch.float32, "HalfStorage": torch.float16, "DoubleStorage": torch.float64,
    "LongStorage": torch.int64, "IntStorage": torch.int32, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}  # fmt: skip
_NETWORK_CLASSES = ("torch.nn.modules.", "models.")


class _Storage(NamedTuple):
    key: str
    dtype: torch.dtype


class _Strided(NamedTuple):
    """A tensor to be: rebuilt once the file's storages are known."""

    storage: Any
    offset: Any
    size: Any
    stride: Any


class Record:
    """Stands for an object of a network class: its attributes, and no behaviour."""

    def __init__(self, *arguments: object) -> None:
        pass


def _strided(storage: Any, offset: Any, size: Any, stride: Any, *rest: object) -> _Strided:
    return _Strided(storage, offset, size, stride)


def _itself(value: Any, *rest: object) -> Any:
    return value


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _strided,
    ("torch._utils", "_rebuild_tensor_v2"): _strided,
    ("torch._utils", "_rebuild_parameter"): _itself,
    ("torch", "Size"): tuple,
    # modules pickled by torch before 1.2 name the backend of then
    ("torch.nn.backends.thnn", "_get_thnn_function_backend"): Record,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
}


class _Reader(pickle.Unpickler):
    """An unpickler that imports nothing: every name is looked up in the table above."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if module.startswith(_NETWORK_CLASSES):
            return Record
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no file of weights needs")

    def persistent_load(self, saved: Any) -> Any:
        if isinstance(saved, tuple) and len(saved) >= 2 and saved[0] == "module" and saved[1] is Record:
            return Record  # the old form keeps a class together with its source text
        if not (isinstance(saved, tuple) and len(saved) >= 3 and saved[0] == "storage"):
            raise pickle.UnpicklingError("it refers to something else than a tensor's values")
        if not isinstance(saved[1], torch.dtype):
            raise pickle.UnpicklingError("a tensor's values are of an unknown kind")
        return _Storage(str(saved[2]), saved[1])


def read_pickled_module(path: Path) -> dict[str, Tensor]:
    """The state dict (names and tensors) of a pickled module, or of a pickled dict of tensors.

    Raises InputError for a file that is missing, broken, or asks for anything but tensors, containers and networks.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file of weights")
    data = path.read_bytes()
    try:
        content, values = _read_zip(data) if zipfile.is_zipfile(io.BytesIO(data)) else _read_legacy(data)
        found = dict(_tensors(content, "", values, 0))
    except pickle.UnpicklingError as error:
        raise InputError(f"{path} is refused: {error}; nothing in it was run") from error
    except Exception as error:  # broken bytes make the reader raise nearly anything
        raise InputError(f"{path} is no pickled network, or is cut off ({type(error).__name__})") from error
    if not found:
        raise InputError(f"{path}: holds no network's weights")
    return found


def _read_zip(data: bytes) -> tuple[Any, dict[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        program = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        content = _Reader(io.BytesIO(archive.read(program))).load()
        folder = program.removesuffix("data.pkl") + "data/"
        values = {name.removeprefix(folder): archive.read(name) for name in archive.namelist() if
                  name.startswith(folder)}  # fmt: skip
    return content, values


def _read_legacy(data: bytes) -> tuple[Any, dict[str, bytes]]:
    """Magic number, version, machine, the object, the storages' keys; then each storage: its length and its values."""
    stream = io.BytesIO(data)
    if _Reader(stream).load() != _LEGACY_MAGIC:
        raise pickle.UnpicklingError("it is not of torch's form")
    for _ in ("version", "machine"):
        _Reader(stream).load()
    reader = _Legacy(stream)
    content = reader.load()
    values = {}
    for key in _Reader(stream).load():
        count = int.from_bytes(stream.read(8), "little")
        values[str(key)] = stream.read(count * reader.width_of[str(key)])
    return content, values


class _Legacy(_Reader):
    """Remembers how wide each storage's values are: the old form gives their number only."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        self.width_of: dict[str, int] = {}

    def persistent_load(self, saved: Any) -> Any:
        storage = super().persistent_load(saved)
        if isinstance(storage, _Storage):
            self.width_of[storage.key] = storage.dtype.itemsize
        return storage


def _tensors(node: Any, name: str, values: dict[str, bytes], depth: int) -> list[tuple[str, Tensor]]:
    """Names and tensors below a record or dict, as torch's `state_dict` names them."""
    if depth > 50:
        raise pickle.UnpicklingError("its modules are nested without an end")
    if isinstance(node, _Strided):
        return [(name, _tensor(node, values))]
    if isinstance(node, Record):
        state = vars(node)
        children = [state.get(kind) or {} for kind in ("_parameters", "_buffers", "_modules")]
    elif isinstance(node, dict):
        children = [node]
    else:
        return []
    return [
        found
        for group in children
        for child, value in group.items()
        for found in _tensors(value, f"{name}.{child}" if name else str(child), values, depth + 1)
    ]


def _tensor(strided: _Strided, values: dict[str, bytes]) -> Tensor:
    """A copy of the tensor's values; refused where it would reach beyond its storage."""
    storage, offset, size, stride = strided
    whole = all(type(number) is int and number >= 0 for number in (offset, *size, *stride))
    if not isinstance(storage, _Storage) or not whole or len(size) != len(stride):
        raise pickle.UnpicklingError("a tensor of no possible shape")
    flat = torch.frombuffer(bytearray(values[storage.key]), dtype=storage.dtype)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 in size or last >= len(flat):
        raise pickle.UnpicklingError("a tensor that reaches beyond its values")
    return flat.as_strided(size, stride, offset).clone()
