"""Files of ``torch.save``, read as data: every such file that a user names is scanned here before torch reads it.

With ``weights_only=True`` torch runs none of a file's code, but a file of 1.5 KB can still keep it busy for years (keys
whose hash never ends) or ask for terabytes. So the pickle is first read without tensors and with bounded work
(`simswap.models.pickle_machine`), and its content is counted; torch reads the file only if that succeeds.
"""

import io
import math
import pickle
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch

from simswap.models.pickle_machine import Machine, Record, first_argument, plain_ordered, plain_set, refuse
from simswap.models.pickled import LEGACY_MAGIC, MOST_AXES, key_of

MOST_DEPTH, MOST_NODES = 200, 500_000
_ZIP = b"PK\x03\x04"


class _Kind(NamedTuple):
    """A class of storages, with the number of bytes of a value."""

    width: int


class _Storage(NamedTuple):
    key: str
    width: int
    length: int


class _Tensor:
    """Stands for a tensor; it cannot be hashed and holds nothing."""

    __hash__ = None  # type: ignore[assignment]


_KINDS = {
    f"{name}Storage": _Kind(width)
    for width, names in {
        1: "Untyped Byte Char Bool QInt8 QUInt8",
        2: "Half BFloat16 Short",
        4: "Float Int QInt32",
        8: "Double Long ComplexFloat",
        16: "ComplexDouble",
    }.items()
    for name in names.split()
}
_DTYPES = {name: value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}


def _encoded(text: str, encoding: str = "") -> bytes:
    """Bytes, as pickles of this protocol write them."""
    if not isinstance(text, str) or encoding != "latin1":
        raise refuse("it holds bytes in an unknown encoding")
    return text.encode("latin1")


_NAMES: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): plain_ordered,
    ("collections", "Counter"): plain_ordered,
    ("torch._utils", "_rebuild_parameter"): first_argument,
    ("torch._utils", "_rebuild_parameter_with_state"): first_argument,
    ("torch", "Size"): tuple,  # its elements are counted
    ("torch", "Tensor"): Record,
    ("torch.nn.parameter", "Parameter"): Record,
    ("torch", "device"): Record,
    ("builtins", "set"): plain_set,
    ("builtins", "complex"): complex,
    ("_codecs", "encode"): _encoded,
}


class _Scan(Machine):
    """Reads a pickle of torch without tensors: checks their shapes, and collects the places of their values."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        module = "builtins" if module == "__builtin__" else module
        if module in ("torch", "torch.storage") and name in _KINDS:
            return _KINDS[name]
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if (module, name) == ("torch._tensor", "_rebuild_from_type_v2"):
            return self._with_attributes
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"):
            return self._tensor
        if (module, name) not in _NAMES:
            raise refuse(f"it asks for {module}.{name}"[:200] + ", which no file of weights needs")
        return _NAMES[module, name]

    def persistent_load(self, saved: Any) -> _Storage:
        if type(saved) is not tuple or len(saved) not in (5, 6) or type(saved[0]) is not str or saved[0] != "storage":
            raise refuse("it refers to something other than a tensor's values")
        kind, key, place, count = saved[1:5]
        if type(kind) is not _Kind or type(place) is not str or type(count) is not int or count < 0:
            raise refuse("a tensor's values are of an unknown kind")
        if len(saved) == 6 and saved[5] is not None:
            view = saved[5]
            if type(view) is not tuple or len(view) != 3 or type(view[1]) is not int or type(view[2]) is not int:
                raise refuse("a tensor's values are of an unknown kind")
            key_of(view[0])
        storage = _Storage(key_of(key), kind.width, count)
        if self.storages.setdefault(storage.key, storage) != storage:
            raise refuse("the same values have two lengths")
        return storage

    def _tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> _Tensor:
        dtype = next((one for one in rest if isinstance(one, torch.dtype)), None)
        if not (
            type(storage) is _Storage
            and type(size) is tuple
            and type(stride) is tuple
            and len(size) == len(stride) <= MOST_AXES
            and all(type(n) is int and n >= 0 for n in (offset, *size, *stride))
        ):
            raise refuse("a tensor has an impossible shape")
        there = storage.length // (dtype.itemsize if dtype is not None else 1)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if 0 not in size and last >= there:
            raise refuse("a tensor exceeds its values")
        self.spend(max(0, math.prod(size) - there))  # values shown more than once, as `expand` does
        return _Tensor()

    def _with_attributes(self, rebuild: Any, kind: Any, arguments: Any, state: Any) -> Any:
        if rebuild not in (self._tensor, first_argument) or type(arguments) is not tuple:
            raise refuse("a tensor is built in an unknown way")
        return rebuild(*arguments)


def load_data(path: Path) -> Any:
    """The content of a file of `torch.save`: tensors on the CPU and plain values.

    Raises:
        OSError: The file cannot be opened.
        pickle.UnpicklingError: The file is not torch's, names anything but tensors and plain values, or needs more work
            than they do. A damaged file can raise any of `simswap.files.NOT_A_PICKLE`.
    """
    look_through(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def look_through(path: Path) -> None:
    """Raise UnpicklingError if the file is not safe for torch to read. The tensors' values are not read."""
    with path.open("rb") as file:
        try:
            if file.read(4) == _ZIP:
                _look_through_zip(file)
            else:
                _look_through_legacy(file)
        except (OSError, pickle.UnpicklingError):
            raise
        except Exception as error:  # damaged bytes can raise nearly any error
            raise refuse(f"it is not a file of torch, or is cut off: {type(error).__name__}") from error


def _look_through_zip(file: BinaryIO) -> None:
    length = file.seek(0, io.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
        if (
            any(part.compress_type != zipfile.ZIP_STORED or part.file_size != part.compress_size for part in parts)
            or sum(part.file_size for part in parts) > length
        ):
            raise refuse("it is compressed or its parts overlap, unlike any file of torch")
        # torch's reader ignores case in names, and takes the first of two equal ones.
        sizes = {part.filename.casefold(): part.file_size for part in parts}
        folder = parts[0].filename.split("/")[0].casefold()
        program = f"{folder}/data.pkl"
        if len(sizes) != len(parts) or program not in sizes or archive.comment:
            raise refuse("its parts are not those of a file of torch")
        name = next(part.filename for part in parts if part.filename.casefold() == program)
        scan = _Scan(io.BytesIO(archive.read(name)))
        check_nodes(scan.load())
    for storage in scan.storages.values():
        if sizes.get(f"{folder}/data/{storage.key}".casefold()) != storage.length * storage.width:
            raise refuse(f"values of {storage.key[:50]} are missing")


def _look_through_legacy(file: BinaryIO) -> None:
    """The format before torch 1.6: magic number, version, machine, object, the storages' keys, then their values."""
    file.seek(0)
    try:
        # The format before torch 0.1.10: a file can have both formats, and torch tries this one first.
        tarfile.open(fileobj=file, mode="r:").close()
    except tarfile.TarError:
        pass
    else:
        raise refuse("it is a tar archive, not a file of torch")
    file.seek(0)
    stream = io.BytesIO(file.read())
    if _Scan(stream).load() != LEGACY_MAGIC:
        raise refuse("it is not in torch's format")
    for _ in ("version", "machine"):
        check_nodes(_Scan(stream).load())
    scan = _Scan(stream)
    check_nodes(scan.load())
    keys = _Scan(stream).load()
    if type(keys) is not list or sorted(map(key_of, keys)) != sorted(scan.storages):
        raise refuse("its list of values does not match its tensors")
    left = len(stream.getbuffer()) - stream.tell()
    if sum(storage.length * storage.width for storage in scan.storages.values()) > left:
        raise refuse("values are missing")


def check_nodes(content: Any) -> None:
    """Raise UnpicklingError if a walk through this content, which visits shared values again, would take too long."""
    walked: dict[int, int] = {}  # the visits that a node costs; 0 while they are being counted

    def visits(node: Any, depth: int) -> int:
        if isinstance(node, Mapping):
            # Keys are short: the scan admits no others.
            children: Any = (*node.values(), *getattr(node, "__dict__", {}).values())
        elif type(node) in (list, tuple, set):
            children = node
        else:
            return 1
        if id(node) not in walked:
            if depth > MOST_DEPTH:
                raise refuse("its values are nested without end")
            walked[id(node)] = 0
            walked[id(node)] = 1 + sum(visits(child, depth + 1) for child in children)
        count = walked[id(node)]
        if not 0 < count <= MOST_NODES:
            raise refuse("its values contain each other over and over")
        return count

    visits(content, 0)
