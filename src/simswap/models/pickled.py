"""The weights in a file with a pickled torch module, read without running the pickle's code.

A pickle is a program. Here it may only name tensors, containers and network classes: tensors are rebuilt afterwards,
and network classes become inert records. Any other name is refused before it is called, and so is more work than
weights need (`simswap.models.pickle_machine`). Both of torch's formats are read: the current zip file, and the sequence
of pickles from before torch 1.6.
"""

import io
import math
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from simswap.errors import InputError
from simswap.models.pickle_machine import Machine, Record, Unkept, first_argument, plain_ordered, plain_set, refuse
from simswap.stand_ins import refuse_stand_in

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {
    "FloatStorage": torch.float32, "HalfStorage": torch.float16, "DoubleStorage": torch.float64,
    "LongStorage": torch.int64, "IntStorage": torch.int32, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}  # fmt: skip
MOST_NODES, MOST_AXES, LONGEST_NAME = 200_000, 8, 1000
_NETWORK_CLASSES = ("torch.nn.modules.", "torch.nn.parallel.", "models.")
# What trainings save beside the network: ArcFace's file of 2021 also holds its optimizer, epoch and accuracy.
_LEFTOVERS = ("torch.optim.", "optimizer.")


class _Storage(NamedTuple):
    key: str
    dtype: torch.dtype


class _Strided(NamedTuple):
    """The place of a tensor; the tensor is built when the file's storages are known."""

    storage: Any
    offset: Any
    size: Any
    stride: Any


def _strided(storage: Any, offset: Any, size: Any, stride: Any, *rest: object) -> _Strided:
    return _Strided(storage, offset, size, stride)


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): plain_ordered,
    ("torch._utils", "_rebuild_tensor"): _strided,
    ("torch._utils", "_rebuild_tensor_v2"): _strided,
    ("torch._utils", "_rebuild_parameter"): first_argument,
    ("torch", "Size"): tuple,  # its elements are counted
    # Modules pickled by torch before 1.2 name the backend of that time.
    ("torch.nn.backends.thnn", "_get_thnn_function_backend"): Record,
    ("builtins", "set"): plain_set,
    ("__builtin__", "set"): plain_set,
    ("torch", "device"): Unkept,
    ("collections", "defaultdict"): Unkept,
    ("builtins", "dict"): Unkept,
    ("__builtin__", "dict"): Unkept,
    ("numpy", "dtype"): Unkept,
    ("numpy.core.multiarray", "scalar"): Unkept,
    ("numpy._core.multiarray", "scalar"): Unkept,
    ("_codecs", "encode"): Unkept,
}


class PickleReader(Machine):
    """An unpickler that imports nothing: it only knows the names in the table above."""

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name in the pickle; raises UnpicklingError for a name that no weights need."""
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if f"{module}.".startswith(_NETWORK_CLASSES):
            return Record
        if f"{module}.".startswith(_LEFTOVERS):
            return Unkept
        raise refuse(f"it asks for {module}.{name}, which no file of weights needs")

    def persistent_load(self, saved: Any) -> Any:
        """The place of a tensor's values; raises UnpicklingError for anything else."""
        if isinstance(saved, tuple) and len(saved) >= 2 and saved[0] == "module" and saved[1] is Record:
            return Record  # the old form keeps a class together with its source text
        if not (isinstance(saved, tuple) and len(saved) >= 3 and saved[0] == "storage"):
            raise refuse("it refers to something other than a tensor's values")
        if not isinstance(saved[1], torch.dtype):
            raise refuse("a tensor's values are of an unknown kind")
        return _Storage(key_of(saved[2]), saved[1])


def key_of(given: Any) -> str:
    """The key of a storage as a string; raises UnpicklingError for anything but a string or an integer."""
    if type(given) not in (str, int):
        raise refuse("a tensor's values have no name")
    return str(given)


def read_pickled_module(path: Path) -> dict[str, Tensor]:
    """The state dict of a pickled module, or of a pickled dict of tensors.

    Args:
        path: The file.

    Returns:
        Names and tensors, on the CPU.

    Raises:
        InputError: The file is missing or damaged, or names anything but tensors, containers and networks.
    """
    return tensors_of(path, "a pickled network", _read)


def tensors_of(
    path: Path, what: str, read: Callable[[Path], tuple[Any, dict[str, bytes]]], scripted: bool = False
) -> dict[str, Tensor]:
    """Names and tensors of a file of weights, on the CPU.

    Args:
        path: The file.
        what: What it should be, for the messages: ``a pickled network``.
        read: Gives the records of its pickle, and the values of each storage by its key.
        scripted: See `FoundTensors`.

    Raises:
        InputError: The file is missing or damaged, holds no tensors, or names what ``read`` refuses.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file of weights")
    refuse_stand_in(path, what, "torch")
    try:
        content, values = read(path)
        found = FoundTensors(values, scripted)
        found.look(content)
    except pickle.UnpicklingError as error:
        raise InputError(f"{path} is refused: {error}; none of its code was run") from error
    except Exception as error:  # damaged bytes can raise nearly any error
        raise InputError(f"{path} is not {what}, or is cut off ({type(error).__name__})") from error
    if not found.tensors:
        raise InputError(f"{path}: holds no weights of a network")
    return found.tensors


def _read(path: Path) -> tuple[Any, dict[str, bytes]]:
    data = path.read_bytes()
    return _read_zip(data) if zipfile.is_zipfile(io.BytesIO(data)) else _read_legacy(data)


def _read_zip(data: bytes) -> tuple[Any, dict[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = archive.infolist()
        if any(part.compress_type != zipfile.ZIP_STORED for part in parts) or sum(
            part.file_size for part in parts
        ) > len(data):
            raise refuse("it is compressed or its parts overlap, unlike any file of torch")
        program = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        content = PickleReader(io.BytesIO(archive.read(program))).load()
        folder = program.removesuffix("data.pkl") + "data/"
        values = {
            name.removeprefix(folder): archive.read(name) for name in archive.namelist() if name.startswith(folder)
        }
    return content, values


def _read_legacy(data: bytes) -> tuple[Any, dict[str, bytes]]:
    """Magic number, version, machine, the object, the storages' keys; then the length and values of each storage."""
    stream = io.BytesIO(data)
    if PickleReader(stream).load() != LEGACY_MAGIC:
        raise refuse("it is not in torch's format")
    for _ in ("version", "machine"):
        PickleReader(stream).load()
    reader = _Legacy(stream)
    content = reader.load()
    values = {}
    for key in PickleReader(stream).load():
        count = int.from_bytes(stream.read(8), "little")
        values[key_of(key)] = stream.read(count * reader.width_of[key_of(key)])
    return content, values


class _Legacy(PickleReader):
    """Remembers the width of each storage's values: the old format only gives their number."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        self.width_of: dict[str, int] = {}

    def persistent_load(self, saved: Any) -> Any:
        storage = super().persistent_load(saved)
        if isinstance(storage, _Storage):
            self.width_of[storage.key] = storage.dtype.itemsize
        return storage


class FoundTensors:
    """Names and tensors below a record or dict, as torch's `state_dict` names them.

    Args:
        values: The values of each storage, by its key.
        scripted: Whether records are TorchScript's, which hold tensors and modules as plain attributes.
    """

    def __init__(self, values: dict[str, bytes], scripted: bool = False) -> None:
        self.values, self.scripted, self.visited = values, scripted, 0
        self.tensors: dict[str, Tensor] = {}
        self._flat: dict[_Storage, Tensor] = {}

    def look(self, node: Any, name: str = "", depth: int = 0) -> None:
        """Collect the tensors below a node; raises UnpicklingError for nesting without end, or an impossible tensor."""
        self.visited += 1
        if depth > 50 or self.visited > MOST_NODES or len(name) > LONGEST_NAME:
            raise refuse("its modules are nested without end")
        if isinstance(node, _Strided):
            self.tensors[name] = self._tensor(node)
            return
        groups: list[Any] = [node] if isinstance(node, dict) else []
        if isinstance(node, Record) and self.scripted:
            groups = [vars(node)]
        elif isinstance(node, Record):
            groups = [vars(node).get(kind) or {} for kind in ("_parameters", "_buffers", "_modules")]
        for group in groups:
            for child, value in group.items():
                self.look(value, f"{name}.{child}" if name else str(child), depth + 1)

    def _tensor(self, strided: _Strided) -> Tensor:
        """A view of the storage's values; refused if it exceeds them or shows one of them twice."""
        storage, offset, size, stride = strided
        if (
            not isinstance(storage, _Storage)
            or len(size) != len(stride)
            or len(size) > MOST_AXES
            or not all(type(number) is int and number >= 0 for number in (offset, *size, *stride))
        ):
            raise refuse("a tensor has an impossible shape")
        if storage not in self._flat:
            self._flat[storage] = torch.frombuffer(bytearray(self.values[storage.key]), dtype=storage.dtype)
        flat = self._flat[storage]
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if 0 in size or last >= len(flat) or math.prod(size) > len(flat):
            raise refuse("a tensor exceeds its values")
        return flat.as_strided(size, stride, offset)
